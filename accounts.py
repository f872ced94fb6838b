"""Accounts: what a user name and a password may be, Argon2id hashing off the event loop, session tokens."""

import asyncio
import hashlib
import os
import secrets
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from confusable_homoglyphs import categories, confusables
from precis_i18n import get_profile
from zxcvbn import zxcvbn

UNREADABLE = "\ufffd"  # the replacement character: what stands for bytes that are no text
USERNAME_MAX_LENGTH = 32
PASSWORD_MAX_LENGTH = 256  # NIST SP 800-63B-4 asks for at least 64
PASSWORD_MIN_SCORE = 3  # of zxcvbn's 0 to 4: 10^8 guesses and more

# zxcvbn's time grows steeply with the length: 2 s for 72 hostile characters, 0.3 s for 24, 0.04 s
# for 16, all of it under the GIL. The strength of the beginning is nearly that of the whole, or less.
PASSWORD_SCORED_LENGTH = 16

# UTS 39, section 5.2, "highly restrictive": alphabets that people do write together.
WRITTEN_TOGETHER = (
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "BOPOMOFO"},
    {"LATIN", "HAN", "HANGUL"},
)

RESERVED = frozenset(
    """
    abuse admin administrator anonymous guest help host hostmaster info mail me moderator nobody noreply
    no-reply null official operator owner postgres postmaster register root roster security settings
    sign-in sign-out staff superuser support sysadmin system undefined user users webmaster you
    """.split()  # noqa: SIM905 (a list of words reads better without the quotes)
)

P = ParamSpec("P")
T = TypeVar("T")

_case_preserved = get_profile("UsernameCasePreserved")
_case_mapped = get_profile("UsernameCaseMapped")
_opaque_string = get_profile("OpaqueString")


class RefusedError(Exception):
    """A user name or password is not allowed.

    `field` is the id of its input, "username" or "password"; `parts` are sentences that say what to
    do, each with its values, for `words.sentences`; `status` is that of the HTTP answer.
    """

    status = 422

    def __init__(self, field: str, sentence: str, *advice: str, **values: object) -> None:
        super().__init__(" ".join([sentence % values, *advice]))
        self.field = field
        self.parts = [(sentence, values), *((each, {}) for each in advice)]


class BusyError(Exception):
    """More passwords are waiting to be hashed than can be soon."""


@dataclass(frozen=True)
class Username:
    """A user name as it is shown, and the key under which it exists once (RFC 8265)."""

    shown: str
    key: str


def parse_username(text: str) -> Username:
    """Return the user name in `text`, spaces around it left out.

    Raises RefusedError unless it is 1 to 32 characters of the RFC 8265 UsernameCaseMapped profile,
    not reserved, and free of look-alike letters of different alphabets.
    """
    text = text.strip(" \u3000")
    refuse = partial(RefusedError, "username")
    if not text:
        raise refuse("Enter a user name.")
    if UNREADABLE in text:
        raise refuse("This user name did not arrive as text: type it again.")
    too_long = refuse("Choose a shorter user name: at most %(most)s characters.", most=USERNAME_MAX_LENGTH)
    if len(text) > 4 * USERNAME_MAX_LENGTH:  # even before accents join their letters
        raise too_long
    try:
        shown = _case_preserved.enforce(text)
        key = _case_mapped.enforce(shown)
    except UnicodeEncodeError as error:
        raise _refuse_character(error) from None
    if len(shown) > USERNAME_MAX_LENGTH:
        raise too_long
    kinds = "".join(unicodedata.category(character)[0] for character in shown)
    if "C" in kinds:
        raise refuse("This user name holds an invisible character: type it by hand.")
    if kinds.startswith("M") or "MMMM" in kinds:
        raise refuse("This user name has accents without a letter of their own: leave some out.")
    if _looks_alike(shown) or _looks_alike(key):
        raise refuse("This user name mixes look-alike letters of different alphabets: use one alphabet.")
    if key in RESERVED:
        raise refuse("The user name %(username)s is reserved: choose another.", username=shown)
    return Username(shown, key)


def username_key(text: str) -> str:
    """Return the key of the user name in `text`, as `parse_username` does; "" where there can be none.

    Names that are no longer allowed to newcomers keep their keys.
    """
    if len(text) > 4 * USERNAME_MAX_LENGTH:  # nobody's
        return ""
    try:
        return str(_case_mapped.enforce(_case_preserved.enforce(text.strip(" \u3000"))))
    except UnicodeEncodeError:
        return ""


def fold_prefix(text: str) -> str:
    """Return the beginning of a user name as keys begin, for a search; spaces around it left out.

    What no user name can hold comes back as a text with which no key begins.
    """
    rules = (_case_mapped.width_mapping_rule, _case_mapped.case_mapping_rule, _case_mapped.normalization_rule)
    key = reduce(lambda mapped, rule: rule(mapped), rules, text.strip(" \u3000"))
    return key if key.isprintable() else UNREADABLE


