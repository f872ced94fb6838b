import pytest

from services.roster_choices import parse_capacity, parse_description, parse_title
from services.validation import ValidationError


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("", ""),
        ("  Chess \t club\r\n", "Chess club"),
        ("国际象棋", "国际象棋"),
        ("<b>&", "<b>&"),
        ("👩\u200d🏫 class", "👩\u200d🏫 class"),
        ("x" * 100, "x" * 100),
        ("\u200b\u200e", ""),
    ],
)
def test_a_title_is_one_line_of_plain_text(typed: str, title: str) -> None:
    assert parse_title(typed) == title


@pytest.mark.parametrize(
    ("typed", "description"),
    [
        ("", ""),
        ("\r\n one \r\n\r\n  two\rthree\n", "one\n\ntwo\nthree"),
        ("字" * 500, "字" * 500),
        ("a\u2028b", "a\nb"),
    ],
)
def test_a_description_keeps_its_lines(typed: str, description: str) -> None:
    assert parse_description(typed) == description


@pytest.mark.parametrize("typed", ["x" * 101, "a\0b", "\ufffd", "a\x1b[31m", f"a{chr(0xD800)}"])
def test_other_titles_are_refused(typed: str) -> None:
    with pytest.raises(ValidationError) as raised:
        parse_title(typed)
    assert raised.value.field == "new-title"


@pytest.mark.parametrize("typed", ["x" * 501, "a\0b", "\ufffd"])
def test_other_descriptions_are_refused(typed: str) -> None:
    with pytest.raises(ValidationError) as raised:
        parse_description(typed)
    assert raised.value.field == "new-description"


@pytest.mark.parametrize(
    ("typed", "capacity"),
    [("", None), ("  ", None), ("1", 1), (" 30 ", 30), ("1000000", 1_000_000), ("３０", 30)],
)
def test_a_capacity_is_a_number_or_nothing(typed: str, capacity: int | None) -> None:
    assert parse_capacity(typed) == capacity


@pytest.mark.parametrize(
    "typed", ["0", "-1", "1.5", "1000001", "9" * 5000, "ten", "²", "1 0", "\ufffd", "1\0"]
)
def test_other_capacities_are_refused(typed: str) -> None:
    with pytest.raises(ValidationError, match="whole number from 1 to") as raised:
        parse_capacity(typed)
    assert raised.value.field == "new-capacity"
