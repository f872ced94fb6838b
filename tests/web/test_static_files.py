import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from quart import Quart

from tests.helpers import ROOT, StartServer, parse_html
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


async def test_each_coding_has_a_strong_entity_tag_of_its_own(client: httpx.AsyncClient) -> None:
    [url] = [url for url in await find_static_urls(client) if url.endswith(".js")]
    etags = {
        (await client.get(url, headers={"Accept-Encoding": coding})).headers["ETag"]
        for coding in ("br", "gzip", "identity")
    }
    assert len(etags) == 3
    assert not [etag for etag in etags if etag.startswith("W/")]


@pytest.mark.parametrize("if_none_match", ['"x", {}', "W/{}", "*"])
async def test_a_file_that_the_browser_has_is_not_sent_again(
    client: httpx.AsyncClient, if_none_match: str
) -> None:
    for url in await find_static_urls(client):
        first = await client.get(url)
        headers = {"If-None-Match": if_none_match.format(first.headers["ETag"])}
        again = await client.get(url, headers=headers)
        assert (again.status_code, again.content) == (304, b"")
        for name in ("Cache-Control", "Content-Type", "ETag", "Vary"):
            assert again.headers[name] == first.headers[name]


async def test_a_resumed_download_begins_again(client: httpx.AsyncClient) -> None:
    for url in await find_static_urls(client):
        whole = await client.get(url)
        for ranges in ("bytes=5-", "bytes=9999999-"):
            headers = {"Range": ranges, "If-Range": whole.headers["ETag"]}
            resumed = await client.get(url, headers=headers)
            assert (resumed.status_code, resumed.content) == (200, whole.content)


async def test_a_static_file_is_the_same_for_everybody(visitor: httpx.AsyncClient) -> None:
    [url] = [url for url in await find_static_urls(visitor) if url.endswith(".js")]
    response = await visitor.get(url)
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["Vary"] == "Accept-Encoding"


async def test_beside_another_version_each_page_gets_scripts_but_must_not_keep_those_of_the_other(
    serve: StartServer, database_url: str
) -> None:
    tuning = "from web import static_files; static_files.SCRIPTS = static_files.SCRIPTS[:-1]"
    old, new = serve(DATABASE_URL=database_url, tuning=tuning), serve(DATABASE_URL=database_url)
    async with httpx.AsyncClient(base_url=old.url) as one, httpx.AsyncClient(base_url=new.url) as other:
        for page, client in ((one, other), (other, one)):
            [own] = [url for url in await find_static_urls(client) if url.endswith(".js")]
            [foreign] = [url for url in await find_static_urls(page) if url.endswith(".js")]
            assert own != foreign
            response = await client.get(foreign)
            assert response.status_code == 200
            assert response.content == (await client.get(own)).content
            assert response.headers["Cache-Control"] == "public, no-cache"


async def test_static_files_need_no_folder_for_temporary_files(serve: StartServer, database_url: str) -> None:
    tuning = "import tempfile; tempfile._candidate_tempdir_list = list"
    roster = serve(DATABASE_URL=database_url, tuning=tuning)
    async with httpx.AsyncClient(base_url=roster.url) as client:
        for url in await find_static_urls(client):
            assert len((await client.get(url)).content) > 100
    assert roster.stop() == 0


async def test_a_killed_process_leaves_no_files(
    serve: StartServer, database_url: str, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    roster = serve(DATABASE_URL=database_url, TMPDIR=str(temporary))
    roster.stop(signal.SIGKILL)
    assert list(temporary.iterdir()) == []


async def test_nothing_else_is_served(client: httpx.AsyncClient) -> None:
    for path in (
        "favicon.svg",
        "scripts.js",
        "style.css",
        "style.0123456789ab.css",
        "search.0123456789ab.js",
        "htmx.min.js",
        "",
        "../app.py",
        "..%2Fapp.0123456789ab.py",
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
