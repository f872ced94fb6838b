import asyncio
import hashlib
import random
import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import psycopg
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from quart import Quart
from quart.testing import QuartClient

from app import create_app
from settings import Settings
from tests.conftest import PASSWORD, add_users

HTMX = {"HX-Request": "true"}
OTHER = "amber-heron-kite-52"
FORM_TYPE = "application/x-www-form-urlencoded"


class Browser:
    """A visitor with a jar of cookies, which shows what is set and can be stolen from."""

    def __init__(self, app: Quart, *, htmx: bool = True, scheme: str = "http") -> None:
        self._client = QuartClient(app, use_cookies=False)
        self.headers_sent = HTMX if htmx else {}
        self._scheme = scheme
        self.cookies: dict[str, str] = {}
        self.set_cookie = ""

    async def send(self, method: str, path: str, form: dict[str, str] | None = None) -> "Browser":
        headers = dict(self.headers_sent)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if form is not None:
            headers["Content-Type"] = FORM_TYPE
        response = await self._client.open(
            path, method=method, headers=headers, data=urlencode(form or {}), scheme=self._scheme
        )
        self.status, self.headers = response.status_code, response.headers
        self.text = str(await response.get_data(as_text=True))
        self.set_cookie = "\n".join(response.headers.getlist("Set-Cookie"))
        for line in response.headers.getlist("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return self

    async def post(self, path: str, **form: str) -> "Browser":
        return await self.send("POST", path, form)

    async def get(self, path: str) -> "Browser":
        return await self.send("GET", path)

    async def sign_in(self, username: str = "zoe", password: str = PASSWORD) -> "Browser":
        return await self.post("/sign-in", username=username, password=password)

    async def is_signed_in(self) -> bool:
        return "Signed in as" in (await self.get("/?q=")).text


@pytest_asyncio.fixture
async def browser(app: Quart, client: QuartClient) -> Browser:
    """A visitor who has registered as zoe."""
    await client.post("/register", form={"username": "Zoe", "password": PASSWORD})
    return Browser(app)


def said(visitor: Browser) -> str:
    """Return what was said of the account: what was done, or by a field why it was not."""
    found = re.findall('id="account-message"[^>]*>(.*?)</p>', visitor.text) or re.findall(
        'hx-target="#account-message"[^>]*>\\s*(.*?)\\s*</hx-partial>', visitor.text
    )
    errors = re.findall('<p id="[a-z-]+-error" class="error">(.*?)</p>', visitor.text)
    [sentence] = [re.sub("</?span>", "", text) for text in [*found, *errors] if text]
    return sentence


def count_sessions(database: psycopg.Connection) -> int:
    row = database.execute("SELECT count(*) FROM sessions").fetchone()
    assert row
    return int(row[0])


async def test_what_one_registered_one_can_sign_in_with(browser: Browser) -> None:
    await browser.sign_in("ＺＯＥ")
    assert browser.status == 200
    assert browser.text.startswith('<div id="account-panel"')
    assert said(browser) == "You are signed in."
    assert "<bdi>Zoe</bdi>" in browser.text
    assert PASSWORD not in browser.text
    page = await browser.get("/")
    assert "Signed in as <strong><bdi>Zoe</bdi></strong>" in page.text
    assert re.search("<bdi>Zoe</bdi> <em>you</em>", page.text)
    assert "<em>you</em>" in (await browser.get("/users")).text
    await browser.post("/sign-out")
    assert (browser.status, browser.cookies) == (200, {})
    assert 'id="sign-in"' in browser.text
    assert not await browser.is_signed_in()


async def test_without_javascript_signing_in_and_out_leads_back_to_the_page_which_says_so(
    app: Quart, client: QuartClient
) -> None:
    await client.post("/register", form={"username": "Zoe", "password": PASSWORD})
    plain = Browser(app, htmx=False)
    await plain.sign_in()
    assert (plain.status, plain.headers["Location"]) == (303, "/")
    assert said(await plain.get("/")) == "You are signed in."
    assert "You are signed in" not in (await plain.get("/")).text
    await plain.sign_in(password=OTHER)
    assert plain.status == 401
    assert said(plain) == "User name or password is wrong."
    await plain.post("/sign-out")
    assert (plain.status, plain.headers["Location"]) == (303, "/")
    assert said(await plain.get("/")) == "You are signed out."
    assert set(plain.cookies) == set()
    await plain.sign_in("nobody-of-that-name")
    assert (plain.status, "<html" in plain.text) == (401, True)
    assert re.search('id="sign-in-username"[^>]*value="nobody-of-that-name"', plain.text)


@pytest.mark.parametrize("path", ["/", "/?registered=Zoe"])
async def test_after_registering_the_message_offers_to_sign_in_with_the_name_filled_in(
    app: Quart, browser: Browser, path: str
) -> None:
    text = (await browser.get(path)).text
    if path == "/":
        text = (await Browser(app).post("/register", username="Zoe2", password=PASSWORD)).text
    assert re.search(r'is registered\..*<a href="#sign-in-password">Sign in</a>', text)
    assert re.search('id="sign-in-username"[^>]*value="Zoe2?"', text)
    assert ("<details open>" in text) is (path != "/")  # with a script the link opens it


async def test_who_is_signed_in_can_register_another_person_and_stays_who_they_are(browser: Browser) -> None:
    await browser.sign_in()
    await browser.post("/register", username="eve", password=PASSWORD)
    assert (browser.status, "is registered" in browser.text) == (200, True)
    assert "Sign in" not in browser.text
    assert "Signed in as <strong><bdi>Zoe" in (await browser.get("/")).text


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("zoe", OTHER),
        ("zoe", ""),
        ("zoe", "x" * 5000),
        ("zoe", PASSWORD + "\x00"),
        ("zoe", PASSWORD.upper()),
        ("nobody-of-that-name", PASSWORD),
        ("", ""),
        ("a b", PASSWORD),
        ("\x00", PASSWORD),
        ("x" * 5000, PASSWORD),
        ("demo1", "demo"),
    ],
)
async def test_unknown_name_and_wrong_password_are_one_answer(
    browser: Browser, database: psycopg.Connection, username: str, password: str
) -> None:
    database.execute(
        "INSERT INTO users (username, username_key, password_hash) VALUES ('demo1', 'demo1', 'demo')"
    )
    await browser.sign_in(username, password)
    assert (browser.status, browser.cookies) == (401, {})
    assert said(browser) == "User name or password is wrong."
    assert 'id="sign-in-password" name="password" type="password" required' in browser.text
    assert browser.text.count("aria-invalid=") == 1
    assert not password or password not in browser.text.replace("demo1", "")
    assert count_sessions(database) == 0


