"""Who may register: the bounds that an organiser sets."""

import re
import secrets
import unicodedata

from queries.roster import Roster
from services.validation import ValidationError, gettext_noop

# No two of these look alike, and without vowels they spell no words. Migration 005 has them, too.
ALPHABET = "BCDFGHJKMNPQRSTVWXYZ3479"
LOOK_ALIKES = str.maketrans("2568AU", "ZSGB4V")
LENGTH = 8


class RegistrationClosedError(ValidationError):
    """Nobody may register now."""

    status = 403

    def __init__(self) -> None:
        super().__init__("register", gettext_noop("This comes too late: registration is closed."))


class RosterFullError(ValidationError):
    """All places are taken."""

    status = 409

    def __init__(self) -> None:
        super().__init__("register", gettext_noop("This comes too late: all places are taken."))


class InvalidInvitationError(ValidationError):
    """The code is missing or wrong."""

    def __init__(self, invitation: str) -> None:
        message = (
            gettext_noop("This invitation code is wrong or no longer valid. Ask the organiser for it.")
            if invitation
            else gettext_noop("Enter the invitation code. Ask the organiser for it.")
        )
        super().__init__("invitation", message)


def check_registration(roster: Roster, invitation: str) -> None:
    """Check whether the roster lets somebody in.

    `invitation` is the code that they have. Raises RegistrationClosedError, RosterFullError or
    InvalidInvitationError.
    """
    check_open(roster)
    if roster.invitation and roster.invitation != invitation:
        raise InvalidInvitationError(invitation)


def check_open(roster: Roster) -> None:
    """Check whether registration is open and a place is left.

    Raises RegistrationClosedError or RosterFullError.
    """
    if not roster.open:
        raise RegistrationClosedError
    if roster.is_full:
        raise RosterFullError


def new_invitation() -> str:
    """Return a new code: eight characters to read aloud."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def parse_invitation(text: str) -> str:
    """Return the code that somebody has typed.

    Spaces, hyphens, case, width and characters that look alike make no difference.
    """
    folded = unicodedata.normalize("NFKC", text[: 10 * LENGTH]).upper()
    return re.sub(r"[\W_]", "", folded).translate(LOOK_ALIKES)


def format_invitation(code: str) -> str:
    """Return a code in two groups, which are easier to read."""
    return f"{code[: LENGTH // 2]} {code[LENGTH // 2 :]}"
