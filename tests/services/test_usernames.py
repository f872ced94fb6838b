import unicodedata

import pytest

from services.usernames import Username, fold_prefix, parse_username, username_key
from services.validation import REPLACEMENT_CHARACTER, ValidationError


@pytest.mark.parametrize("text", ["Zoe", "zoe", "ＺＯＥ", " zoe ", "　ＺoE　"])
def test_case_width_and_spaces_around_make_no_other_name(text: str) -> None:
    assert parse_username(text).key == "zoe"
    assert username_key(text) == "zoe"


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
        "नमस्ते",
        "x\u0302y",
        "x\u0302\u0302\u0302",
        "<script>",
        "{{7*7}}",
        "o'hara",
        "a",
        "7",
    ],
)
def test_a_name_in_one_script_is_allowed(text: str) -> None:
    assert parse_username(text).shown == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("text", ["한국Lee", "Leeノ一", "あA", "aㄚ中", "山田ノ"])
def test_scripts_that_people_write_together_are_allowed(text: str) -> None:
    assert parse_username(text).shown == text


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
        ("e" + "\u0301" * 128, "shorter"),
        ("two words", "no spaces"),
        ("'; DROP TABLE users;--", "no spaces"),
        ("a\u00a0b", "no spaces"),
        ("zoe😀", "but not 😀 .U.1F600"),
        ("ﬁne", "but not ﬁ .U.FB01"),
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
    with pytest.raises(ValidationError, match=word) as caught:
        parse_username(text)
    assert caught.value.field == "username"


@pytest.mark.parametrize("text", ["한ノ", "aㄅ한"])
def test_other_scripts_of_east_asia_are_not_mixed(text: str) -> None:
    with pytest.raises(ValidationError, match="look-alike"):
        parse_username(text)


@pytest.mark.parametrize("text", ["Эé", "Юé"])
def test_look_alikes_are_found_in_the_name_as_it_is_shown(text: str) -> None:
    parse_username(text.lower())  # э and ю look like nothing else
    with pytest.raises(ValidationError, match="look-alike"):
        parse_username(text)


@pytest.mark.parametrize("text", ["éЪ", "Яé"])
def test_look_alikes_are_found_in_the_key_of_a_name(text: str) -> None:
    with pytest.raises(ValidationError, match="look-alike"):
        parse_username(text)


@pytest.mark.parametrize(
    ("text", "key"), [(" Admin ", "admin"), ("pАypal", "pаypal"), ("\u0301a", "\u0301a")]
)
def test_a_name_that_is_no_longer_allowed_keeps_its_key(text: str, key: str) -> None:
    assert username_key(text) == key


@pytest.mark.parametrize("text", ["", "a b", "a\x00", "a\ud800", "zoe😀", "x" * 129])
def test_what_can_be_nobodys_name_has_no_key(text: str) -> None:
    assert username_key(text) == ""


def test_a_search_is_folded_as_keys_are() -> None:
    assert fold_prefix(" \u3000ＺOE\u0308 ") == "zoë"


def test_a_search_may_be_what_alone_is_no_name() -> None:
    assert fold_prefix("zoe😀") == "zoe😀"


@pytest.mark.parametrize("text", ["a\x00", "a\ud800", "a\u200b"])
def test_a_search_for_what_no_name_holds_matches_nothing(text: str) -> None:
    assert fold_prefix(text) == REPLACEMENT_CHARACTER
