import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

import psycopg
import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from html5lib import HTMLParser
from quart import Quart
from quart.testing import QuartClient
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from tests.conftest import PASSWORD
from tests.tour import tour
from tools.messages import collect
from words import (
    CATALOGUES,
    TAGS,
    Language,
    choose_language,
    gettext,
    link,
    moment,
    ngettext,
    number,
    speaking,
)

CHINESE = Language("zh")
SPOKEN_META = None, "description", "og:title", "og:description"
SPOKEN_ATTRIBUTES = "alt", "aria-label", "content", "data-offline", "placeholder", "title"


def catalogue(code: str) -> Catalog:
    with (CATALOGUES / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code)


def forms(text: str | Iterable[str] | None) -> list[str]:
    """Return a sentence, or the singular and plural of it, as a list."""
    return [text] if isinstance(text, str) else list(text or ())


def messages(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


@pytest.mark.parametrize("code", TAGS)
def test_the_catalogues_hold_every_sentence_of_the_program_and_no_other(code: str) -> None:
    collected = {tuple(forms(message.id)) for message in messages(collect())}
    assert len(collected) > 90
    assert {tuple(forms(message.id)) for message in messages(catalogue(code))} == collected


@pytest.mark.parametrize("message", messages(catalogue("zh")), ids=lambda message: forms(message.id)[0][:40])
def test_a_sentence_is_translated_with_the_same_values_and_the_same_tags(message: Message) -> None:
    assert not message.fuzzy
    english, chinese = forms(message.id), forms(message.string)
    assert len(chinese) == 1  # Chinese has one form for every number
    assert re.search("[\u4e00-\u9fff]", chinese[0])
    for pattern in (r"%\(\w+\)s", "</?[a-z]+>", "%(?!\\()"):
        assert sorted(re.findall(pattern, chinese[0])) == sorted(re.findall(pattern, english[-1]))
    assert chinese[0] == chinese[0].strip()
    assert bool(re.search("[.…]$", english[-1])) is bool(re.search("[。…]$", chinese[0]))


@pytest.mark.parametrize(
    ("accepted", "code"),
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
        ("*", "en"),
        ("", "en"),
        (";;q=,,=\xff zh?", "en"),
        ("zh" * 2000, "en"),
        (None, "en"),
    ],
)
async def test_the_page_speaks_the_best_language_that_the_browser_accepts(
    client: QuartClient, accepted: str | None, code: str
) -> None:
    headers = {} if accepted is None else {"Accept-Language": accepted}
    for path, status in (("/", 200), ("/?q=x", 200), ("/share", 200), ("/nowhere", 404)):
        response = await client.get(path, headers=headers)
        page = str(await response.get_data(as_text=True))
        assert response.status_code == status
        assert f'<html lang="{TAGS[code]}">' in page
        assert "Accept-Language" in response.headers["Vary"]
        assert "lang=" not in re.sub(r"<html.*?>|<a [^>]*hreflang=[^>]*>", "", page)


@pytest.mark.parametrize(
    ("query", "code", "chosen"),
    [
        ("lang=en", "en", True),
        ("lang=zh", "zh", True),
        ("lang=xx", "zh", False),
        ("lang=ZH", "zh", False),
        ("lang=", "zh", False),
        ("lang=%FF", "zh", False),
        ("lang=en&lang=zh", "zh", False),
        ("lang=en&lang=en", "zh", False),
    ],
)
async def test_the_address_names_a_language_and_every_address_on_the_page_keeps_it(
    client: QuartClient, query: str, code: str, *, chosen: bool
) -> None:
    response = await client.get(f"/?{query}", headers={"Accept-Language": "zh-CN"})
    page = str(await response.get_data(as_text=True))
    assert f'<html lang="{TAGS[code]}">' in page
    without_choice = re.sub(r"<a [^>]*hreflang=[^>]*>", "", page)
    found = re.findall(r'(?:href|action|hx-get|hx-post|hx-sse:connect)="(/[^"]*)"', without_choice)
    addresses = {address for address in found if not address.startswith("/static/")}
    assert len(addresses) >= 7
    search = {"/", "/users"}  # which sends it in a field
    for address in addresses - search if chosen else addresses:
        assert (f"lang={code}" in address) is chosen
    assert (f'<input type="hidden" name="lang" value="{code}">' in page) is chosen


async def test_the_links_between_the_languages_say_which_one_is_spoken_and_keep_a_search(
    client: QuartClient,
) -> None:
    page = str(await (await client.get("/?q=zoe&lang=zh")).get_data(as_text=True))
    links = re.findall(r'<a href="([^"]*)" lang="([^"]*)" hreflang="([^"]*)"([^>]*)>', page)
    assert [(a.replace("&amp;", "&"), b, c, d.strip()) for a, b, c, d in links] == [
        ("/?lang=en&q=zoe", "en", "en", ""),
        ("/?lang=zh&q=zoe", "zh-Hans", "zh-Hans", 'aria-current="true"'),
    ]


