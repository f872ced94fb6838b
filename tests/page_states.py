"""Every state of the page, for tests that look at what all of them have in common."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import httpx
import psycopg
from quart import Quart

from queries.roster import Roster
from queries.user_list import UserPage
from services.live_list import Snapshot
from tests.helpers import (
    FORM_HEADERS,
    HTMX,
    OTHER_PASSWORD,
    PASSWORD,
    add_users,
    http_client,
    insert_link,
    parse_html,
)
from web.i18n import Locale, force_locale
from web.request_context import get_services
from web.urls import build_url

QUERIES = "", "q=USER1", "q=user", "q=nobody", "q=%3Cb%3E%26%22", "before=x"
REFUSED_NAMES = (
    "user1",
    "",
    "a b",
    "a/b",
    "admin",
    "q\u0301\u0302\u0303\u0304",
    "pаypal",
    "x" * 33,
    "אa1",
    "\ufffd",
)
REFUSED_PASSWORDS = (
    "",
    "short",
    "password",
    "1234567",
    "zoezoezoe",
    "qwertyuiop",
    "x" * 257,
    "a\u200bb",
    "\ufffd",
)


REFUSED_PAGES = (
    {"title": "字" * 101, "description": "<x>"},
    {"title": "<x>", "description": "字" * 501},
    {"title": "x", "description": "x", "etag": "stale"},
)
REFUSED_REGISTRATIONS = (
    {"open": "on", "capacity": "0"},
    {"open": "perhaps", "capacity": ""},
    {"open": "on", "capacity": "3", "etag": "stale"},
)


@dataclass(frozen=True)
class PageState:
    """What came back for a request: a whole page, or a fragment."""

    name: str
    status: int
    text: str
    is_page: bool


async def collect_states(app: Quart, psql: psycopg.Connection, locale: Locale) -> list[PageState]:
    """Return every state of the page, whole and in fragments, in a locale. Starts with an empty list."""
    states = []
    for htmx in (False, True):
        psql.execute("TRUNCATE users")
        visitor = Visitor(app, locale, htmx=htmx)
        await visitor.read(psql)
        await visitor.register()
        await visitor.use_an_account()
        await visitor.organise(psql)
        await visitor.cause_errors(psql)
        states += visitor.states
    snapshot = Snapshot(UserPage(Roster(version=1), users=[]), is_live=False, away_since=datetime.now(UTC))
    renderer = get_services(app).snapshot_renderer
    with force_locale(locale):
        page = get_services(app).templates.render(
            "home.html",
            user_page=snapshot.user_page,
            is_live=snapshot.is_live,
            away_since=snapshot.away_since,
        )
    rendered = renderer.render(snapshot, locale)
    organiser = renderer.render(snapshot, locale, is_organiser=True)
    return [
        *states,
        PageState("away", 200, page, is_page=True),
        PageState("away, HTMX", 200, rendered.list_update, is_page=False),
        PageState(
            "event of an organiser",
            200,
            organiser.event.decode().partition("\n")[2].replace("data: ", ""),
            is_page=False,
        ),
    ]


class Visitor:
    """A browser in a locale, with HTMX or without, that keeps what comes back."""

    def __init__(self, app: Quart, locale: Locale, *, htmx: bool) -> None:
        self._app = app
        self._client = http_client(app)
        self._locale = locale
        self._htmx = htmx
        self.states: list[PageState] = []

    async def get(self, path: str, *, htmx: bool | None = None) -> PageState:
        return await self._send("GET", path, htmx=self._htmx if htmx is None else htmx)

    async def get_page(self) -> PageState:
        return await self.get("/", htmx=False)

    async def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> PageState:
        return await self._send("POST", path, headers, form, htmx=self._htmx)

    async def read(self, psql: psycopg.Connection) -> None:
        await self.get_page()
        await self.get("/users")
        add_users(psql, 60)
        await self.get("/share")
        for query in QUERIES:
            state = await self.get(f"/users?{query}" if self._htmx else f"/?{query}")
            if links := parse_html(state.text).select("a[rel=next]"):
                await self.get(str(links[0]["hx-get" if self._htmx else "href"]))

    async def register(self) -> None:
        for username in (*REFUSED_NAMES, "zoe"):
            await self.post("/register", username=username, password=PASSWORD)
            await self.get(f"/register/check?username={username}x", htmx=True)
            await self.get(f"/register/check?username={username}", htmx=True)
        await self.get("/?registered=zoe", htmx=False)
        for password in REFUSED_PASSWORDS:
            await self.post("/register", username="Anna", password=password)
        for password in (*REFUSED_PASSWORDS, PASSWORD):
            form = {"username": "Anna", "password": password}
            await self._send("POST", "/register/check", None, form, htmx=True)

    async def use_an_account(self) -> None:
        await self.post("/sign-in", username="zoe", password=OTHER_PASSWORD)
        await self.post("/sign-in", username="zoe", password=PASSWORD)
        await self.get_page()
        await self.get_page()
        await self.get("/users?q=zoe")
        await self.post("/register", username="Änne", password=PASSWORD)
        await self.get("/?registered=Änne", htmx=False)
        for current, new in (
            (OTHER_PASSWORD, OTHER_PASSWORD),
            (PASSWORD, "password"),
            (PASSWORD, OTHER_PASSWORD),
        ):
            await self.post("/account/password", current_password=current, new_password=new)
        await self.get_page()
        await self.post("/account/sign-out-everywhere")
        await self.get_page()
        await self.post("/account/delete", password=OTHER_PASSWORD)
        await self.post("/sign-in", username="zoe", password=OTHER_PASSWORD)
        await self.post("/sign-out")
        await self.get_page()
        await self.post("/sign-in", username="zoe", password=OTHER_PASSWORD)
        await self.post("/account/delete", password=PASSWORD)
        await self.post("/account/delete", password=OTHER_PASSWORD)
        await self.get_page()

    async def organise(self, psql: psycopg.Connection) -> None:
        await self.get("/organise/unknown", htmx=False)
        await self.post("/organiser/page", title="x")
        token = insert_link(psql)
        await self.get(f"/organise/{token}", htmx=False)
        await self._send("POST", f"/organise/{token}", htmx=False)
        await self.get_page()
        await self.get("/users?q=user")
        for form in REFUSED_PAGES:
            await self._send("POST", "/organiser/page", form=form, htmx=self._htmx)
        for form in REFUSED_REGISTRATIONS:
            await self._send("POST", "/organiser/registration", form=form, htmx=self._htmx)
        await self.post("/organiser/page", title="<b>国际象棋</b> & \"'", description="1\n<2>")
        await self.get_page()
        for form in {"open": "on", "capacity": "1"}, {"open": "off", "capacity": "1000"}:
            await self._send("POST", "/organiser/registration", form=form, htmx=self._htmx)
            await self.get_page()
            await self.post("/register", username="late", password=PASSWORD)
        await self.post("/organiser/registration", open="on", capacity="")
        for action in "new", "new", "off", "new":
            await self.post("/organiser/invitation", action=action)
            await self.get_page()
        await self.get("/share")
        for invitation in "", "wrong":
            await self.post("/register", username="late", password=PASSWORD, invitation=invitation)
        [(user_id,), (other_id,)] = psql.execute("SELECT id FROM users ORDER BY id LIMIT 2")
        await self.post("/organiser/reset", user_id=str(user_id))
        token = insert_link(psql, other_id)
        await self.get(f"/reset/{token}", htmx=False)
        for password in *REFUSED_PASSWORDS, OTHER_PASSWORD:
            form = {"new_password": password}
            await self._send("POST", f"/reset/{token}", form=form, htmx=False)
        await self.get_page()
        for _ in range(2):
            await self.post("/organiser/remove", user_id=str(user_id))
            await self.post("/organiser/reset", user_id=str(user_id))
        await self.get_page()
        await self.post("/organiser/leave")
        await self.get_page()
        await self.get("/?invitation=VTPBGZSV", htmx=False)
        psql.execute("UPDATE roster SET title = '', description = '', invitation = NULL")
        await self.post("/sign-out")

    async def cause_errors(self, psql: psycopg.Connection) -> None:
        await self.get("/nowhere")
        await self._send("DELETE", "/", htmx=self._htmx)
        await self.post("/register", {"Sec-Fetch-Site": "cross-site"}, username="x")
        await self.post("/register", {"Content-Type": "text/plain"}, username="x")
        await self.post("/register", username="x" * 20_000)
        services = get_services(self._app)
        limited = replace(services.settings, rate_limits=True)
        self._app.extensions["services"] = replace(services, settings=limited)
        await self.post("/register")
        psql.execute("UPDATE rate_limits SET full_at = now() + interval '90 seconds'")
        assert (await self.post("/register")).status == httpx.codes.TOO_MANY_REQUESTS
        self._app.extensions["services"] = services

    async def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        form: dict[str, str] | None = None,
        *,
        htmx: bool,
    ) -> PageState:
        with force_locale(self._locale):
            chosen = "" if "lang=" in path else build_url("").replace("?", "&" if "?" in path else "?")
        response = await self._client.request(
            method,
            path + chosen,
            headers={"Accept-Language": self._locale.language}
            | (FORM_HEADERS if form is not None else {})
            | (HTMX if htmx else {})
            | (headers or {}),
            data=form,
        )
        fields = {name: value[:20] for name, value in (form or {}).items()}
        name = f"{method} {path} {fields or ''} {'HTMX' if htmx else ''}"
        state = PageState(name.strip(), response.status_code, response.text, is_page=not htmx)
        if state.status != httpx.codes.SEE_OTHER:
            self.states.append(state)
        return state
