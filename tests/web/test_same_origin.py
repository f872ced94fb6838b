import re

import httpx
import psycopg
import pytest
from quart import Quart
from werkzeug.datastructures import Headers

from app import create_app
from settings import Settings
from tests.helpers import FORM, http_client, register, usernames
from web.same_origin import SAFE_METHODS, is_cross_site

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
def test_a_request_on_behalf_of_another_site_is_recognized(headers: dict[str, str], *, refused: bool) -> None:
    assert is_cross_site(Headers(headers), OWN) is refused


async def test_every_unsafe_route_refuses_other_sites(app: Quart, client: httpx.AsyncClient) -> None:
    unsafe = [
        (method, re.sub("<.*?>", "1", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - SAFE_METHODS
    ]
    assert ("POST", "/register") in unsafe
    for method, path in unsafe:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
        ):
            response = await client.request(method, path, headers=headers)
            assert response.status_code == 403, (method, path, headers)


@pytest.mark.parametrize("method", sorted(SAFE_METHODS))
async def test_other_sites_may_link_to_the_page(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/", headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 200


@pytest.mark.parametrize("host", ["roster.test:8000", "my_roster:8000", "[::1]:8000", "roster.test:80"])
async def test_a_page_without_tls_may_send_its_own_forms(client: httpx.AsyncClient, host: str) -> None:
    origin = f"http://{host}".removesuffix(":80")  # as a browser writes it
    for sent, status in ((origin, 303), ("http://other.test", 403)):
        response = await client.post("/register", data=FORM, headers={"Host": host, "Origin": sent})
        assert response.status_code == status


async def test_a_client_that_is_no_browser_may_register(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    assert (await register(client)).status_code == 303
    assert usernames(psql) == ["zoe"]


async def test_behind_a_proxy_only_the_public_origin_is_our_own(
    database_url: str, psql: psycopg.Connection
) -> None:
    app = create_app(Settings(database_url=database_url, public_origin=OWN))
    async with app.test_app():
        client = http_client(app)
        for origin, status in (("http://roster.test", 403), (OWN, 303)):
            response = await client.post("/register", data=FORM, headers={"Origin": origin})
            assert response.status_code == status
    assert usernames(psql) == ["zoe"]