async def test_the_cookie_is_32_random_bytes_of_which_only_the_digest_is_stored(
    browser: Browser, database: psycopg.Connection
) -> None:
    await browser.sign_in()
    token = browser.cookies["session"]
    assert re.fullmatch("[A-Za-z0-9_-]{43}", token)
    for attribute in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"):
        assert attribute in browser.set_cookie
    assert "Domain" not in browser.set_cookie
    assert "Secure" not in browser.set_cookie
    stored = database.execute(
        "SELECT token_hash, expires_at - created_at = interval '30 days' FROM sessions"
    ).fetchall()
    assert stored == [(hashlib.sha256(token.encode()).digest(), True)]


async def test_over_tls_the_cookie_can_be_set_by_no_other_host_or_path(app: Quart, browser: Browser) -> None:
    over_tls = Browser(app, scheme="https")
    await over_tls.sign_in()
    assert over_tls.set_cookie.startswith("__Host-session=")
    assert "Secure" in over_tls.set_cookie
    assert await over_tls.is_signed_in()
    over_tls.cookies = {"session": over_tls.cookies["__Host-session"]}
    assert not await over_tls.is_signed_in()
    assert (await browser.sign_in()).status == 200


async def test_a_session_lasts_30_days_from_its_last_use_and_no_longer(
    browser: Browser, database: psycopg.Connection
) -> None:
    await browser.sign_in()
    await browser.get("/")
    assert browser.set_cookie == ""
    database.execute("UPDATE sessions SET expires_at = now() + interval '1 minute'")
    assert await browser.is_signed_in()
    assert "Max-Age=2592000" in browser.set_cookie
    left = database.execute(
        "SELECT expires_at - now() > interval '29 days 23 hours' FROM sessions"
    ).fetchone()
    assert left == (True,)
    database.execute("UPDATE sessions SET expires_at = now()")
    assert not await browser.is_signed_in()
    await browser.sign_in()
    assert count_sessions(database) == 1


