"""Words: the languages of the page, their catalogues, numbers, dates, and addresses that keep a language."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

from babel.dates import format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import Translations
from quart import Quart
from werkzeug.datastructures import LanguageAccept

CATALOGUES = Path(__file__).parent / "translations"
TAGS = {"en": "en", "zh": "zh-Hans"}  # of the languages as HTML writes them (BCP 47)


@dataclass(frozen=True)
class Language:
    """The language of an answer; `chosen` where the address names it, as then every further one does."""

    code: str = "en"
    chosen: bool = False

    @property
    def tag(self) -> str:
        """The language as HTML writes it."""
        return TAGS[self.code]


_spoken: ContextVar[Language] = ContextVar("language", default=Language())  # noqa: B039 (frozen)


def choose_language(named: str, accepted: LanguageAccept) -> Language:
    """Return the language that the address names, else the best of those that the browser accepts."""
    if named in TAGS:
        return Language(named, chosen=True)
    primaries = (tag.partition("-")[0].lower() for tag, quality in accepted if quality)
    return Language(next((code for code in primaries if code in TAGS), "en"))


def spoken() -> Language:
    """Return the language that is spoken here and now."""
    return _spoken.get()


def speak(language: Language) -> None:
    """Speak that language in the rest of this task."""
    _spoken.set(language)


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Speak that language in the meantime."""
    token = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(token)


def serve_words(app: Quart) -> None:
    """Let templates speak: gettext's `_`, `ngettext` and `{% trans %}`, and what is named here."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        gettext, ngettext, newstyle=True
    )
    app.jinja_env.globals.update(number=number, moment=moment, link=link, spoken=spoken, tags=TAGS)
    app.jinja_env.filters["sentences"] = sentences


def gettext(sentence: str) -> str:
    """Return the sentence in the language that is spoken."""
    return str(_catalogues[spoken().code].gettext(sentence))


def ngettext(singular: str, plural: str, count: int) -> str:
    """Return the sentence for that number of things in the language that is spoken."""
    return str(_catalogues[spoken().code].ngettext(singular, plural, count))


def sentences(parts: Sequence[tuple[str, Mapping[str, object]]]) -> str:
    """Return sentences, each with its values, in the language that is spoken, one after the other."""
    return ("" if spoken().code == "zh" else " ").join(gettext(text) % values for text, values in parts)


def number(value: int) -> str:
    """Return a number as the language that is spoken writes it."""
    return format_decimal(value, locale=spoken().code)


def moment(time: datetime) -> str:
    """Return a time in UTC, to the minute, as the language that is spoken writes it."""
    time = time.astimezone(UTC)  # PostgreSQL's own zone may be another
    return f"{_day(time.date(), spoken().code)} {time:%H:%M} UTC"


@lru_cache(maxsize=100)
def _day(day: date, code: str) -> str:
    return format_skeleton("yMMMd", day, locale=code)


def link(path: str, **query: str | None) -> str:
    """Return an address with a query; it keeps the language if that was chosen by an address."""
    chosen = {"lang": spoken().code} if spoken().chosen else {}
    text = urlencode(chosen | {name: value for name, value in query.items() if value})
    return f"{path}?{text}" if text else path


def _load(code: str) -> Translations:
    with (CATALOGUES / f"{code}.po").open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


_catalogues = {code: _load(code) for code in TAGS}
