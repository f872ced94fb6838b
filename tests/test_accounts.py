import asyncio
import time
import unicodedata

import pytest

from accounts import BusyError, Passwords, RefusedError, Username, parse_password, parse_username

ZOE = Username("Zoe", "zoe")


@pytest.mark.parametrize("text", ["Zoe", "zoe", "ＺＯＥ", " zoe ", "　ＺoE　"])
def test_case_width_and_spaces_around_make_no_other_name(text: str) -> None:
    assert parse_username(text).key == "zoe"


def test_the_name_is_shown_as_it_was_written() -> None:
    assert parse_username(" ZoË ") == Username("ZoË", "zoë")


@pytest.mark.parametrize(
    "text",
    [
        "张三",
        "山田ノリ",
        "Зоя",
        "נועה",
        "مريم",
        "한국Lee",
        "नमस्ते",
        "x\u0302y",
        "<script>",
        "{{7*7}}",
        "o'hara",
        "a",
        "7",
    ],
)
def test_a_name_in_any_one_script_is_allowed(text: str) -> None:
    assert parse_username(text).shown == unicodedata.normalize("NFC", text)


def test_composed_and_decomposed_letters_are_one_name() -> None:
    assert parse_username("Jose\u0301").key == parse_username("José").key


def test_32_characters_are_allowed_even_when_they_arrive_decomposed() -> None:
    assert len(parse_username("e\u0301" * 32).shown) == 32


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Enter"),
        ("  \u3000", "Enter"),
        ("a" * 33, "shorter"),
        ("a" * 10_000, "shorter"),
        ("e\u0301" * 33, "shorter"),
        ("two words", "no spaces"),
        ("'; DROP TABLE users;--", "no spaces"),
        ("a\u00a0b", "no spaces"),
        ("zoe😀", "but not 😀"),
        ("ﬁne", "but not ﬁ"),
        ("a\x00b", "invisible"),
        ("a\x1f", "invisible"),
        ("a\nb", "invisible"),
        ("a\u202eb", "invisible"),
        ("a\u200bb", "invisible"),
        ("a\u200db", "invisible"),
        ("क्\u200dष", "invisible"),
        ("a\ud800b", "invisible"),
        ("a\ufffdb", "did not arrive"),
        ("אבגabc", "two directions"),
        ("\u0301abc", "accents"),
        ("x\u0302\u0302\u0302\u0302", "accents"),
        ("pаypal", "look-alike"),
        ("Αdmin", "look-alike"),
        ("admin", "reserved"),
        ("ＲＯＯＴ", "reserved"),
    ],
)
def test_a_bad_name_is_refused_with_a_sentence_that_says_what_to_do(text: str, word: str) -> None:
    with pytest.raises(RefusedError, match=word) as caught:
        parse_username(text)
    assert caught.value.field == "username"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "Enter"),
        ("sh0rt!x", "longer"),
        ("x" * 257, "shorter"),
        ("violet\x00otter-lamp", "invisible"),
        ("violet\ud800otter-lamp", "invisible"),
        ("violet\ufffdotter-lamp", "did not arrive"),
        ("password", "easy to guess. "),
        ("aaaaaaaaaaaaaaaa", "easy to guess. Repeats"),
        ("zoezoezoe", "easy to guess"),
    ],
)
def test_a_bad_password_is_refused_with_advice(text: str, word: str) -> None:
    with pytest.raises(RefusedError, match=word) as caught:
        parse_password(text, ZOE, 8)
    assert caught.value.field == "password"
    assert "violet" not in str(caught.value)


def test_the_user_name_makes_a_weak_password() -> None:
    with pytest.raises(RefusedError):
        parse_password("quetzalcoatl7", Username("Quetzalcoatl", "quetzalcoatl"), 8)


@pytest.mark.parametrize(
    "text",
    ["violet otter lamp", "пароль-выдра-лампа", "紫水獭台灯三十九号", "v" + "io-7let" * 36, "😀🦦💡 otter"],
)
def test_any_characters_and_256_of_them_are_allowed(text: str) -> None:
    assert parse_password(text, ZOE, 8) == unicodedata.normalize("NFC", text)


def test_the_least_length_is_counted_in_code_points() -> None:
    with pytest.raises(RefusedError, match="at least 15"):
        parse_password("🦦💡🦦💡-otter-l", ZOE, 15)


async def test_hashing_leaves_the_event_loop_free() -> None:
    passwords = Passwords(8)
    hostile = "4@8({[6|!1$5+7%2" * 5
    started = time.perf_counter()
    hashing = asyncio.gather(*(passwords.hash_new(hostile, ZOE) for _ in range(4)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5 * (time.perf_counter() - started)
    assert all(hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for hashed in await hashing)
    passwords.close()


async def test_a_full_queue_refuses_at_once_and_recovers() -> None:
    passwords = Passwords(8)
    passwords.QUEUE = 2
    waiting = [asyncio.ensure_future(passwords.hash_new("violet-otter-lamp-39", ZOE)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await passwords.hash_new("violet-otter-lamp-39", ZOE)
    await asyncio.gather(*waiting)
    assert await passwords.hash_new("violet-otter-lamp-39", ZOE)
    passwords.close()


async def test_a_refused_password_frees_its_place_in_the_queue() -> None:
    passwords = Passwords(8)
    passwords.QUEUE = 1
    with pytest.raises(RefusedError):
        await passwords.hash_new("password", ZOE)
    assert await passwords.hash_new("violet-otter-lamp-39", ZOE)
    passwords.close()