async def test_a_password_is_changed_and_all_other_sessions_end(
    app: Quart, browser: Browser, database: psycopg.Connection
) -> None:
    phone = Browser(app)
    await phone.sign_in()
    await browser.sign_in()
    stolen = dict(browser.cookies)
    await browser.post("/account/password", current_password=PASSWORD, new_password=OTHER)
    assert (browser.status, "Your password is changed" in browser.text) == (200, True)
    assert await browser.is_signed_in()
    assert not await phone.is_signed_in()
    thief = Browser(app)
    thief.cookies = stolen
    assert not await thief.is_signed_in()
    assert count_sessions(database) == 1
    assert (await phone.sign_in()).status == 401
    assert (await phone.sign_in(password=OTHER)).status == 200


async def test_a_refused_registration_opens_no_form_of_the_account(app: Quart, browser: Browser) -> None:
    for signed_in in (False, True):
        for visitor in (browser, Browser(app, htmx=False)):
            if signed_in:
                await visitor.sign_in()
            await visitor.post("/register", username="eve", password="password")
            assert (visitor.status, "<details open" in visitor.text) == (422, False)


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        (OTHER, OTHER, "current-password"),
        ("", OTHER, "current-password"),
        (PASSWORD, "", "new-password"),
        (PASSWORD, "short", "new-password"),
        (PASSWORD, "password", "new-password"),
        (PASSWORD, "zoezoezoe", "new-password"),
        (PASSWORD, "x\x00" * 9, "new-password"),
    ],
)
async def test_a_password_that_is_wrong_or_not_allowed_is_not_changed(
    app: Quart, browser: Browser, current: str, new: str, field: str
) -> None:
    for visitor in (browser, Browser(app, htmx=False)):
        await visitor.sign_in()
        await visitor.post("/account/password", current_password=current, new_password=new)
        assert visitor.status == (422 if field == "new-password" else 401)
        assert re.search(
            f'id="{field}"[^>]*aria-invalid="true" +aria-describedby="{field}-error"', visitor.text
        )
        assert visitor.text.count("aria-invalid=") == 1
        assert "<details open>" in visitor.text
        assert "Signed in as" in visitor.text
        assert await visitor.is_signed_in()
    assert (await browser.sign_in()).status == 200


async def test_what_was_said_of_a_registration_is_taken_back_after_signing_in(browser: Browser) -> None:
    await browser.sign_in()
    assert re.search('hx-target="#register-message"[^>]*></hx-partial>', browser.text)
    await browser.sign_in(password=OTHER)
    assert "#register-message" not in browser.text


async def test_signing_out_everywhere_ends_every_session(
    app: Quart, browser: Browser, database: psycopg.Connection
) -> None:
    await Browser(app).sign_in()
    await browser.sign_in()
    await browser.post("/account/sign-out-everywhere")
    assert (browser.status, browser.cookies, count_sessions(database)) == (200, {}, 0)
    assert "signed out everywhere" in browser.text


async def test_an_account_is_deleted_with_its_sessions_and_the_list_changes(
    app: Quart, browser: Browser, database: psycopg.Connection
) -> None:
    await Browser(app).sign_in()
    await browser.sign_in()
    await browser.post("/account/delete", password=OTHER)
    assert (browser.status, "This password is wrong" in browser.text) == (401, True)
    assert await browser.is_signed_in()
    await browser.post("/account/delete", password=PASSWORD)
    assert (browser.status, browser.cookies, count_sessions(database)) == (200, {}, 0)
    assert "Your account is deleted" in browser.text
    assert re.search('hx-target="#count"[^>]*>0<', browser.text)
    assert "<bdi>Zoe</bdi>" not in browser.text
    assert (await browser.sign_in()).status == 401


@pytest.mark.parametrize("path", ["/account/password", "/account/delete"])
async def test_who_is_signed_out_is_asked_to_sign_in_again(browser: Browser, path: str) -> None:
    form = {"password": PASSWORD, "current_password": PASSWORD, "new_password": OTHER}
    await browser.post(path, **form)
    assert (browser.status, "Sign in again" in browser.text) == (401, True)
    assert (await browser.sign_in()).status == 200


@pytest.mark.parametrize(
    "statement", ["DELETE FROM users", "TRUNCATE users", "TRUNCATE users RESTART IDENTITY"]
)
async def test_whoever_is_deleted_by_hand_is_signed_out_even_if_their_id_comes_again(
    app: Quart, browser: Browser, database: psycopg.Connection, statement: str
) -> None:
    await browser.sign_in()
    database.execute(statement)
    add_users(database, 1)
    assert count_sessions(database) == 0
    assert not await browser.is_signed_in()
    assert (await Browser(app).get("/")).status == 200


