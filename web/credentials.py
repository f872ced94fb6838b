"""Verifying passwords, at sign-in and of the account."""

from queries.users import Account, select_account, update_password_hash
from services.validation import ValidationError
from web.client_address import client_address
from web.current_account import current_account
from web.i18n import gettext_noop
from web.rate_limits import (
    ACCOUNT,
    SIGN_IN_PER_ADDRESS,
    SIGN_IN_PER_ADDRESS_AND_NAME,
    WRONG_PASSWORDS,
    check_rate_limit,
    refund,
)
from web.request_context import services


class InvalidCredentialsError(ValidationError):
    """User name or password is wrong, or nobody is signed in."""

    status = 401


async def verify_sign_in(username_key: str, password: str) -> Account:
    """Return the account of that user name and password.

    Raises InvalidCredentialsError, which never says which of them is wrong.
    """
    await _count_attempt(username_key)
    account = await select_account(services().database, username_key)
    if not await _verify(password, account) or not account:
        raise InvalidCredentialsError("sign-in-password", gettext_noop("User name or password is wrong."))
    return account


async def verify_current_account(password: str, field: str) -> Account:
    """Return the current account, if this is its password.

    Raises InvalidCredentialsError for `field` if it is not, or if nobody is signed in.
    """
    account = await current_account()
    if account is None:
        await check_rate_limit(ACCOUNT, client_address())
        message = gettext_noop("You are signed out. Sign in again.")
        raise InvalidCredentialsError("sign-in-password", message)
    await _count_attempt(account.username_key)
    if not await _verify(password, account):
        raise InvalidCredentialsError(field, gettext_noop("This password is wrong."))
    return account


async def _count_attempt(username_key: str) -> None:
    await check_rate_limit(SIGN_IN_PER_ADDRESS, client_address())
    if username_key:  # without one it is nobody's name, so there is nobody to protect
        await check_rate_limit(SIGN_IN_PER_ADDRESS_AND_NAME, client_address(), username_key)
        # Counted before it is known to be wrong, or many guesses at once would all be allowed.
        await check_rate_limit(WRONG_PASSWORDS, username_key)


async def _verify(password: str, account: Account | None) -> bool:
    password_hash = account.password_hash if account else None
    is_right = await services().password_hasher.verify(password, password_hash)
    if account and is_right:
        await refund(WRONG_PASSWORDS, account.username_key)
    return is_right


async def renew_hash(account: Account, password: str) -> None:
    """Hash the password again with the parameters of today.

    Nothing is done if its hash has them already.
    """
    hasher = services().password_hasher
    if hasher.needs_rehash(account.password_hash):
        await update_password_hash(services().database, account, await hasher.hash(password))
