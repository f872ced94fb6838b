"""Whether the visitor is an organiser or has a code."""

from queries.roster import Roster
from services.registration_rules import ALPHABET, LENGTH, parse_invitation
from services.tokens import hash_token
from web.cookies import INVITATION, INVITATION_LIFETIME, ORGANISER, read_cookie, set_cookie
from web.forms import read_query


def is_organiser(roster: Roster) -> bool:
    """Return whether this browser is an organiser's."""
    token = read_cookie(ORGANISER)
    return bool(token) and hash_token(token) in roster.organisers


def current_invitation(roster: Roster) -> str:
    """Return the code that the visitor has, "" without one.

    An organiser has the present one. Others have what they came with, by this URL or an earlier one;
    whether it is right only a registration shows.
    """
    if not roster.invitation or is_organiser(roster):
        return roster.invitation or ""
    [named] = read_query("invitation")
    return _parse_code(named) or _parse_code(read_cookie(INVITATION))


def remember_invitation() -> None:
    """Keep the code of this URL for the URLs to come."""
    [named] = read_query("invitation")
    if code := _parse_code(named):
        set_cookie(INVITATION, code, INVITATION_LIFETIME)


def _parse_code(text: str) -> str:
    """Return the code, "" if it can be none."""
    code = parse_invitation(text)
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else ""
