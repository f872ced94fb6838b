import asyncio
import re
from base64 import b64encode
from hashlib import sha256

import httpx
import psycopg
import pytest
from quart import Quart
from quart.testing import QuartClient
from werkzeug.datastructures import Headers

from app import create_app
from security import HEADERS, client_address, is_cross_site, read_fields
from settings import Settings
from tests.conftest import PASSWORD, Serve

OWN = "https://roster.example"


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": ""}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": OWN}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://other.example"}, False),
        ({"Origin": OWN}, False),
        ({"Origin": "https://ROSTER.example"}, False),
        ({"Origin": "http://roster.example"}, True),
        ({"Origin": "https://roster.example:8443"}, True),
        ({"Origin": "https://roster.example.evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": ""}, True),
        ({}, False),
    ],
)
def test_a_request_on_behalf_of_another_site_is_told_apart(headers: dict[str, str], refused: bool) -> None:  # noqa: FBT001
    assert is_cross_site(Headers(headers), OWN) is refused


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        (b"username=zoe", "zoe"),
        (b"username=%E5%BC%A0%E4%B8%89", "张三"),
        ("username=张三".encode(), "张三"),
        (b"username=a+b%2B&x=1", "a b+"),
        (b"username=", ""),
        (b"", ""),
        (b"password=x", ""),
        (b"username=a&username=b", "\ufffd"),
        (b"username=100%", "100\ufffd"),
        (b"username=%zz", "\ufffdzz"),
        (b"username=%FF", "\ufffd"),
        (b"username=\xff", "\ufffd"),
        (b"username=%ED%A0%80", "\ufffd" * 3),
    ],
)
def test_a_field_is_text_or_marked_unreadable(encoded: bytes, name: str) -> None:
    assert read_fields(encoded, "username") == [name]


def addresses(app: Quart) -> list[tuple[str, str]]:
    return [
        (method, re.sub("<.*?>", "1", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    ]


async def test_every_route_answers_with_the_security_headers(app: Quart, client: QuartClient) -> None:
    static = re.search('/static/scripts[^"]+', await (await client.get("/")).get_data(as_text=True))
    assert static
    app.extensions["live"].end()  # or the stream of changes would never end
    for method, path in [*addresses(app), ("GET", static[0]), ("GET", "/nowhere"), ("PUT", "/")]:
        response = await client.open(path, method=method)
        assert {name: response.headers.get(name) for name in HEADERS} == HEADERS, (method, path)
        assert "Strict-Transport-Security" not in response.headers


async def test_every_unsafe_route_refuses_another_site(app: Quart, client: QuartClient) -> None:
    unsafe = [(method, path) for method, path in addresses(app) if method not in {"GET", "HEAD", "OPTIONS"}]
    assert ("POST", "/register") in unsafe
    for method, path in unsafe:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            response = await client.open(path, method=method, headers=headers)
            assert response.status_code == 403, (method, path, headers)


async def test_every_unsafe_route_and_every_look_up_has_a_limit(database_url: str) -> None:
    app = create_app(Settings(database_url=database_url))
    async with app.test_app():
        client = app.test_client()
        paths = [
            (method, path) for method, path in addresses(app) if method not in {"GET", "HEAD", "OPTIONS"}
        ]
        for method, path in [
            *paths,
            ("GET", "/register/check?username=x"),
            ("GET", "/?q=x"),
            ("GET", "/?q=y"),
        ]:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            answers = await asyncio.gather(
                *(client.open(path, method=method, headers=form, data=b"") for _ in range(150))  # type: ignore[call-arg]
            )
            refused = [response for response in answers if response.status_code == 429]
            assert refused, (method, path, [response.status_code for response in answers])
            assert all(int(response.headers["Retry-After"]) > 0 for response in refused)
        assert (await client.get("/")).status_code == 200


async def test_31_registrations_at_once_from_one_address_on_two_processes_are_30(
    serve: Serve, database_url: str, database: psycopg.Connection
) -> None:
    both = [serve(DATABASE_URL=database_url, RATE_LIMITS="on") for _ in range(2)]
    async with httpx.AsyncClient() as client:
        answers = await asyncio.gather(
            *(
                client.post(
                    f"{both[n % 2].url}/register", data={"username": f"user{n}", "password": PASSWORD}
                )
                for n in range(31)
            )
        )
    assert sorted(answer.status_code for answer in answers) == [303] * 30 + [429]
    assert database.execute("SELECT count(*) FROM users").fetchone() == (30,)


@pytest.mark.parametrize(
    ("peer", "forwarded", "hops", "address"),
    [
        ("203.0.113.7", [], 0, "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], 0, "203.0.113.7"),
        ("10.0.0.1", ["198.51.100.1"], 1, "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], 1, "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], 1, "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1, 10.0.0.2"], 2, "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1"], 2, "198.51.100.1"),
        ("10.0.0.1", [], 1, "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4567"], 1, "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8:1:2:3:4:5:6]:4567"], 1, "2001:db8:1:2::"),
        ("10.0.0.1", ["nonsense"], 1, "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1,"], 1, "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", [], 0, "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff::", [], 0, "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", [], 0, "203.0.113.7"),
        ("10.0.0.1", ["2001:DB8:1:2:3:4:5:6"], 1, "2001:db8:1:2::"),
        ("<local>", [], 0, "<local>"),
        (None, [], 0, ""),
    ],
)
def test_a_visitor_is_told_apart_by_what_only_trusted_proxies_wrote(
    peer: str | None, forwarded: list[str], hops: int, address: str
) -> None:
    headers = Headers([("X-Forwarded-For", entry) for entry in forwarded])
    assert client_address(peer, headers, hops) == address


def test_the_content_security_policy_allows_nothing_unsafe() -> None:
    policy = HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/", "/?q=nobody", "/share", "/nowhere"])
async def test_the_content_security_policy_allows_the_stylesheet_in_the_page_by_its_hash(
    client: QuartClient, path: str
) -> None:
    page = await (await client.get(path)).get_data(as_text=True)
    [style] = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in HEADERS["content-security-policy"]


async def test_strict_transport_is_asked_for_over_tls_and_behind_a_tls_proxy(database_url: str) -> None:
    behind_proxy = create_app(Settings(database_url=database_url, public_origin=OWN))
    direct = create_app(Settings(database_url=database_url))
    for app, scheme in ((behind_proxy, "http"), (direct, "https")):
        async with app.test_app():
            response = await app.test_client().get("/", scheme=scheme)
            assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_behind_a_proxy_the_public_origin_is_our_own(
    database_url: str, database: psycopg.Connection
) -> None:
    app = create_app(Settings(database_url=database_url, public_origin=OWN))
    async with app.test_app():
        client = app.test_client()
        form = {"username": "zoe", "password": "violet-otter-lamp-39"}
        refused = await client.post("/register", form=form, headers={"Origin": "http://localhost"})
        taken = await client.post("/register", form=form, headers={"Origin": OWN})
    assert (refused.status_code, taken.status_code) == (403, 303)
    assert database.execute("SELECT username FROM users").fetchall() == [("zoe",)]
