"""The locale of a response, and everything that is written in it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import httpx
import psycopg
import pytest
from babel.messages.pofile import read_po
from bs4 import BeautifulSoup
from bs4.element import PreformattedString, Tag
from quart import Quart
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from tests.helpers import HTMX, PASSWORD, parse_html, set_clock, text_of
from tests.page_states import collect_states
from web.i18n import (
    LANGUAGE_TAGS,
    TRANSLATIONS,
    Locale,
    force_locale,
    format_datetime,
    format_messages,
    format_number,
    format_ordinal,
    get_locale,
    gettext,
    negotiate_locale,
    ngettext,
)
from web.urls import build_url

ENGLISH, CHINESE, CHOSEN = Locale("en"), Locale("zh"), Locale("zh", chosen=True)
LINK_ATTRIBUTES = "href", "action", "hx-get", "hx-post", "hx-sse:connect"
SPOKEN_ATTRIBUTES = "alt", "aria-label", "placeholder", "title"
SPOKEN_META = "description", "og:title", "og:description"


def links(page: BeautifulSoup) -> set[str]:
    """Return the addresses on a page, except static files and the links between the languages."""
    found = {
        str(element[name])
        for element in page.select("*")
        for name in LINK_ATTRIBUTES
        if element.has_attr(name) and not element.has_attr("hreflang")
    }
    return {link for link in found if link.startswith("/") and not link.startswith("/static/")}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("en", "en"),
        ("en-GB", "en"),
        ("zh", "zh"),
        ("zh-CN", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-TW", "zh"),
        ("zh-Hans-CN", "zh"),
        ("ZH-cn", "zh"),
        ("de", "en"),
        ("de,zh;q=0.5", "zh"),
        ("de-CH,en;q=0.3,zh;q=0.7", "zh"),
        ("en;q=0.2,zh;q=0.1", "en"),
        ("zh;q=0,en", "en"),
        ("zh;q=0", "en"),
        ("*", "en"),
        ("", "en"),
        (";;q=,,=\xff zh?", "en"),
        ("zh" * 2000, "en"),
        (None, "en"),
    ],
)
async def test_a_response_is_in_the_best_language_that_the_browser_accepts(
    client: httpx.AsyncClient, accepted: str | None, language: str
) -> None:
    sent = {} if accepted is None else {"Accept-Language": accepted}
    headers = httpx.Headers(sent, encoding="latin-1")
    for path, status in (("/", 200), ("/?q=x", 200), ("/share", 200), ("/nowhere", 404)):
        response = await client.get(path, headers=headers)
        page = parse_html(response)
        assert response.status_code == status
        assert page.select(f'html[lang="{LANGUAGE_TAGS[language]}"]')
        assert "Accept-Language" in response.headers["Vary"]
        assert [link for link in links(page) if "lang=" in link] == []


@pytest.mark.parametrize(
    ("query", "locale"),
    [
        ("lang=en", Locale("en", chosen=True)),
        ("lang=zh", Locale("zh", chosen=True)),
        ("lang=xx", CHINESE),
        ("lang=ZH", CHINESE),
        ("lang=", CHINESE),
        ("lang=%FF", CHINESE),
        ("lang=en&lang=zh", CHINESE),
        ("lang=en&lang=en", CHINESE),
    ],
)
async def test_a_language_in_the_url_stays_in_every_link(
    client: httpx.AsyncClient, query: str, locale: Locale
) -> None:
    page = parse_html(await client.get(f"/?{query}", headers={"Accept-Language": "zh-CN"}))
    assert page.select(f'html[lang="{locale.tag}"]')
    found = links(page)
    assert len(found) >= 7
    in_a_field = {"/", "/users"}  # the search form, which sends it in a field
    for link in found - in_a_field if locale.chosen else found:
        assert (f"lang={locale.language}" in link) is locale.chosen
    fields = [field["value"] for field in page.select("#search input[type=hidden][name=lang]")]
    assert fields == ([locale.language] if locale.chosen else [])


async def test_the_language_links_mark_the_current_one_and_keep_a_search(client: httpx.AsyncClient) -> None:
    page = parse_html(await client.get("/?q=zoe&lang=zh"))
    found = [
        (link["href"], link["lang"], link["hreflang"], link.get("aria-current"))
        for link in page.select("a[hreflang]")
    ]
    assert found == [
        ("/?lang=en&q=zoe", "en", "en", None),
        ("/?lang=zh&q=zoe", "zh-Hans", "zh-Hans", "true"),
    ]


def test_an_unreadable_accept_language_means_english() -> None:
    accepted = parse_accept_header("nonsense;q=nonsense", LanguageAccept)
    assert negotiate_locale("nonsense", accepted) == ENGLISH
    assert negotiate_locale("zh", accepted) == CHOSEN


def test_a_url_keeps_the_language_only_if_a_url_chose_it() -> None:
    assert build_url("/") == "/"
    assert build_url("/", q="a&b", before="") == "/?q=a%26b"
    with force_locale(CHINESE):
        assert build_url("/users", q="张") == "/users?q=%E5%BC%A0"
    with force_locale(CHOSEN):
        assert build_url("/users", q="张", before=None) == "/users?lang=zh&q=%E5%BC%A0"
        assert build_url("/", lang="en") == "/?lang=en"
    assert build_url("/users") == "/users"


def test_a_forced_locale_ends_with_its_block() -> None:
    with force_locale(CHINESE):
        assert get_locale() == CHINESE
        with force_locale(CHOSEN):
            assert get_locale() == CHOSEN
        assert get_locale() == CHINESE
    assert get_locale() == ENGLISH


def test_numbers_are_written_in_the_locale() -> None:
    assert [format_number(0), format_number(1234567)] == ["0", "1,234,567"]
    with force_locale(CHINESE):
        assert format_number(1234567) == "1,234,567"


@pytest.mark.parametrize(
    ("now", "english", "chinese"),
    [
        (datetime(2026, 1, 1, 0, 0, tzinfo=UTC), "Feb 3 04:05 UTC", "2月3日 04:05 UTC"),
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), "Feb 3 04:05 UTC", "2月3日 04:05 UTC"),
        (datetime(2027, 1, 1, 0, 0, tzinfo=UTC), "Feb 3, 2026 04:05 UTC", "2026年2月3日 04:05 UTC"),
        (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), "Feb 3, 2026 04:05 UTC", "2026年2月3日 04:05 UTC"),
    ],
)
def test_a_time_has_its_year_unless_that_is_the_present_one(
    monkeypatch: pytest.MonkeyPatch, now: datetime, english: str, chinese: str
) -> None:
    set_clock(monkeypatch, now)
    time = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    assert format_datetime(time) == english
    with force_locale(CHINESE):
        assert format_datetime(time) == chinese


def test_a_time_of_another_zone_and_the_present_year_are_those_of_utc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zone = timezone(timedelta(hours=2))
    set_clock(monkeypatch, datetime(2027, 1, 1, 1, 59, tzinfo=zone))
    assert format_datetime(datetime(2027, 1, 1, 0, 5, tzinfo=zone)) == "Dec 31 22:05 UTC"
    set_clock(monkeypatch, datetime(2027, 1, 1, 2, 0, tzinfo=zone))
    assert format_datetime(datetime(2027, 1, 1, 0, 5, tzinfo=zone)) == "Dec 31, 2026 22:05 UTC"


def test_an_ordinal_number_has_its_ending_in_english_and_none_in_chinese() -> None:
    ordinals = {
        0: "0th",
        1: "1st",
        2: "2nd",
        3: "3rd",
        4: "4th",
        11: "11th",
        12: "12th",
        13: "13th",
        21: "21st",
        111: "111th",
        112: "112th",
        1001: "1,001st",
        1_000_012: "1,000,012th",
    }
    assert {value: format_ordinal(value) for value in ordinals} == ordinals
    with force_locale(CHINESE):
        assert [format_ordinal(value) for value in (1, 2, 1001)] == ["1", "2", "1,001"]


async def test_templates_can_write_ordinal_numbers(app: Quart) -> None:
    assert (
        app.jinja_env.overlay(enable_async=False).from_string("{{ format_ordinal(22) }}").render() == "22nd"
    )


def test_messages_depend_on_the_locale_and_the_number() -> None:
    found = "%(num)s person found", "%(num)s people found"
    assert [ngettext(*found, count) % {"num": count} for count in (0, 1, 2)] == [
        "0 people found",
        "1 person found",
        "2 people found",
    ]
    with force_locale(CHINESE):
        assert {ngettext(*found, count) for count in (0, 1, 2)} == {"找到 %(num)s 人"}
        assert gettext("A message without a translation.") == "A message without a translation."


def test_several_messages_are_joined_as_in_the_language() -> None:
    messages: list[tuple[str, dict[str, object]]] = [
        ("%(username)s already exists. Choose another user name.", {"username": "Zoe"}),
        ("You are signed out.", {}),
    ]
    assert format_messages(messages) == "Zoe already exists. Choose another user name. You are signed out."
    with force_locale(CHINESE):
        assert format_messages(messages) == "Zoe 已经有人用了。请换一个用户名。你已退出登录。"


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
async def test_the_advice_on_a_weak_password_is_in_chinese(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for password, advice in (
        ("password", "这个密码很容易被猜到。用这个密码的人太多：请换成三个互不相关的词。"),
        ("short", "请用长一点的密码：至少 8 个字符。"),
    ):
        form = {"username": "zoe", "password": password}
        response = await client.post("/register?lang=zh", data=form, headers=headers)
        assert text_of(response, "#register-message[role=status]") == advice


@pytest.mark.parametrize(
    ("language", "registered", "exists"),
    [
        (
            "en",
            "Zoe, you are in\n  You are the 1st person here.",
            "Zoe already exists. Choose another user name.",
        ),
        ("zh", "Zoe，你已加入\n  你是这里的第 1 位。", "Zoe 已经有人用了。请换一个用户名。"),
    ],
)
async def test_a_user_name_appears_in_a_message_of_the_language(
    client: httpx.AsyncClient, language: str, registered: str, exists: str
) -> None:
    for message in registered, exists:
        response = await client.post(
            f"/register?lang={language}", data={"username": "Zoe", "password": PASSWORD}, headers=HTMX
        )
        assert text_of(response, "#register-message[role=status]") == message


async def test_the_offline_message_is_on_the_page_in_its_language(client: httpx.AsyncClient) -> None:
    for language, message in (
        ("en", "There is no connection to Roster. Please try again."),
        ("zh", "连不上 Roster，请再试一次。"),
    ):
        page = parse_html(await client.get(f"/?lang={language}"))
        [template] = page.select("template#offline-message")
        assert list(readable_texts(template)) == [message]


@pytest.mark.parametrize("locale", [CHINESE, CHOSEN], ids=["accepted", "chosen"])
async def test_no_english_is_left_on_chinese_pages(
    app: Quart, psql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, locale: Locale
) -> None:
    monkeypatch.setattr("routes.organiser.new_invitation", lambda: "VTPBGZSV")
    with (TRANSLATIONS / "zh.po").open("rb") as file:
        translations = [str(message.string) for message in read_po(file, locale="zh") if message.id]
    allowed = {word for translation in translations for word in latin_words(translation)}
    allowed |= {"Roster", "English", "UTC"} | {"admin", "user", "zoe", "nne"}  # names, that of Änne too
    allowed |= {"VTPBGZSV", "VTPB", "GZSV"}
    for state in await collect_states(app, psql, locale):
        words = {word for text in readable_texts(parse_html(state.text)) for word in latin_words(text)}
        assert (state.name, words - allowed) == (state.name, set())


def latin_words(text: str) -> list[str]:
    without_values = re.sub(r"%\(\w+\)s|</?[a-z]+>|https?://\S+", " ", text)
    return re.findall("[A-Za-z]{2,}", without_values)


def readable_texts(element: Tag) -> Iterator[str]:
    """Yield what people read or hear of a page, except user names."""
    for text in element.find_all(string=True):
        is_markup = isinstance(text, PreformattedString)  # a comment or the doctype
        if not is_markup and text.strip() and not text.find_parent(["bdi", "style"]):
            yield text.strip()
    for tag in element.select("*"):
        if tag.name == "meta":
            if tag.get("name", tag.get("property")) in SPOKEN_META:
                yield str(tag["content"])
        elif tag.name != "input":
            yield from (str(tag[name]) for name in SPOKEN_ATTRIBUTES if tag.has_attr(name))
