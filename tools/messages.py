"""Collects every sentence that people read and brings the catalogues in translations/ up to date."""

import zxcvbn
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.pofile import read_po, write_po

from tests.conftest import ROOT
from words import CATALOGUES, TAGS

KEYWORDS: dict[str, tuple[int, ...] | None] = {
    "_": None,
    "N_": None,
    "NN_": (1, 2),
    "gettext": None,
    "ngettext": (1, 2),
    "refuse": (1,),  # accounts.py
}
OPTIONS = {"trimmed": "true", "trim_blocks": "true", "lstrip_blocks": "true"}


def collect() -> Catalog:
    """Return all sentences of the program and of zxcvbn's advice, without translations."""
    catalogue = Catalog(fuzzy=False)
    sources = [*sorted(ROOT.glob("*.py")), *sorted((ROOT / "templates").glob("*.html"))]
    for file in [*sources, ROOT.joinpath(zxcvbn.__file__).with_name("feedback.py")]:
        method = "jinja2" if file.suffix == ".html" else "python"
        name = file.relative_to(ROOT).as_posix() if file in sources else "zxcvbn"
        for _line, message, _comments, _context in extract_from_file(method, file, KEYWORDS, options=OPTIONS):
            catalogue.add(message, locations=[(name, 0)])
    return catalogue


def main() -> None:
    """Write the catalogues: what is translated stays, new sentences wait for their translation."""
    for code in TAGS:
        path = CATALOGUES / f"{code}.po"
        catalogue = Catalog(code)
        if path.exists():
            with path.open("rb") as file:
                catalogue = read_po(file, locale=code)
        catalogue.update(collect(), no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, catalogue, omit_header=True, include_lineno=False, width=110, sort_output=True)


if __name__ == "__main__":
    main()
