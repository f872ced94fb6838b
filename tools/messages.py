"""Collects every sentence that people read and brings the translations up to date."""

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from web.i18n import TRANSLATIONS

ROOT = Path(__file__).parent.parent
SOURCES = ("routes/*.py", "web/*.py", "services/*.py", "templates/*.html")
CATALOGUE = TRANSLATIONS / "zh.po"  # English is the source
KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "_": None,
    "gettext": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_noop": (1, 2),
    "ValidationError": (2,),
}
OPTIONS = {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true"}


def collect() -> Catalog:
    """Return all sentences of the program, without translations."""
    catalogue = Catalog(fuzzy=False)
    for file in (file for pattern in SOURCES for file in sorted(ROOT.glob(pattern))):
        method = "jinja2" if file.suffix == ".html" else "python"
        name = file.relative_to(ROOT).as_posix()
        for _line, message, _comments, _context in extract_from_file(method, file, KEYWORDS, options=OPTIONS):
            catalogue.add(message, locations=[(name, 0)])
    return catalogue


def main() -> None:
    """Write the catalogue: what is translated stays, new sentences wait for their translation."""
    with CATALOGUE.open("rb") as file:
        catalogue = read_po(file, locale="zh")
    catalogue.update(collect(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    with CATALOGUE.open("wb") as file:
        write_po(file, catalogue, omit_header=True, include_lineno=False, width=110, sort_output=True)


if __name__ == "__main__":
    main()
