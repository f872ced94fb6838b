"""Passwords: which are allowed, and hashing them."""

import asyncio
import base64
import math
import os
import secrets
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import argon2
from argon2 import low_level
from argon2.exceptions import InvalidHashError, VerificationError
from precis_i18n import get_profile
from zxcvbn_rs_py import Entropy, zxcvbn

from services.password_advice import advice_for
from services.usernames import Username
from services.validation import REPLACEMENT_CHARACTER, ValidationError

MAX_LENGTH = 256  # NIST SP 800-63B-4 asks for at least 64
MAX_TYPED_LENGTH = 4 * MAX_LENGTH  # letters may still come with separate accents
# Those of the hint, in English and Chinese, without their spaces: everybody sees them.
EXAMPLES = {"coppergiraffemonday", "kafeichangjingluzhouyi"}
NICENESS = 10  # of threads that hash, added to that of the process; 19 is the most there is
MIN_SCORE = 3  # of zxcvbn's 0 to 4: 10^8 guesses and more

# zxcvbn holds the GIL while it scores. Its time grows with the square of the length, and with the number
# of ways to read a text in which characters such as 4 and @ stand for letters: 0.6 s for 100 hostile
# characters. So only the beginning is scored, and one password at a time: the event loop waits for one.
# That thread has the usual priority, or it could be interrupted while it holds the GIL.
MAX_SCORED_LENGTH = 50
MIN_SCORED_LENGTH = 12
MAX_SCORING_WORK = 25_000  # readings times length squared
SUBSTITUTES = ("4@", "({[<", "69", "1!|", "1|7", "$5", "+7")  # of one letter; it tries one at a time

