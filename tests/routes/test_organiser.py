import asyncio
import csv
import logging
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import httpx
import psycopg
import pytest
import pytest_asyncio
from bs4 import Tag
from quart import Quart

from queries.roster import Roster
from tests.helpers import (
    FORM,
    FORM_HEADERS,
    PASSWORD,
    add_users,
    become_organiser,
    count_sessions,
    http_client,
    insert_link,
    is_signed_in,
    names_in,
    parse_html,
    register,
    sign_in,
    text_of,
    usernames,
)
from web.current_organiser import is_organiser
from web.rate_limits import ORGANISER_ACTION

ACTIONS = {
    "/organiser/page": {"title": "T", "description": "D"},
    "/organiser/registration": {"open": "off", "capacity": "3"},
    "/organiser/invitation": {"action": "new"},
    "/organiser/remove": {"user_id": "1"},
    "/organiser/reset": {"user_id": "1"},
    "/organiser/leave": {},
}
SEE_OTHER = httpx.codes.SEE_OTHER


@pytest_asyncio.fixture
async def organiser(app: Quart, psql: psycopg.Connection) -> httpx.AsyncClient:
    """An organiser's browser, with HTMX."""
    organiser = http_client(app, htmx=True)
    await become_organiser(organiser, psql)
    return organiser


async def get_page(client: httpx.AsyncClient, path: str = "/") -> httpx.Response:
    return await client.get(path, headers={"HX-Request": ""})


async def etag_of(client: httpx.AsyncClient, form: str) -> str:
    [field] = parse_html(await get_page(client)).select(f"#organiser-{form} [name=etag]")
    return str(field["value"])


def stored(psql: psycopg.Connection, columns: str) -> tuple[object, ...]:
    [row] = psql.execute(f"SELECT {columns} FROM roster")
    return row


def choices(psql: psycopg.Connection) -> tuple[object, ...]:
    return stored(psql, "title, description, open, capacity, invitation")


def attributes(tag: Tag | None) -> dict[str, object]:
    assert tag
    return dict(tag.attrs)


