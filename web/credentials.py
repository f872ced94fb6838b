"""Verifying passwords, and signing in."""

from dataclasses import dataclass, field
from typing import TypeAlias

from queries.devices import is_known_device
from queries.sessions import TokenHashes, insert_session
from queries.users import Account, select_account, update_password_hash
from services.tokens import hash_token, new_token
from services.usernames import username_key
from services.validation import ValidationError, gettext_noop
from web.client_address import client_address
from web.cookies import DEVICE, SESSION, read_cookie, set_device_cookie, set_session_cookie
from web.current_account import current_account
from web.rate_limits import (
    ACCOUNT,
    OWN_SIGN_IN_PER_ADDRESS,
    OWN_WRONG_PASSWORDS,
    SIGN_IN_PER_ADDRESS,
    SIGN_IN_PER_ADDRESS_AND_NAME,
    WRONG_PASSWORDS,
    RateLimit,
    check_rate_limit,
    refund,
)
from web.request_context import services

Attempt: TypeAlias = tuple[RateLimit, str]  # where it was counted


class InvalidCredentialsError(ValidationError):
    """User name or password is wrong, or nobody is signed in."""

    status = 401


async def verify_sign_in(username_key: str, password: str) -> Account:
    """Return the account of that user name and password.

    Raises InvalidCredentialsError, which never says which of them is wrong.
    """
    token = read_cookie(DEVICE)
    if token and await is_known_device(services().database, hash_token(token), username_key):
        attempt = await _count_own_attempt(hash_token(token))
    else:
        attempt = await _count_attempt(username_key)
    account = await select_account(services().database, username_key)
    if not await _verify(password, account, attempt) or not account:
        raise InvalidCredentialsError("sign-in-password", gettext_noop("User name or password is wrong."))
    return account


async def verify_current_account(password: str, field: str, username: str) -> Account:
    """Return the current account, if this is its password.

    Raises InvalidCredentialsError for `field` if it is not, if nobody is signed in, or if the form was of
    another account: another window of the browser may have signed in since. Without a user name the form
    is of whoever is signed in.
    """
    account = await current_account()
    if account is None:
        await check_rate_limit(ACCOUNT, client_address())
        message = gettext_noop("You are signed out. Sign in again.")
        raise InvalidCredentialsError("sign-in-password", message)
    if username and username_key(username) != account.username_key:
        message = gettext_noop("You are signed in as %(username)s now. Nothing was changed.")
        raise InvalidCredentialsError(field, message, username=account.username)
    attempt = await _count_own_attempt(hash_token(read_cookie(SESSION)))
    if not await _verify(password, account, attempt):
        raise InvalidCredentialsError(field, gettext_noop("This password is wrong."))
    return account


async def _count_attempt(username_key: str) -> Attempt:
    """Count an attempt of a stranger."""
    await check_rate_limit(SIGN_IN_PER_ADDRESS, client_address())
    if username_key:  # without one it is nobody's name, so there is nobody to protect
        await check_rate_limit(SIGN_IN_PER_ADDRESS_AND_NAME, client_address(), username_key)
        # Counted before it is known to be wrong, or many guesses at once would all be allowed.
        await check_rate_limit(WRONG_PASSWORDS, username_key)
    return WRONG_PASSWORDS, username_key


async def _count_own_attempt(token_hash: bytes) -> Attempt:
    """Count an attempt by the token of a session or device."""
    await check_rate_limit(OWN_SIGN_IN_PER_ADDRESS, client_address())
    await check_rate_limit(OWN_WRONG_PASSWORDS, token_hash.hex())
    return OWN_WRONG_PASSWORDS, token_hash.hex()


async def _verify(password: str, account: Account | None, attempt: Attempt) -> bool:
    password_hash = account.password_hash if account else None
    is_right = await services().password_hasher.verify(password, password_hash)
    if account and is_right:
        await refund(*attempt)
    return is_right


@dataclass(frozen=True)
class NewTokens:
    """The tokens of a browser that is being signed in.

    The device's token recognises the browser at its next sign-in, so guesses from elsewhere do not keep it
    out.
    """

    session: str = field(default_factory=new_token, repr=False)
    device: str = field(default_factory=new_token, repr=False)

    def hashes(self) -> TokenHashes:
        """Return their hashes, and those of the browser's old ones."""
        tokens = self.session, self.device, read_cookie(SESSION), read_cookie(DEVICE)
        return TokenHashes(*map(hash_token, tokens))

    def set_cookies(self) -> None:
        """Let the response set the cookies."""
        set_session_cookie(self.session)
        set_device_cookie(self.device)


async def begin_session(account: Account) -> bool:
    """Sign in; return False if the password has changed."""
    tokens = NewTokens()
    has_begun = await insert_session(services().database, account, tokens.hashes())
    if has_begun:
        tokens.set_cookies()
    return has_begun


async def renew_hash(account: Account, password: str) -> None:
    """Hash the password again with the parameters of today.

    Nothing is done if its hash has them already.
    """
    hasher = services().password_hasher
    if hasher.needs_rehash(account.password_hash):
        await update_password_hash(services().database, account, await hasher.hash(password))