async def test_a_hash_of_other_parameters_is_renewed_at_the_next_sign_in(
    browser: Browser, database: psycopg.Connection
) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    database.execute("UPDATE users SET password_hash = %s", [old])
    assert (await browser.sign_in()).status == 200
    [(renewed,)] = database.execute("SELECT password_hash FROM users").fetchall()
    assert renewed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await browser.is_signed_in()
    assert (await browser.sign_in()).status == 200
    assert database.execute("SELECT password_hash FROM users").fetchall() == [(renewed,)]


async def test_sign_ins_at_once_that_all_renew_the_hash_all_succeed(
    app: Quart, database: psycopg.Connection
) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(PASSWORD)
    database.execute(
        "INSERT INTO users (username, username_key, password_hash) VALUES ('zoe', 'zoe', %s)", [old]
    )
    visitors = await asyncio.gather(*(Browser(app).sign_in() for _ in range(8)))
    assert [visitor.status for visitor in visitors] == [200] * 8
    assert all([await visitor.is_signed_in() for visitor in visitors])
    assert not await Browser(app).is_signed_in()


# What an attacker tries.


async def test_a_token_from_before_the_sign_in_is_not_taken_over(browser: Browser, app: Quart) -> None:
    browser.cookies = {"session": "fixed-by-an-attacker"}
    await browser.sign_in()
    first = browser.cookies["session"]
    assert first != "fixed-by-an-attacker"
    await browser.sign_in()
    assert browser.cookies["session"] != first
    thief = Browser(app)
    thief.cookies = {"session": first}
    assert not await thief.is_signed_in()


@pytest.mark.parametrize("ending", ["/sign-out", "/account/sign-out-everywhere", "/account/delete"])
async def test_a_stolen_token_is_worthless_after_its_session_has_ended(
    app: Quart, browser: Browser, ending: str
) -> None:
    await browser.sign_in()
    thief = Browser(app)
    thief.cookies = dict(browser.cookies)
    assert await thief.is_signed_in()
    await browser.post(ending, password=PASSWORD)
    assert browser.status == 200
    assert not await thief.is_signed_in()


@pytest.mark.parametrize("value", ["garbage", "x" * 4096, "a\x80\xffb", '"', "%00", "张", "a,b", "=;="])
async def test_a_cookie_of_garbage_is_nobodys(browser: Browser, value: str) -> None:
    browser.cookies = {"session": value.encode().decode("latin-1")}
    assert (await browser.get("/")).status == 200
    assert "Signed in" not in browser.text
    assert (await browser.post("/account/delete", password=PASSWORD)).status == 401
    assert (await browser.sign_in()).status == 200


async def test_of_two_cookies_none_is_believed(app: Quart, browser: Browser) -> None:
    await browser.sign_in()
    token = browser.cookies["session"]
    for value in (f"{token}; session=tossed", f"tossed; session={token}"):
        tossed = Browser(app)
        tossed.cookies = {"session": value}
        assert not await tossed.is_signed_in()


async def test_no_answer_to_a_person_is_ever_stored(app: Quart, browser: Browser) -> None:
    await browser.sign_in()
    for path in ("/", "/?q=z", "/users", "/register/check?username=x", "/nowhere", "/?lang=zh"):
        answer = await browser.get(path)
        assert answer.headers["Cache-Control"] == "no-store", path
        assert "Cookie" in answer.headers["Vary"]
        assert "ETag" not in answer.headers
    for path in ("/register", "/account/password", "/account/delete", "/sign-in", "/sign-out"):
        answer = await browser.post(path)
        assert answer.headers["Cache-Control"] == "no-store", path
    stranger = await Browser(app).get("/")
    assert "Cookie" in stranger.headers["Vary"]
    assert "Set-Cookie" not in stranger.headers
    assert "Signed in" not in stranger.text
    assert "<em>you</em>" not in re.sub("(?s)<template.*?</template>", "", stranger.text)


async def test_a_person_gets_no_304_for_the_page_of_a_stranger(browser: Browser, app: Quart) -> None:
    etag = (await Browser(app).get("/")).headers["ETag"]
    await browser.sign_in()
    browser.headers_sent = {"If-None-Match": etag}
    assert (await browser.get("/")).status == 200


