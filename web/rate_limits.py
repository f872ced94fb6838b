"""The rate limits, and how they are counted."""

import math
from dataclasses import dataclass

import psycopg
from quart import request
from werkzeug.exceptions import TooManyRequests

from queries import rate_limit_counters
from web.request_context import services
from web.same_origin import SAFE_METHODS


@dataclass(frozen=True)
class RateLimit:
    """At most `count` requests in `seconds`.

    All may come at once; what was used comes back evenly.
    """

    name: str
    count: int
    seconds: int


# For one address, behind which a class of 35 may register within a minute: with 3 attempts each, a check
# of name or password at each pause in typing, and a few searches. What guesses passwords counts below.
REGISTER = RateLimit("register", 150, 60)
CHECK_USERNAME = RateLimit("check-username", 600, 60)
CHECK_PASSWORD = RateLimit("check-password", 300, 30)  # scoring keeps the event loop waiting
SEARCH = RateLimit("search", 300, 60)
SIGN_IN_PER_ADDRESS = RateLimit("sign-ins", 60, 60)  # whatever the user names
SIGN_IN_PER_ADDRESS_AND_NAME = RateLimit("sign-in", 10, 60)
WRONG_PASSWORDS = RateLimit("wrong-passwords", 100, 3600)  # for one user name, whatever the addresses
# Whoever is signed in, or on a browser that has signed in before, does not share those three with
# strangers, who could keep them out (OWASP: Slow Down Online Guessing Attacks with Device Cookies).
OWN_SIGN_IN_PER_ADDRESS = RateLimit("own-sign-ins", 60, 60)
OWN_WRONG_PASSWORDS = RateLimit("own-wrong-passwords", 30, 3600)  # for one session or browser
ACCOUNT = RateLimit("account", 60, 60)
# Counted before it is known to be wrong, as passwords are. A botnet of 10,000 addresses would need 1.7 years
# for half of the 24^8 codes; a class that has run into it can go on after 10 s.
WRONG_INVITATIONS = RateLimit("wrong-invitations", 60, 600)
ORGANISER_ACTION = RateLimit("organiser", 120, 60)
ONE_TIME_LINK = RateLimit("one-time-links", 60, 60)
# A code that is drawn already must not cost less: that would tell which one is right.
DRAW_INVITATION = RateLimit("invitation-qr-code", 120, 60)
DRAW_QR_CODE = RateLimit("qr-code", 30, 60)  # of an address that nobody has shared lately


async def check_rate_limit(limit: RateLimit, *key: str) -> None:
    """Count one request. Raises TooManyRequests over the limit.

    That error says when to come back.
    """
    if not services().settings.rate_limits:
        return
    try:
        wait = await rate_limit_counters.consume(
            services().database, _counter(limit, key), limit.count, limit.seconds
        )
    except psycopg.errors.ReadOnlySqlTransaction:
        if request.method in SAFE_METHODS:
            return  # what only reads goes on; nothing can be counted
        raise
    if wait:
        raise TooManyRequests(retry_after=math.ceil(wait))


async def refund(limit: RateLimit, *key: str) -> None:
    """Take back one request that `check_rate_limit` has counted."""
    if services().settings.rate_limits:
        await rate_limit_counters.refund(
            services().database, _counter(limit, key), limit.count, limit.seconds
        )


def _counter(limit: RateLimit, key: tuple[str, ...]) -> str:
    return " ".join([limit.name, *key])
