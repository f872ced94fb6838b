"""A tour of every state of the page, for tests that look at what all of them have in common."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote, urlencode

import psycopg
from quart import Quart
from quart.testing import QuartClient

import db
from app import render_snapshot
from tests.conftest import PASSWORD, add_users
from words import Language, link, speaking

FORM_TYPE = "application/x-www-form-urlencoded"
SEE_OTHER, TOO_MANY = 303, 429
OTHER = "amber-heron-kite-52"
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


@dataclass(frozen=True)
class Sight:
    """What was answered to a request: a whole page, or a fragment."""

    name: str
    status: int
    text: str
    is_page: bool


async def tour(app: Quart, database: psycopg.Connection, language: Language) -> list[Sight]:
    """Return every state of the page, whole and in fragments, in a language. Starts with an empty list."""
    sights = []
    for htmx in (False, True):
        database.execute("TRUNCATE users")
        visitor = Visitor(app, language, htmx=htmx)
        await visitor.reads(database)
        await visitor.registers()
        await visitor.uses_an_account()
        await visitor.errs()
        sights += visitor.sights
    page, changes = await render_snapshot(
        app, db.Roster(1, 0, [], "", None, None), datetime.now(UTC), language
    )
    return [*sights, Sight("away", 200, page, is_page=True), Sight("away, HTMX", 200, changes, is_page=False)]


class Visitor:
    """Asks as a browser does that speaks a language, with HTMX or without, and keeps what it sees."""

    def __init__(self, app: Quart, language: Language, *, htmx: bool) -> None:
        self._app = app
        self._client = QuartClient(app)
        self._language = language
        self._htmx = htmx
        self.sights: list[Sight] = []

    async def get(self, path: str, *, htmx: bool | None = None) -> Sight:
        asks_by_htmx = self._htmx if htmx is None else htmx
        return await self._see("GET", path, {"HX-Request": "true"} if asks_by_htmx else {})

    async def page(self) -> Sight:
        return await self.get("/", htmx=False)

    async def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> Sight:
        htmx = {"HX-Request": "true"} if self._htmx else {}
        return await self._see("POST", path, {"Content-Type": FORM_TYPE} | htmx | (headers or {}), **form)

    async def reads(self, database: psycopg.Connection) -> None:
        await self.page()
        await self.get("/users")
        add_users(database, 60)
        await self.get("/share")
        for query in QUERIES:
            sight = await self.get(f"/users?{query}" if self._htmx else f"/?{query}")
            if following := re.search(r'href="([^"]*)" hx-get="([^"]*)"[^>]*rel="next"', sight.text):
                await self.get(unescape(following[2 if self._htmx else 1]))

    async def registers(self) -> None:
        for username in (*REFUSED_NAMES, "zoe"):
            await self.post("/register", username=username, password=PASSWORD)
            await self.get(f"/register/check?username={username}x", htmx=True)
            await self.get(f"/register/check?username={username}", htmx=True)
        await self.get("/?registered=zoe", htmx=False)
        for password in REFUSED_PASSWORDS:
            await self.post("/register", username="Anna", password=password)

    async def uses_an_account(self) -> None:
        await self.post("/sign-in", username="zoe", password=OTHER)
        await self.post("/sign-in", username="zoe", password=PASSWORD)
        await self.page()
        await self.page()
        await self.get("/users?q=zoe")
        await self.post("/register", username="Änne", password=PASSWORD)
        await self.get("/?registered=Änne", htmx=False)
        for current, new in ((OTHER, OTHER), (PASSWORD, "password"), (PASSWORD, OTHER)):
            await self.post("/account/password", current_password=current, new_password=new)
        await self.page()
        await self.post("/account/sign-out-everywhere")
        await self.page()
        await self.post("/account/delete", password=OTHER)
        await self.post("/sign-in", username="zoe", password=OTHER)
        await self.post("/sign-out")
        await self.page()
        await self.post("/sign-in", username="zoe", password=OTHER)
        await self.post("/account/delete", password=PASSWORD)
        await self.post("/account/delete", password=OTHER)
        await self.page()

    async def errs(self) -> None:
        await self.get("/nowhere")
        await self.get("/register")
        await self.post("/register", {"Sec-Fetch-Site": "cross-site"}, username="x")
        await self.post("/register", {"Content-Type": "text/plain"}, username="x")
        await self.post("/register", username="x" * 20_000)
        self._app.config["RATE_LIMITS"] = True
        while (await self.post("/register")).status != TOO_MANY:
            self.sights.pop()
        self._app.config["RATE_LIMITS"] = False

    async def _see(self, method: str, path: str, headers: dict[str, str], **form: str) -> Sight:
        with speaking(self._language):
            chosen = "" if "lang=" in path else link("").replace("?", "&" if "?" in path else "?")
        response = await self._client.open(
            quote(path + chosen, safe="/?&=%"),
            method=method,
            headers={"Accept-Language": self._language.code} | headers,
            data=urlencode(form),
        )
        text = str(await response.get_data(as_text=True))
        htmx = "HX-Request" in headers
        said = {name: value[:20] for name, value in form.items()}
        name = f"{method} {path} {said or ''} {'HTMX' if htmx else ''}"
        sight = Sight(name.strip(), response.status_code, text, is_page=not htmx)
        if sight.status != SEE_OTHER:
            self.sights.append(sight)
        return sight