@pytest.mark.parametrize("name", ["<script>", '"onfocus="x', "{{7*7}}", "o'hara", "&amp;", "a%0d%0ab"])
async def test_a_name_of_markup_is_text_in_the_account_too(
    app: Quart, client: QuartClient, name: str
) -> None:
    await client.post("/register", form={"username": name, "password": PASSWORD})
    visitor = Browser(app)
    await visitor.sign_in(name)
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = escaped.replace('"', "&#34;").replace("'", "&#39;")
    assert f"<bdi>{escaped}</bdi>" in visitor.text
    assert f'name="username" value="{escaped}"' in visitor.text
    await visitor.post("/sign-out")
    await visitor.sign_in(name, OTHER)
    assert f'name="username" value="{escaped}"' in visitor.text


async def test_no_password_or_token_reaches_a_log(
    browser: Browser, database: psycopg.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    await browser.sign_in()
    token = browser.cookies["session"]
    await browser.sign_in(password=OTHER)
    await browser.post("/account/password", current_password=PASSWORD, new_password=OTHER)
    database.execute("DROP TABLE sessions CASCADE")
    for path in ("/sign-in", "/account/password", "/account/delete"):
        await browser.post(
            path, username="zoe", password=OTHER, current_password=OTHER, new_password=PASSWORD
        )
        assert browser.status == 500
    for secret in (PASSWORD, OTHER, token, browser.cookies["session"], "$argon2id"):
        assert secret not in caplog.text + browser.text
    assert "sessions" in caplog.text


async def test_other_sites_cannot_sign_anybody_in(browser: Browser) -> None:
    browser.headers_sent = {"Sec-Fetch-Site": "cross-site"}
    await browser.sign_in()
    assert (browser.status, browser.cookies) == (403, {})


async def test_limits_are_for_each_name_and_address_and_say_how_long(database_url: str) -> None:
    app = create_app(Settings(database_url=database_url))
    async with app.test_app():
        visitor = Browser(app)
        await visitor.post("/register", username="zoe", password=PASSWORD)
        statuses = [(await visitor.sign_in("zoe", OTHER)).status for _ in range(11)]
        assert statuses == [401] * 10 + [429]
        seconds = int(visitor.headers["Retry-After"])
        assert 1 <= seconds <= 6
        assert f"try again in {seconds} seconds" in visitor.text
        assert 'hx-target="#account-message"' in visitor.text
        assert (await visitor.sign_in()).status == 429
        assert (await visitor.sign_in("eve")).status == 401


async def test_no_address_can_try_a_password_on_all_names(database_url: str) -> None:
    app = create_app(Settings(database_url=database_url))
    async with app.test_app():
        visitors = await asyncio.gather(*(Browser(app).sign_in(f"user{n}", OTHER) for n in range(61)))
        assert sorted(visitor.status for visitor in visitors) == [401] * 60 + [429]


@pytest.mark.parametrize("length", [129, 3000, 12_000])
async def test_a_name_too_long_to_exist_is_nobodys(
    database_url: str, database: psycopg.Connection, length: int
) -> None:
    app = create_app(Settings(database_url=database_url))
    async with app.test_app():
        name = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))  # noqa: S311
        assert (await Browser(app).sign_in(name)).status == 401
    assert database.execute("SELECT max(length(key)) < 50 FROM rate_limits").fetchone() == (True,)


async def test_a_session_that_is_not_found_leaves_the_cookie_alone(browser: Browser) -> None:
    for path in ("/?q=", "/users"):
        browser.cookies = {"session": "of-another-program-on-this-host"}
        assert (await browser.get(path)).set_cookie == ""


async def test_the_right_password_does_not_count_as_a_failure(
    database_url: str, database: psycopg.Connection
) -> None:
    app = create_app(Settings(database_url=database_url))
    async with app.test_app():
        visitor = Browser(app)
        await visitor.post("/register", username="zoe", password=PASSWORD)
        database.execute("INSERT INTO rate_limits VALUES ('failures zoe', now() + interval '3563 s')")
        assert [(await visitor.sign_in()).status for _ in range(3)] == [200] * 3
        assert (await visitor.sign_in("zoe", OTHER)).status == 401
        assert (await visitor.sign_in()).status == 429
        assert int(visitor.headers["Retry-After"]) <= 36
