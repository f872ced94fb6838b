from pathlib import Path

import httpx
import psycopg
import pytest
from quart import Quart

from app import create_app
from settings import Settings
from tests.helpers import FORM, HTMX, add_users, http_client, names_in, parse_html, text_of


async def test_a_refused_form_comes_back_on_the_whole_page_with_the_list(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 2)
    response = await client.post("/register", data={"username": "a b"})
    assert response.status_code == 422
    assert text_of(response, "#count") == "2"
    assert names_in(response) == ["user2", "user1"]


async def test_a_refused_form_comes_back_alone_for_htmx(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 2)
    response = await client.post("/register", data={"username": "a b"}, headers=HTMX)
    assert response.status_code == 422
    assert parse_html(response).select("#register-form")
    assert names_in(response) == []


@pytest.mark.parametrize(("header", "is_fragment"), [("true", True), ("false", False), ("", False)])
async def test_only_a_request_of_htmx_is_answered_with_a_fragment(
    client: httpx.AsyncClient, header: str, *, is_fragment: bool
) -> None:
    response = await client.get("/share", headers={"HX-Request": header})
    assert bool(parse_html(response).select("main")) is not is_fragment


async def test_a_registration_comes_with_the_list_although_no_change_is_notified(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        database_url=database_url, listen_database_url=f"host={tmp_path} dbname=x", rate_limits=False
    )
    app = create_app(settings)
    async with app.test_app():
        response = await http_client(app, htmx=True).post("/register", data=FORM)
    assert text_of(response, "#count") == "1"
    assert names_in(response) == ["zoe"]


async def test_the_page_names_the_shortest_password_and_its_public_address(database_url: str) -> None:
    settings = Settings(
        database_url=database_url, password_min_length=13, public_origin="https://roster.example"
    )
    app = create_app(settings)
    async with app.test_app():
        page = await http_client(app).get("/")
    assert "At least 13 characters, for example" in text_of(page, "#password-hint")
    [image] = parse_html(page).select("meta[property='og:image']")
    assert str(image["content"]).startswith("https://roster.example/static/social_card.")


async def test_every_page_fits_the_search_that_it_belongs_to(app: Quart, psql: psycopg.Connection) -> None:
    add_users(psql, 60)
    page = await http_client(app).get("/", params={"q": "USER1"})
    [field] = parse_html(page).select("input[name=q]")
    assert field["value"] == "USER1"
    assert names_in(page) == ["user1", *(f"user{n}" for n in range(10, 20))]