EXTRA_COMMON_PASSWORDS = [
    line
    for line in Path(__file__).with_name("common_passwords.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("# ")
]

T = TypeVar("T")

_opaque_string = get_profile("OpaqueString")


class BusyError(Exception):
    """Too many passwords are waiting to be hashed."""


def normalize_password(text: str, field: str = "password") -> str:
    """Return the form to hash (RFC 8265 OpaqueString).

    Raises ValidationError for `field` unless it has 1 to 256 characters, all of them visible ones
    or spaces.
    """
    if not text:
        raise ValidationError(field, "Enter a password.")
    if REPLACEMENT_CHARACTER in text:
        raise ValidationError(field, "This password did not arrive as text: type it again.")
    too_long = ValidationError(
        field, "Choose a shorter password: at most %(most)s characters.", most=MAX_LENGTH
    )
    if len(text) > MAX_TYPED_LENGTH:
        raise too_long
    try:
        password = str(_opaque_string.enforce(text))
    except UnicodeEncodeError:
        raise ValidationError(field, "This password holds an invisible character: type it by hand.") from None
    if len(password) > MAX_LENGTH:
        raise too_long
    return password


def validate_password(text: str, username: Username | None, min_length: int, field: str = "password") -> str:
    """Return a new password in the form to hash.

    Raises ValidationError for `field` unless it has `min_length` to 256 code points and zxcvbn,
    which knows the user name and common passwords, scores it 3 or more. Takes some milliseconds, and the
    first one 20 ms: call it off the event loop.
    """
    password = normalize_password(text, field)
    if len(password) < min_length:
        raise ValidationError(
            field, "Choose a longer password: at least %(least)s characters.", least=min_length
        )
    if "".join(filter(str.isalpha, password)).casefold() in EXAMPLES:
        raise ValidationError(field, "This is the example. Choose words of your own.")
    scored = _score(password, username)
    if int(scored.score) < MIN_SCORE:
        raise ValidationError(field, "This password is easy to guess.", advice_for(scored.feedback))
    return password


def _score(password: str, username: Username | None) -> Entropy:
    """Return the score of how a password begins.

    The whole of it may be stronger, but hardly weaker.
    """
    names = [username.shown, username.key] if username else []
    return zxcvbn(password[: _scored_length(password)], [*names, *EXTRA_COMMON_PASSWORDS])


def _scored_length(password: str) -> int:
    """Return how many characters are scored."""
    readings = math.prod(max(1, len(set(each).intersection(password))) for each in SUBSTITUTES)
    return min(max(math.isqrt(MAX_SCORING_WORK // readings), MIN_SCORED_LENGTH), MAX_SCORED_LENGTH)


class PasswordHasher:
    """Checks and hashes passwords in threads of its own.

    Argon2id with 19 MiB, 2 passes and 1 lane, as the OWASP Password Storage Cheat Sheet advises.
    At most `QUEUE_LENGTH` passwords are being hashed or waiting, none for more than
    `queue_seconds`. Hashing releases the GIL. Every method raises BusyError if the queue is full,
    slow or closed.
    """

    QUEUE_LENGTH = 256
    QUEUE_SECONDS = 10.0  # a full queue takes 4 s on two cores, longer on a small server

    def __init__(self, min_length: int, queue_seconds: float = QUEUE_SECONDS) -> None:
        self._min_length = min_length
        self._queue_seconds = queue_seconds
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._dummy_hash = _new_dummy_hash(self._hasher)
        self._threads = ThreadPoolExecutor(
            os.cpu_count(), thread_name_prefix="password-hasher", initializer=_lower_priority
        )
        self._scoring_thread = ThreadPoolExecutor(1, thread_name_prefix="password-scorer")
        self._queued = 0
        self._is_closed = False

    async def validate(self, password: str, username: Username | None) -> None:
        """Raise ValidationError if a new password is not allowed.

        See `validate_password`.
        """
        await self._validate(password, username)

    async def hash_validated(self, password: str, username: Username, field: str = "password") -> str:
        """Return the hash of a new password.

        Raises ValidationError if it is not allowed; see `validate_password`.
        """
        normalized = await self._validate(password, username, field)
        return await self._run(self._threads, lambda: self._hasher.hash(normalized))

    async def hash(self, password: str) -> str:
        """Return the hash of a password that is in use, weak or not."""
        return await self._run(self._threads, lambda: self._hasher.hash(_normalize_leniently(password)))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Return whether the hash is of this password.

        Without a hash that is False, after the same time.
        """
        return await self._run(
            self._threads, lambda: self._verify(_normalize_leniently(password), password_hash)
        )

    def needs_rehash(self, password_hash: str) -> bool:
        """Return whether the hash has other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Refuse the passwords that still wait, and end the threads."""
        self._is_closed = True
        self._threads.shutdown(wait=False)
        self._scoring_thread.shutdown(wait=False)

    def _verify(self, password: str, password_hash: str | None) -> bool:
        try:
            return self._hasher.verify(password_hash or self._dummy_hash, password) and bool(password_hash)
        except (InvalidHashError, UnicodeEncodeError):  # text that is no hash
            return self._verify(password, None)
        except VerificationError:
            return False

    async def _validate(self, password: str, username: Username | None, field: str = "password") -> str:
        return await self._run(
            self._scoring_thread, lambda: validate_password(password, username, self._min_length, field)
        )

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        if self._is_closed or self._queued >= self.QUEUE_LENGTH:
            raise BusyError
        deadline = time.monotonic() + self._queue_seconds

        def run_in_time() -> T:
            if self._is_closed or time.monotonic() > deadline:
                raise BusyError
            return work()

        self._queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, run_in_time)
        finally:
            self._queued -= 1


def _new_dummy_hash(hasher: argon2.PasswordHasher) -> str:
    """Return a hash that no password is known to have.

    It is not computed: at the start that would cost time, and memory that stays with the process.
    """
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    return f"$argon2id$v={low_level.ARGON2_VERSION}${cost}${salt}${digest}"


def _lower_priority() -> None:
    """Let the event loop run before this thread.

    Elsewhere than on Linux, `nice` is for the whole process.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.nice(NICENESS)


def _normalize_leniently(password: str) -> str:
    """Return the form that was hashed.

    A password that has no such form was never hashed; any text stands for it.
    """
    with suppress(UnicodeEncodeError):
        if len(password) <= MAX_TYPED_LENGTH:
            return str(_opaque_string.enforce(password))
    return password.encode(errors="replace").decode()