def _refuse_character(error: UnicodeEncodeError) -> RefusedError:
    refuse = partial(RefusedError, "username")
    character = error.object[error.start : error.end]
    if unicodedata.category(character[0]) == "Zs":
        return refuse("A user name has no spaces: leave them out, or write - or _ instead.")
    if error.reason.endswith("bidi_rule"):
        return refuse("Letters and digits of this user name run in two directions: use one alphabet.")
    if len(character) == 1 and character.isprintable():
        return refuse(
            "A user name takes letters, digits and marks such as . - _ but not %(character)s (%(code)s).",
            character=character,
            code=f"U+{ord(character):04X}",
        )
    return refuse("This user name holds an invisible character: type it by hand.")


def _looks_alike(name: str) -> bool:
    scripts = categories.unique_aliases(name) - {"COMMON", "INHERITED"}
    if len(scripts) < 2 or any(scripts <= together for together in WRITTEN_TOGETHER):  # noqa: PLR2004
        return False
    return bool(confusables.is_confusable(name, greedy=False))


def normalise_password(text: str) -> str:
    """Return the password in the form to hash (RFC 8265 OpaqueString).

    Raises RefusedError unless it has 1 to 256 characters, all of them visible ones or spaces.
    """
    refuse = partial(RefusedError, "password")
    if not text:
        raise refuse("Enter a password.")
    if UNREADABLE in text:
        raise refuse("This password did not arrive as text: type it again.")
    if len(text) > PASSWORD_MAX_LENGTH:
        raise refuse("Choose a shorter password: at most %(most)s characters.", most=PASSWORD_MAX_LENGTH)
    try:
        return str(_opaque_string.enforce(text))
    except UnicodeEncodeError:
        raise refuse("This password holds an invisible character: type it by hand.") from None


def parse_password(text: str, username: Username, min_length: int) -> str:
    """Return a new password in the form to hash.

    Raises RefusedError unless it has `min_length` to 256 code points and zxcvbn, which knows the
    user name, scores it 3 or more. Takes up to 0.05 s: call it off the event loop.
    """
    refuse = partial(RefusedError, "password")
    password = normalise_password(text)
    if len(password) < min_length:
        raise refuse("Choose a longer password: at least %(least)s characters.", least=min_length)
    scored = zxcvbn(password[:PASSWORD_SCORED_LENGTH], user_inputs=[username.shown, username.key])
    if scored["score"] < PASSWORD_MIN_SCORE:
        feedback = scored["feedback"]
        advice = filter(None, [feedback["warning"], *feedback["suggestions"]])
        raise refuse("This password is easy to guess.", *advice)
    return password


def new_token() -> str:
    """Return a session token: 32 random bytes, as text."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Return the SHA-256 of a session token, under which its session is stored."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


class Passwords:
    """Checks and hashes passwords in threads of its own, so that the event loop stays free.

    Argon2id with 19 MiB, 2 passes and 1 lane, as the OWASP Password Storage Cheat Sheet advises.
    At most `QUEUE` passwords are at work or waiting, none for more than `wait_seconds`; hashing
    releases the GIL. Every method raises BusyError if the queue is full or slow.
    """

    QUEUE = 256
    WAIT_SECONDS = 10.0  # a full queue takes 4 s on two cores, longer on a small server

    def __init__(self, min_length: int, wait_seconds: float = WAIT_SECONDS) -> None:
        self._min_length = min_length
        self._wait_seconds = wait_seconds
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._nobodys_hash = self._hasher.hash(new_token())
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="passwords")
        self._queued = 0

    async def hash_new(self, password: str, username: Username) -> str:
        """Return the hash of a new password. Raises RefusedError if the password is not allowed."""
        return await self._run(
            lambda: self._hasher.hash(parse_password(password, username, self._min_length))
        )

    async def hash_old(self, password: str) -> str:
        """Return the hash, with the parameters of today, of a password that is in use already."""
        return await self._run(self._hasher.hash, _opaque(password))

    async def match(self, password: str, password_hash: str | None) -> bool:
        """Return whether the hash is of this password; without a hash after the same time."""
        return await self._run(self._match, _opaque(password), password_hash)

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether the hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(password_hash)

    def _match(self, password: str, password_hash: str | None) -> bool:
        try:
            return self._hasher.verify(password_hash or self._nobodys_hash, password) and bool(password_hash)
        except InvalidHashError:
            return self._match(password, None)
        except VerificationError:
            return False

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._queued >= self.QUEUE:
            raise BusyError
        latest = time.monotonic() + self._wait_seconds

        def in_time() -> T:
            if time.monotonic() > latest:
                raise BusyError
            return work(*args, **kwargs)

        self._queued += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, in_time)
        finally:
            self._queued -= 1

    def close(self) -> None:
        """End the threads; passwords that still wait are dropped."""
        self._threads.shutdown(cancel_futures=True)


def _opaque(password: str) -> str:
    """Return the form that was hashed; what has none, and so never was, as it is."""
    if len(password) > PASSWORD_MAX_LENGTH:
        return password
    try:
        return str(_opaque_string.enforce(password))
    except UnicodeEncodeError:
        return password.encode(errors="replace").decode()