async def test_a_preview_of_the_link_uses_nothing_up(
    client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    token = insert_link(psql)
    for _ in range(3):
        page = await client.get(f"/organise/{token}")
        assert page.status_code == 200
        assert page.headers["Cache-Control"] == "no-store"
        assert [button.get_text() for button in parse_html(page).select("main button")] == [
            "Become the organiser"
        ]
        assert "Set-Cookie" not in page.headers
    assert not parse_html(await client.get("/")).select("#organiser")
    done = await client.post(f"/organise/{token}")
    assert (done.status_code, done.headers["Location"]) == (SEE_OTHER, "/")
    page = await client.get("/")
    assert text_of(page, "#organiser-message") == "This browser is the organiser's for 30 days."
    for method in "GET", "POST":
        used = await client.request(method, f"/organise/{token}")
        assert used.status_code == 404
        assert text_of(used, "main h2") == "This link has been used or has expired. Ask for a new one."


async def test_the_cookie_is_kept_for_30_days_from_scripts_and_other_sites(
    client: httpx.AsyncClient, app: Quart, psql: psycopg.Connection
) -> None:
    async with http_client(app, scheme="https") as tls_client:
        for browser, name in ((client, "organiser"), (tls_client, "__Host-organiser")):
            response = await become_organiser(browser, psql)
            [cookie] = [
                each for each in response.headers.get_list("Set-Cookie") if each.startswith(f"{name}=")
            ]
            assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"} <= set(cookie.split("; "))
    [(shortest, longest)] = psql.execute(
        "SELECT min(expires_at) - now(), max(expires_at) - now() FROM organisers"
    )
    assert timedelta(days=29, hours=23) < shortest <= longest <= timedelta(days=30)
    [(hashed,)] = psql.execute("SELECT bool_and(length(token_hash) = 32) FROM organisers")
    assert hashed


@pytest.mark.parametrize("kind", ["unknown", "expired", "of a password"])
async def test_other_links_make_nobody_an_organiser(
    client: httpx.AsyncClient, psql: psycopg.Connection, kind: str
) -> None:
    add_users(psql, 1)
    token = {
        "unknown": lambda: "x" * 43,
        "expired": lambda: insert_link(psql, hours=-1),
        "of a password": lambda: insert_link(psql, 1),
    }[kind]()
    for method in "GET", "POST":
        assert (await client.request(method, f"/organise/{token}")).status_code == 404
    assert psql.execute("SELECT FROM organisers").rowcount == 0


async def test_of_many_who_use_one_link_at_once_one_becomes_the_organiser(
    app: Quart, psql: psycopg.Connection
) -> None:
    token = insert_link(psql)
    browsers = [http_client(app) for _ in range(10)]
    statuses = [(await browser.post(f"/organise/{token}")).status_code for browser in browsers]
    assert sorted(statuses) == [SEE_OTHER, *[404] * 9]


@pytest.mark.parametrize("htmx", [False, True], ids=["plain", "HTMX"])
async def test_only_organisers_may_do_what_organisers_do(
    app: Quart, psql: psycopg.Connection, *, htmx: bool
) -> None:
    """Every route of the organiser, found in the route map, for each kind of visitor."""
    add_users(psql, 1)
    stranger, user, former, organiser = (http_client(app, htmx=htmx) for _ in range(4))
    await register(user)
    for browser in former, organiser:
        await become_organiser(browser, psql)
    [cookie] = [(name, value) for name, value in former.cookies.items() if name == "organiser"]
    await former.post("/organiser/leave")
    former.cookies.set(*cookie)
    routes = {
        str(rule): method
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
        if str(rule.endpoint).startswith("organiser.")
    }
    assert routes == {"/organiser/export.csv": "GET"} | dict.fromkeys(ACTIONS, "POST")
    before = choices(psql)
    for path, method in routes.items():
        for browser in stranger, user, former:
            response = await browser.request(method, path, data=ACTIONS.get(path))
            assert (path, response.status_code) == (path, 403)
            selector = "#organiser-message" if htmx and method == "POST" else "#notice" if htmx else "main h2"
            assert text_of(response, selector).startswith("Only the organiser can do this")
    assert (choices(psql), usernames(psql)) == (before, ["user1", "zoe"])
    for path in sorted(routes, key=["/organiser/export.csv", "/organiser/reset", *ACTIONS].index):
        response = await organiser.request(routes[path], path, data=ACTIONS.get(path))
        assert (path, response.status_code) in {(path, 200), (path, SEE_OTHER)}
    assert choices(psql) != before
    assert usernames(psql) == ["zoe"]


async def test_strangers_behind_the_same_address_do_not_keep_organisers_out(
    proxied_app: Quart, psql: psycopg.Connection
) -> None:
    organiser, stranger = http_client(proxied_app), http_client(proxied_app)
    await become_organiser(organiser, psql)
    refused = [await stranger.post("/organiser/page") for _ in range(ORGANISER_ACTION.count + 20)]
    assert {response.status_code for response in refused} == {403, 429}
    done = await organiser.post("/organiser/registration", data={"open": "off"})
    assert done.status_code == SEE_OTHER


async def test_a_form_that_ends_when_its_sender_is_no_organiser_any_more_does_nothing(
    organiser: httpx.AsyncClient, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_checked = asyncio.Event()

    def check(roster: Roster) -> bool:
        is_checked.set()
        return is_organiser(roster)

    async def send_slowly() -> AsyncIterator[bytes]:
        yield b"action="
        with suppress(TimeoutError):  # the check is to wait for the rest
            await asyncio.wait_for(is_checked.wait(), 0.5)
        psql.execute("DELETE FROM organisers")
        yield b"new"

    monkeypatch.setattr("routes.organiser.is_organiser", check)
    path = "/organiser/invitation"
    response = await organiser.post(path, content=send_slowly(), headers=FORM_HEADERS)
    assert response.status_code == 403
    assert stored(psql, "invitation") == (None,)


@pytest.mark.parametrize("path", [*ACTIONS, "/organise/x", "/reset/x"])
async def test_no_other_site_can_act_through_an_organisers_browser(
    organiser: httpx.AsyncClient, psql: psycopg.Connection, path: str
) -> None:
    before = choices(psql)
    response = await organiser.post(path, data=ACTIONS.get(path), headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert choices(psql) == before


async def test_title_and_description_are_shown_to_everybody(
    organiser: httpx.AsyncClient, client: httpx.AsyncClient
) -> None:
    form = {
        "title": " 国际象棋 <b>Chess</b> & \u0627\u0644\u0634\u0637\u0631\u0646\u062c",
        "description": "Line 1\r\nLine <2>",
    }
    title, description = form["title"].strip(), "Line 1\nLine <2>"
    done = await organiser.post("/organiser/page", data=form)
    assert done.status_code == 200
    assert text_of(done, "#organiser-message") == "Title and description are saved."
    assert text_of(done, "#title bdi") == title
    page = parse_html(await client.get("/"))
    assert [tag.get_text().strip() for tag in page.select("#title, title, #description")] == [
        title,
        title,
        description,
    ]
    metas = {
        str(tag.get("property") or tag.get("name")): tag["content"] for tag in page.select("meta[content]")
    }
    assert (metas["og:title"], metas["og:description"], metas["description"]) == (
        title,
        description,
        description,
    )
    assert text_of(await client.get("/share"), "title") == f"Share this page · {title}"
    await organiser.post("/organiser/page", data={"title": "", "description": " "})
    assert text_of(await client.get("/"), "#title") == "Roster"


async def test_a_text_that_is_too_long_is_refused_and_stays(
    organiser: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    for htmx in "true", "":
        refused = await organiser.post(
            "/organiser/page", data={"title": "x" * 101, "description": "kept"}, headers={"HX-Request": htmx}
        )
        assert refused.status_code == 422
        page = parse_html(refused)
        field = attributes(page.select_one("#new-title"))
        assert (field["value"], field["aria-invalid"]) == ("x" * 101, "true")
        assert text_of(refused, "#new-title-error") == "Write a shorter text: at most 100 characters."
        assert text_of(refused, "#new-description") == "kept"
        assert "open" in attributes(page.select_one("#organiser details"))
    assert stored(psql, "title, description") == ("", "")


@pytest.mark.parametrize(
    ("path", "data"),
    [("remove", {"user_id": "x"}), ("registration", {"open": "on", "capacity": "x"}), ("invitation", {})],
)
async def test_a_refusal_leaves_the_fields_of_other_forms(
    organiser: httpx.AsyncClient, psql: psycopg.Connection, path: str, data: dict[str, str]
) -> None:
    psql.execute("UPDATE roster SET title = 'T', description = 'D', capacity = 7")
    for headers in {}, {"HX-Request": ""}:
        page = parse_html(await organiser.post(f"/organiser/{path}", data=data, headers=headers))
        fields = page.select("#new-title, #new-description, #new-capacity")
        values = [field.get("value") or field.get_text().strip() for field in fields]
        assert values == ["T", "D", data.get("capacity", "7")]


async def test_a_stale_form_overwrites_nothing_and_says_so(
    organiser: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    etags = {form: await etag_of(organiser, form) for form in ("page", "places", "open", "invitation")}
    psql.execute("UPDATE roster SET title = 'theirs', capacity = 7, invitation = 'VTPBGZSV'")
    for path, form, etag in (
        ("/organiser/page", {"title": "mine", "description": ""}, etags["page"]),
        ("/organiser/registration", {"open": "on", "capacity": ""}, etags["places"]),
        ("/organiser/registration", {"open": "off", "capacity": ""}, etags["open"]),
        ("/organiser/invitation", {"action": "off"}, etags["invitation"]),
    ):
        for htmx in "true", "":
            stale = await organiser.post(path, data=form | {"etag": etag}, headers={"HX-Request": htmx})
            assert stale.status_code == 409
            assert text_of(stale, "#organiser-message").startswith("Somebody else has changed this")
            assert text_of(stale, "#title bdi") == "theirs"
    assert choices(psql) == ("theirs", "", True, 7, "VTPBGZSV")
    stale = await organiser.post(
        "/organiser/page", data={"title": "mine", "description": "", "etag": etags["page"]}
    )
    page = parse_html(stale)
    assert attributes(page.select_one("#organiser #new-title"))["value"] == "mine"
    field = attributes(page.select_one("#organiser-page [name=etag]"))
    form = {"title": "mine", "description": "", "etag": str(field["value"])}
    again = await organiser.post("/organiser/page", data=form)
    assert again.status_code == 200
    assert stored(psql, "title") == ("mine",)


async def test_an_organiser_closes_bounds_and_opens_registration(
    organiser: httpx.AsyncClient, client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    done = await organiser.post("/organiser/registration", data={"open": "off", "capacity": "1"})
    assert text_of(done, "#organiser-message") == "Registration is closed now."
    assert choices(psql)[2:4] == (False, 1)
    assert text_of(await client.get("/"), "#register-state") == "Registration is closed."
    refused = await register(client)
    assert refused.status_code == 403
    assert text_of(refused, "#register-message") == "This comes too late: registration is closed."
    await organiser.post("/organiser/registration", data={"open": "on", "capacity": "1"})
    assert text_of(await client.get("/"), "#register-state") == ""
    assert text_of(await client.get("/"), "#total") == "0 of 1 registered"
    assert (await register(client)).status_code == SEE_OTHER
    assert text_of(await client.get("/"), "#register-state") == "The one place is taken."
    refused = await register(client, "anna")
    assert (refused.status_code, names_in(refused)) == (409, ["zoe"])
    assert text_of(refused, "#register-message") == "This comes too late: all places are taken."
    await organiser.post("/organiser/registration", data={"open": "on", "capacity": ""})
    assert choices(psql)[2:4] == (True, None)


@pytest.mark.parametrize(
    "form", [{"open": "on", "capacity": "0"}, {"open": "on", "capacity": "many"}, {"open": "maybe"}, {}]
)
async def test_a_form_that_is_not_allowed_changes_nothing(
    organiser: httpx.AsyncClient, psql: psycopg.Connection, form: dict[str, str]
) -> None:
    before = choices(psql)
    refused = await organiser.post("/organiser/registration", data=form)
    assert refused.status_code == 422
    assert text_of(refused, "#organiser-message") or text_of(refused, "#new-capacity-error")
    assert (await organiser.post("/organiser/invitation", data={"action": "on"})).status_code == 422
    assert choices(psql) == before


async def test_an_invitation_keeps_out_whoever_has_not_got_it(
    organiser: httpx.AsyncClient, app: Quart, psql: psycopg.Connection
) -> None:
    await organiser.post("/organiser/invitation", data={"action": "new"})
    [code] = stored(psql, "invitation")
    assert isinstance(code, str)
    written = f"{code[:4]} {code[4:]}"
    assert written in (await get_page(organiser)).text
    assert f"/?invitation={code}" in (await organiser.get("/share")).text
    stranger, invited = http_client(app), http_client(app)
    for path in "/", "/?q=a", "/share", "/users", "/nowhere", "/?registered=x":
        for htmx in "", "true":
            text = (await stranger.get(path, headers={"HX-Request": htmx})).text
            assert code not in text
            assert written not in text
    assert (await register(stranger)).status_code == 422
    wrong = await stranger.post("/register", data=FORM | {"invitation": "VTPB GZSV"})
    assert wrong.status_code == 422
    assert attributes(parse_html(wrong).select_one("#invitation"))["value"] == "VTPB GZSV"
    assert attributes(parse_html(wrong).select_one("#username"))["value"] == "zoe"
    page = await invited.get(f"/?invitation={written.lower()}")
    assert attributes(parse_html(page).select_one("#invitation"))["value"] == code
    for path in "/", "/?q=x":  # the browser keeps it
        assert attributes(parse_html(await invited.get(path)).select_one("#invitation"))["value"] == code
    assert f"/?invitation={code}" in (await invited.get("/share")).text
    assert (
        await invited.post("/register", data=FORM | {"invitation": written.lower()})
    ).status_code == SEE_OTHER
    await organiser.post("/organiser/invitation", data={"action": "new"})
    late = await invited.post("/register", data=FORM | {"username": "anna", "invitation": code})
    assert (late.status_code, usernames(psql)) == (422, ["zoe"])
    await organiser.post("/organiser/invitation", data={"action": "off"})
    assert (await register(stranger, "anna")).status_code == SEE_OTHER


async def test_a_closed_page_hashes_no_password(
    organiser: httpx.AsyncClient, client: httpx.AsyncClient, app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        pytest.fail("a password was hashed")

    monkeypatch.setattr(app.extensions["services"].password_hasher, "hash_validated", fail)
    for form, status in (
        ({"open": "off", "capacity": ""}, 403),
        ({"open": "on", "capacity": "1"}, 409),
    ):
        await organiser.post("/organiser/registration", data=form)
        if status == 409:
            monkeypatch.undo()
            await register(client, "first")
            monkeypatch.setattr(app.extensions["services"].password_hasher, "hash_validated", fail)
        assert (await register(client)).status_code == status


async def test_a_removed_person_is_gone_and_signed_out(
    organiser: httpx.AsyncClient, client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    await register(client)
    assert await is_signed_in(client)
    [row] = parse_html(await get_page(organiser)).select("#newest li")
    assert "Remove zoe?" in row.get_text()
    form = {"user_id": str(row["id"]).removeprefix("user-")}
    for _ in range(2):  # the second click finds it done
        removed = await organiser.post("/organiser/remove", data=form)
        assert removed.status_code == 200
        assert text_of(removed, "#organiser-message").startswith("This person is not on the list any more")
        assert names_in(removed) == []
    assert not await is_signed_in(client)
    assert (usernames(psql), count_sessions(psql)) == ([], 0)
    assert (await sign_in(client)).status_code == 401


@pytest.mark.parametrize(
    "user_id", ["", "x", "1; DROP TABLE users", str(2**63), "9" * 5000, "\0", "١", "--1", "-"]
)
async def test_nobody_has_an_id_that_is_none(organiser: httpx.AsyncClient, user_id: str) -> None:
    for path in "/organiser/remove", "/organiser/reset":
        response = await organiser.post(path, data={"user_id": user_id})
        assert response.status_code in {200, 422}
        assert "This person is not on the list any more" in text_of(response, "#organiser-message")


async def test_only_organisers_have_controls_on_rows(
    organiser: httpx.AsyncClient, client: httpx.AsyncClient, psql: psycopg.Connection
) -> None:
    add_users(psql, 1)
    for path in "/?q=user", "/users?q=user":
        assert parse_html(
            await organiser.get(path, headers={"HX-Request": "true" if "users" in path else ""})
        ).select(".person")
        assert not parse_html(
            await client.get(path, headers={"HX-Request": "true" if "users" in path else ""})
        ).select(".person")


async def test_leaving_ends_it(organiser: httpx.AsyncClient, psql: psycopg.Connection) -> None:
    left = await organiser.post("/organiser/leave")
    assert left.status_code == 200
    assert text_of(left, "#account-message") == "This browser is not the organiser's any more."
    assert "organiser" not in organiser.cookies
    assert not parse_html(await get_page(organiser)).select("#organiser, .person")
    assert psql.execute("SELECT FROM organisers").rowcount == 0


async def test_the_list_goes_home_as_csv(organiser: httpx.AsyncClient, psql: psycopg.Connection) -> None:
    hostile = ["=1+1", "+1", "-1", "@SUM", "\tx", "\rx", 'a"b', "a,b", "a\nb", "张三", "＝1"]
    for name in hostile:
        psql.execute(
            "INSERT INTO users (username, username_key, password_hash) VALUES (%s, %s, '-')", [name, name]
        )
    add_users(psql, 1500)
    response = await organiser.get("/organiser/export.csv", headers={"HX-Request": ""})
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="roster.csv"'
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content.startswith(b"\xef\xbb\xbf")
    header, *rows = csv.reader(response.content.decode("utf-8-sig").splitlines(keepends=True))
    assert header == ["name", "registered_at", "number"]
    assert [row[0].removeprefix("'") for row in rows] == [*hostile, *(f"user{n}" for n in range(1, 1501))]
    assert [row[0][0] for row in rows[:6]] == ["'"] * 6
    assert [int(row[2]) for row in rows] == list(range(1, 1512))
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[1]) for row in rows)


async def test_what_an_organiser_does_is_logged_without_names(
    organiser: httpx.AsyncClient,
    client: httpx.AsyncClient,
    psql: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await register(client, "secret-name")
    [(user_id,)] = psql.execute("SELECT id FROM users")
    with caplog.at_level(logging.INFO, "organiser"):
        for path, form in ACTIONS.items():
            if path != "/organiser/remove":
                await organiser.post(
                    path, data=form | ({"user_id": str(user_id)} if "user_id" in form else {})
                )
    messages = [record.getMessage() for record in caplog.records if record.name == "organiser"]
    assert messages == [
        "changed title, description",
        "changed open, capacity",
        "changed invitation",
        f"made a link to set a new password for the person with the id {user_id}",
        "left",
    ]
    [code] = stored(psql, "invitation")
    assert not any(
        secret in line for line in caplog.messages for secret in ("secret-name", PASSWORD, str(code))
    )
