import re
from typing import Any

import httpx
import pytest
from quart import Quart

from tests.helpers import ROOT, parse_html
from web.static_files import SCRIPTS


async def find_static_urls(client: httpx.AsyncClient) -> list[str]:
    page = parse_html(await client.get("/"))
    urls = [
        str(tag.get("href") or tag.get("src")) for tag in page.select("link[href], script[src], img[src]")
    ]
    return [url for url in urls if url.startswith("/static/")]


async def test_static_files_are_cached_for_a_year_under_a_name_with_their_hash(
    client: httpx.AsyncClient,
) -> None:
    urls = await find_static_urls(client)
    assert [url.rpartition(".")[2] for url in urls] == ["svg", "js"]
    for url in urls:
        assert re.search(r"\.[0-9a-f]{12}\.(js|svg)$", url)
        response = await client.get(url)
        assert response.status_code == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(("accepted", "coding"), [("br, gzip", "br"), ("gzip", "gzip"), ("identity", None)])
async def test_scripts_are_sent_compressed(
    client: httpx.AsyncClient, accepted: str, coding: str | None
) -> None:
    [url] = [url for url in await find_static_urls(client) if url.endswith(".js")]
    response = await client.get(url, headers={"Accept-Encoding": accepted})
    assert response.headers.get("Content-Encoding") == coding
    assert response.text == "\n".join((ROOT / "static" / name).read_text() for name in SCRIPTS)


async def test_nothing_but_hashed_names_is_served(client: httpx.AsyncClient) -> None:
    for path in (
        "favicon.svg",
        "scripts.js",
        "style.css",
        "htmx.min.js",
        "staticfiles.json",
        "",
        "../app.py",
    ):
        assert (await client.get(f"/static/{path}")).status_code == 404, path


async def test_what_stands_in_another_file_or_in_the_page_has_no_url(app: Quart) -> None:
    static: Any = app.jinja_env.globals["static"]
    assert static("social_card.png").startswith("/static/social_card.")
    for name in ("style.css", *SCRIPTS):
        with pytest.raises(KeyError):
            static(name)


def test_every_script_is_part_of_the_page() -> None:
    static = ROOT / "static"
    scripts = [path.relative_to(static).as_posix() for path in static.rglob("*.js")]
    assert sorted(SCRIPTS) == sorted(scripts)


async def test_the_stylesheet_stands_in_the_page_unescaped(client: httpx.AsyncClient) -> None:
    [style] = parse_html(await client.get("/")).select("style")
    assert str(style.string) == (ROOT / "static" / "style.css").read_text()


async def test_nothing_on_the_page_comes_from_another_host(client: httpx.AsyncClient) -> None:
    urls = [
        str(value)
        for tag in parse_html(await client.get("/")).find_all()
        for name, value in tag.attrs.items()
        if name in {"href", "src", "action"} or name.startswith("hx-")
    ]
    assert "/register" in urls
    assert not [url for url in urls if "//" in url]
