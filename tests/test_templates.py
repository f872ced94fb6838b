"""The pages and fragments as HTML: without errors, and whole in what they refer to."""

from collections import Counter
from xml.etree.ElementTree import Element

import psycopg
import pytest
import pytest_asyncio
from html5lib import HTMLParser
from quart import Quart

from tests.conftest import ROOT
from tests.tour import Sight, tour
from words import Language

LANGUAGES = Language("en"), Language("zh"), Language("zh", chosen=True)
REFERENCES = "for", "aria-controls", "aria-labelledby", "aria-describedby", "data-hint"


@pytest_asyncio.fixture(params=LANGUAGES, ids=("en", "zh", "chosen"))
async def sights(request: pytest.FixtureRequest, app: Quart, database: psycopg.Connection) -> list[Sight]:
    return await tour(app, database, request.param)


def parse(sight: Sight) -> tuple[Element, list[tuple[object, ...]]]:
    """Return a page or fragment as a tree, and every parse error: those at which a strict parser stops."""
    parser = HTMLParser(namespaceHTMLElements=False)
    tree = parser.parse(sight.text) if sight.is_page else parser.parseFragment(sight.text)
    return tree, [(sight.name, *error) for error in parser.errors]


async def test_every_page_and_fragment_in_every_state_is_strict_html_whose_references_lead_somewhere(
    sights: list[Sight], app: Quart
) -> None:
    for sight in sights:
        tree, errors = parse(sight)
        assert errors == []
        ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
        assert [(sight.name, name) for name, count in ids.items() if count > 1] == []
        if sight.is_page:
            assert [(sight.name, name) for name in referred_to(tree) if name not in ids] == []
    rendered = {name for _, name in app.jinja_env.cache or ()}
    assert rendered == {file.name for file in (ROOT / "templates").iterdir()}


def referred_to(tree: Element) -> set[str]:
    """Return the ids to which attributes of a page refer; a page with swaps has the places for them."""
    names = {name for element in tree.iter() for key in REFERENCES for name in element.get(key, "").split()}
    links = {element.get(key, "") for element in tree.iter() for key in ("href", "hx-target")}
    return names | {link[1:] for link in links if link.startswith("#")}


def test_the_parser_is_one_that_notices() -> None:
    for text in ("<p><div></p>", "<p a a>", "<ul></ol>", "<p>&nosuch;</p>", "<b><i></b></i>"):
        assert parse(Sight("wrong", 200, text, is_page=False))[1]
