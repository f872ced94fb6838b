import httpx
import psycopg
import pytest

from tests.helpers import HTMX, add_users, names_in, parse_html


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ANN", ["Anna", "annika"]),
        ("ａｎｎ", ["Anna", "annika"]),
        (" ann ", ["Anna", "annika"]),
        ("ä", ["Änne"]),
        ("a\u0308", ["Änne"]),
        ("张", ["张三", "张伟"]),
        ("зо", ["Зоя"]),
        ("%", ["%"]),
        ("_", ["_"]),
        ("\\", ["\\"]),
        ("%a", []),
        ("x" * 5000, []),
        ("\x00", []),
        ("an\x00", []),
        ("\u200b", []),
        ("'", []),
    ],
)
async def test_a_search_finds_names_by_prefix_in_any_script_and_case(
    client: httpx.AsyncClient, psql: psycopg.Connection, search: str, found: list[str]
) -> None:
    for name in ("Anna", "annika", "Änne", "张三", "张伟", "Зоя", "%", "_", "\\"):
        psql.execute(
            "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')",
            [name, name.lower()],
        )
    for path, headers in (("/", {}), ("/users", HTMX)):
        response = await client.get(path, params={"q": search}, headers=headers)
        assert (response.status_code, names_in(response)) == (200, found)
        assert not parse_html(response).select("#newest")


async def test_the_links_of_a_search_keep_its_text(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 60, "a&b=")
    response = await client.get("/users", params={"q": "A&B="}, headers=HTMX)
    assert response.headers["HX-Push-Url"] == "/?q=A%26B%3D"
    [link] = parse_html(response).select("a[rel=next]")
    following = await client.get(str(link["hx-get"]), headers=HTMX)
    assert len(names_in(following)) == 10
    assert following.headers["HX-Push-Url"].startswith("/?q=A%26B%3D&after=")
    page = await client.get(str(link["href"]))
    assert names_in(page) == names_in(following)
