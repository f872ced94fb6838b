"""The pages and fragments as HTML: without errors, and complete in what they refer to."""

from collections import Counter
from xml.etree.ElementTree import Element

import psycopg
import pytest
import pytest_asyncio
from html5lib import HTMLParser
from quart import Quart

from tests.helpers import ROOT, parse_html
from tests.page_states import PageState, collect_states
from web.i18n import Locale
from web.request_context import get_services

LOCALES = Locale("en"), Locale("zh"), Locale("zh", chosen=True)
REFERENCES = "for", "aria-controls", "aria-labelledby", "aria-describedby", "data-hint"


@pytest_asyncio.fixture(params=LOCALES, ids=("en", "zh", "chosen"))
async def states(request: pytest.FixtureRequest, app: Quart, psql: psycopg.Connection) -> list[PageState]:
    return await collect_states(app, psql, request.param)


def parse_strictly(state: PageState) -> tuple[Element, list[tuple[object, ...]]]:
    """Return a page or fragment as a tree, and every parse error: those at which a strict parser stops."""
    parser = HTMLParser(namespaceHTMLElements=False)
    tree = parser.parse(state.text) if state.is_page else parser.parseFragment(state.text)
    return tree, [(state.name, *error) for error in parser.errors]


def referenced_ids(tree: Element) -> set[str]:
    """Return the ids to which attributes of a page refer; a page with swaps has the places for them."""
    ids = {name for element in tree.iter() for key in REFERENCES for name in element.get(key, "").split()}
    links = {element.get(key, "") for element in tree.iter() for key in ("href", "hx-target")}
    return ids | {link[1:] for link in links if link.startswith("#")}


async def test_every_state_is_strict_html_with_working_references(
    states: list[PageState], app: Quart
) -> None:
    for state in states:
        tree, errors = parse_strictly(state)
        assert errors == []
        ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
        assert [(state.name, name) for name, count in ids.items() if count > 1] == []
        if state.is_page:
            assert [(state.name, name) for name in referenced_ids(tree) if name not in ids] == []
    rendered = {name for _, name in get_services(app).templates.environment.cache or ()}
    assert rendered == {file.name for file in (ROOT / "templates").iterdir()}


async def test_the_title_begins_with_error_where_something_was_refused(states: list[PageState]) -> None:
    refused = set()
    for state in states:
        if state.is_page:
            page = parse_html(state.text)
            title, heading = page.select("title")[0].get_text(), page.select("h2")[0].get_text()
            begins = title.startswith(("Error: ", "错误："))
            assert (state.name, begins) == (state.name, state.status >= 400)
            rest = title.removeprefix("Error: ").removeprefix("错误：")
            name = page.select("#title")[0].get_text().strip()
            home = {"Roster: register here", "Roster：在这里注册"} if name == "Roster" else {name}
            assert rest in {*home, f"{heading} · {name}"}, state.name
            if begins:
                refused.add(state.status)
    assert refused >= {401, 403, 404, 405, 409, 413, 415, 422, 429}


@pytest.mark.parametrize(
    "text", ["<p><div></p>", "<p a a>", "<ul></ol>", "<p>&nosuch;</p>", "<b><i></b></i>"]
)
def test_the_parser_finds_errors(text: str) -> None:
    assert parse_strictly(PageState("wrong", 200, text, is_page=False))[1]
