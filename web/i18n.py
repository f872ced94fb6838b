"""The locale, translations, numbers and dates."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

from babel import Locale as BabelLocale
from babel.dates import format_skeleton
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal
from babel.support import NullTranslations, Translations
from quart import Quart, request
from werkzeug.datastructures import LanguageAccept

from web.forms import read_query

TRANSLATIONS = Path(__file__).parent.parent / "translations"
LANGUAGE_TAGS = {"en": "en", "zh": "zh-Hans"}  # as HTML writes them (BCP 47)
ENGLISH_ORDINALS = {"one": "st", "two": "nd", "few": "rd", "other": "th"}  # by CLDR's plural category


@dataclass(frozen=True)
class Locale:
    """The language of a response.

    `chosen` says that the URL names it. Then every further URL does, too.
    """

    language: str = "en"
    chosen: bool = False

    @property
    def tag(self) -> str:
        """The language as HTML writes it."""
        return LANGUAGE_TAGS[self.language]


_locale: ContextVar[Locale] = ContextVar("locale", default=Locale())  # noqa: B039 (frozen)


def init_app(app: Quart) -> None:
    """Choose each request's locale; let templates translate."""
    app.before_request(_choose_locale)
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        gettext, ngettext, newstyle=True
    )
    app.jinja_env.globals.update(
        get_locale=get_locale,
        format_number=format_number,
        format_ordinal=format_ordinal,
        format_datetime=format_datetime,
        language_tags=LANGUAGE_TAGS,
    )
    app.jinja_env.filters["format_messages"] = format_messages


async def _choose_locale() -> None:
    [named] = read_query("lang")
    set_locale(negotiate_locale(named, request.accept_languages))


def negotiate_locale(named: str, accepted: LanguageAccept) -> Locale:
    """Return the locale that the URL names.

    Else it is the best of those that the browser accepts.
    """
    if named in LANGUAGE_TAGS:
        return Locale(named, chosen=True)
    languages = (tag.partition("-")[0].lower() for tag, quality in accepted if quality)
    return Locale(next((language for language in languages if language in LANGUAGE_TAGS), "en"))


def get_locale() -> Locale:
    """Return the current locale."""
    return _locale.get()


def set_locale(locale: Locale) -> None:
    """Set the locale for the rest of this task."""
    _locale.set(locale)


@contextmanager
def force_locale(locale: Locale) -> Iterator[None]:
    """Set the locale for a block."""
    token = _locale.set(locale)
    try:
        yield
    finally:
        _locale.reset(token)


def gettext(message: str) -> str:
    """Return the translation of a message."""
    return str(_translations[get_locale().language].gettext(message))


def ngettext(singular: str, plural: str, count: int) -> str:
    """Return the translation of a message about so many things."""
    return str(_translations[get_locale().language].ngettext(singular, plural, count))


def ngettext_noop(singular: str, plural: str) -> tuple[str, str]:
    """Mark a message with a number in it for translation."""
    return singular, plural


def format_messages(messages: Sequence[tuple[str, Mapping[str, object]]]) -> str:
    """Return translated messages, each with its values."""
    separator = "" if get_locale().language == "zh" else " "
    return separator.join(gettext(message) % values for message, values in messages)


def format_number(value: int) -> str:
    """Return a number as the current locale writes it."""
    return format_decimal(value, locale=get_locale().language)


def format_ordinal(value: int) -> str:
    """Return an ordinal number, as a sentence has it.

    In English that is "1,001st"; in Chinese it is the number, and the sentence has 第 before it.
    """
    number = format_number(value)
    if get_locale().language == "zh":
        return number
    return number + ENGLISH_ORDINALS[BabelLocale.parse("en").ordinal_form(value)]


def present_year() -> int:
    """Return the year that it is now in UTC.

    In a new one, the times of the old one have their year: what is kept as HTML is then rendered again.
    """
    return datetime.now(UTC).year


def format_datetime(time: datetime) -> str:
    """Return a time in UTC as the current locale writes it.

    It has no year if that is the present one.
    """
    time = time.astimezone(UTC)  # PostgreSQL's own zone may be another
    skeleton = "MMMd" if time.year == present_year() else "yMMMd"
    return f"{_format_date(time.date(), skeleton, get_locale().language)} {time:%H:%M} UTC"


@lru_cache(maxsize=100)
def _format_date(day: date, skeleton: str, language: str) -> str:
    return format_skeleton(skeleton, day, locale=language)


def _load_translations(language: str) -> NullTranslations:
    path = TRANSLATIONS / f"{language}.po"
    if not path.exists():  # English is the source
        return NullTranslations()
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


_translations = {language: _load_translations(language) for language in LANGUAGE_TAGS}
