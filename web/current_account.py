"""The account that is signed in."""

from queries.sessions import select_session
from queries.users import Account
from services.tokens import hash_token
from web.cookies import SESSION, read_cookie, set_session_cookie
from web.request_context import services


async def current_account() -> Account | None:
    """Return the account that is signed in, None without one."""
    token = read_cookie(SESSION)
    session = await select_session(services().database, hash_token(token)) if token else None
    if session and session.extended:
        set_session_cookie(token)
    return session.account if session else None
