import re

import pytest

from queries.roster import Roster
from services.registration_rules import (
    ALPHABET,
    InvalidInvitationError,
    RegistrationClosedError,
    RosterFullError,
    check_registration,
    format_invitation,
    new_invitation,
    parse_invitation,
)
from services.validation import ValidationError

CODE = "VTPBGZSV"


def test_a_code_is_eight_characters_without_look_alikes_or_vowels() -> None:
    codes = {new_invitation() for _ in range(200)}
    assert len(codes) == 200
    assert all(re.fullmatch(f"[{ALPHABET}]{{8}}", code) for code in codes)
    assert set(ALPHABET).isdisjoint("AEIOU0125L68")
    assert all(parse_invitation(code) == code for code in codes)


@pytest.mark.parametrize(
    "typed",
    [
        "vtpb gzsv",
        " VTPB-GZSV ",
        "v t p b g z s v",
        "VTPB_GZSV",
        "ＶＴＰＢ　ＧＺＳＶ",
        "UTP8 62SU",
        "vtp8 g25v",
    ],
)
def test_a_code_is_read_however_it_is_typed(typed: str) -> None:
    assert parse_invitation(typed) == CODE


@pytest.mark.parametrize("typed", ["", " ", "-", "\u200b"])
def test_a_code_of_nothing_is_none(typed: str) -> None:
    assert parse_invitation(typed) == ""


def test_a_code_is_written_in_two_groups() -> None:
    assert format_invitation(CODE) == "VTPB GZSV"


@pytest.mark.parametrize(
    "roster",
    [
        Roster(),
        Roster(size=29, capacity=30),
        Roster(invitation=CODE),
        Roster(size=29, capacity=30, invitation=CODE),
    ],
)
def test_the_roster_lets_people_in(roster: Roster) -> None:
    check_registration(roster, CODE)


@pytest.mark.parametrize(
    ("roster", "invitation", "error", "status", "text"),
    [
        (Roster(open=False), "", RegistrationClosedError, 403, "closed"),
        (Roster(open=False, invitation=CODE), CODE, RegistrationClosedError, 403, "closed"),
        (Roster(size=30, capacity=30), "", RosterFullError, 409, "all places"),
        (Roster(size=31, capacity=30), "", RosterFullError, 409, "all places"),
        (Roster(invitation=CODE), "", InvalidInvitationError, 422, "Enter the invitation code"),
        (Roster(invitation=CODE), "VTPBGZSW", InvalidInvitationError, 422, "wrong or no longer valid"),
    ],
)
def test_the_roster_says_why_it_lets_nobody_in(
    roster: Roster, invitation: str, error: type[ValidationError], status: int, text: str
) -> None:
    with pytest.raises(error, match=text) as raised:
        check_registration(roster, invitation)
    assert raised.value.status == status
