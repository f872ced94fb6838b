"""The account that is signed in."""

from contextlib import suppress

import psycopg

from queries.sessions import extend_session, select_session
from queries.users import Account
from services.tokens import hash_token
from web.cookies import SESSION, read_cookie, set_session_cookie
from web.request_context import services


async def current_account() -> Account | None:
    """Return the account that is signed in, None without one."""
    if not (token := read_cookie(SESSION)):
        return None
    session = await select_session(services().database, hash_token(token))
    if session and session.is_extendable:
        with suppress(psycopg.Error):  # a database that only reads still knows who is signed in
            await extend_session(services().database, hash_token(token))
            set_session_cookie(token)
    return session.account if session else None