def test_an_unreadable_wish_is_none() -> None:
    wish = parse_accept_header("nonsense;q=nonsense", LanguageAccept)
    assert choose_language("nonsense", wish) == Language("en", chosen=False)
    assert choose_language("zh", wish) == Language("zh", chosen=True)


def test_an_address_keeps_the_language_only_if_an_address_chose_it() -> None:
    assert link("/") == "/"
    assert link("/", q="a&b", before="") == "/?q=a%26b"
    with speaking(CHINESE):
        assert link("/users", q="张") == "/users?q=%E5%BC%A0"
    with speaking(Language("zh", chosen=True)):
        assert link("/users", q="张", before=None) == "/users?lang=zh&q=%E5%BC%A0"
        assert link("/", lang="en") == "/?lang=en"
    assert link("/users") == "/users"


def test_numbers_and_times_are_written_as_in_the_language() -> None:
    time = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    assert (number(0), number(1234567), moment(time)) == ("0", "1,234,567", "Feb 3, 2026 04:05 UTC")
    found = "%(num)s person found", "%(num)s people found"
    assert [ngettext(*found, count) % {"num": count} for count in (0, 1, 2)] == [
        "0 people found",
        "1 person found",
        "2 people found",
    ]
    with speaking(CHINESE):
        assert (number(1234567), moment(time)) == ("1,234,567", "2026年2月3日 04:05 UTC")
        assert {ngettext(*found, count) for count in (0, 1, 2)} == {"找到 %(num)s 人"}
        assert gettext("A sentence that nobody translated.") == "A sentence that nobody translated."


@pytest.mark.parametrize("htmx", [{}, {"HX-Request": "true"}])
async def test_the_advice_on_a_weak_password_is_in_chinese(client: QuartClient, htmx: dict[str, str]) -> None:
    for password, advice in (
        ("password", "这个密码很容易被猜到。这是最常见的 10 个密码之一。再加一两个词，越少见越好。"),
        ("short", "请用长一点的密码：至少 8 个字符。"),
    ):
        form = {"username": "zoe", "password": password}
        response = await client.post("/register?lang=zh", form=form, headers=htmx)
        assert f'role="status">{advice}</p>' in await response.get_data(as_text=True)


@pytest.mark.parametrize("language", [CHINESE, Language("zh", chosen=True)], ids=("zh", "chosen"))
async def test_no_english_is_left_where_chinese_is_spoken(
    app: Quart, database: psycopg.Connection, language: Language
) -> None:
    borrowed = {word for message in messages(catalogue("zh")) for word in latin(forms(message.string)[0])}
    meant = borrowed | {"Roster", "English", "UTC"} | {"admin", "user", "zoe"}  # the latter are names
    for sight in await tour(app, database, language):
        parser = HTMLParser(namespaceHTMLElements=False)
        tree = parser.parse(sight.text) if sight.is_page else parser.parseFragment(sight.text)
        assert (sight.name, {word for text in read(tree) for word in latin(text)} - meant) == (
            sight.name,
            set(),
        )


def latin(text: str) -> list[str]:
    without_values = re.sub(r"%\(\w+\)s|</?[a-z]+>|https?://\S+", " ", text)
    return re.findall("[A-Za-z]{2,}", without_values)


def read(tree: Element) -> Iterator[str]:
    """Yield what people read or hear of a page, but names."""
    for element in tree.iter():
        unread = element.tag in {"bdi", "input", "style"}
        about = element.get("name") or element.get("property")
        if not unread and about in SPOKEN_META:
            yield from (element.get(name, "") for name in SPOKEN_ATTRIBUTES)
        yield from (text for text in (None if unread else element.text, element.tail) if text)


async def test_a_name_is_said_in_a_sentence_of_the_readers_language(client: QuartClient) -> None:
    form = {"username": "Zoe", "password": PASSWORD}
    for language, said in (
        ("en", ["<bdi>Zoe</bdi></strong> is registered.", "Zoe already exists. Choose another user name."]),
        ("zh", ["<bdi>Eve</bdi></strong> 注册成功。", "Eve 已经有人用了。请换一个用户名。"]),
    ):
        if language == "zh":
            form["username"] = "Eve"
        for sentence in said:
            response = await client.post(
                f"/register?lang={language}", form=form, headers={"HX-Request": "true"}
            )
            assert sentence in await response.get_data(as_text=True)
