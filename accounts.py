"""Accounts: what a user name and a password may be, and Argon2id hashing off the event loop."""

import asyncio
import os
import re
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce

from argon2 import PasswordHasher
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

_case_preserved = get_profile("UsernameCasePreserved")
_case_mapped = get_profile("UsernameCaseMapped")
_opaque_string = get_profile("OpaqueString")


class RefusedError(Exception):
    """A user name or password is not allowed.

    `field` is "username" or "password"; the text is a sentence that says what to do.
    """

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


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
    too_long = refuse(f"Choose a shorter user name: at most {USERNAME_MAX_LENGTH} characters.")
    if len(text) > 4 * USERNAME_MAX_LENGTH:  # even before accents join their letters
        raise too_long
    try:
        shown = _case_preserved.enforce(text)
        key = _case_mapped.enforce(shown)
    except UnicodeEncodeError as error:
        raise refuse(_why_not(error)) from None
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
        raise refuse(f"The user name {shown} is reserved: choose another.")
    return Username(shown, key)


def fold_prefix(text: str) -> str:
    """Return the beginning of a user name as keys begin, for a search; spaces around it left out.

    What no user name can hold comes back as a text with which no key begins.
    """
    rules = (_case_mapped.width_mapping_rule, _case_mapped.case_mapping_rule, _case_mapped.normalization_rule)
    key = reduce(lambda mapped, rule: rule(mapped), rules, text.strip(" \u3000"))
    return key if key.isprintable() else UNREADABLE


def _why_not(error: UnicodeEncodeError) -> str:
    character = error.object[error.start : error.end]
    if unicodedata.category(character[0]) == "Zs":
        return "A user name has no spaces: leave them out, or write - or _ instead."
    if error.reason.endswith("bidi_rule"):
        return "Letters and digits of this user name run in two directions: use one alphabet."
    if len(character) == 1 and character.isprintable():
        code_point = f"U+{ord(character):04X}"
        return (
            f"A user name takes letters, digits and marks such as . - _ but not {character} ({code_point})."
        )
    return "This user name holds an invisible character: type it by hand."


def _looks_alike(name: str) -> bool:
    scripts = categories.unique_aliases(name) - {"COMMON", "INHERITED"}
    if len(scripts) < 2 or any(scripts <= together for together in WRITTEN_TOGETHER):  # noqa: PLR2004
        return False
    return bool(confusables.is_confusable(name, greedy=False))


def parse_password(text: str, username: Username, min_length: int) -> str:
    """Return the password in the form to hash (RFC 8265 OpaqueString).

    Raises RefusedError unless it has `min_length` to 256 code points and zxcvbn, which knows the
    user name, scores it 3 or more. Takes up to 0.05 s: call it off the event loop.
    """
    refuse = partial(RefusedError, "password")
    if not text:
        raise refuse("Enter a password.")
    if UNREADABLE in text:
        raise refuse("This password did not arrive as text: type it again.")
    if len(text) > PASSWORD_MAX_LENGTH:
        raise refuse(f"Choose a shorter password: at most {PASSWORD_MAX_LENGTH} characters.")
    try:
        password = str(_opaque_string.enforce(text))
    except UnicodeEncodeError:
        raise refuse("This password holds an invisible character: type it by hand.") from None
    if len(password) < min_length:
        raise refuse(f"Choose a longer password: at least {min_length} characters.")
    scored = zxcvbn(password[:PASSWORD_SCORED_LENGTH], user_inputs=[username.shown, username.key])
    if scored["score"] < PASSWORD_MIN_SCORE:
        feedback = scored["feedback"]
        advice = [feedback["warning"], *feedback["suggestions"]]
        sentences = " ".join(re.sub(r"(?<!\.)$", ".", sentence) for sentence in advice if sentence)
        raise refuse(f"This password is easy to guess. {sentences}".strip())
    return password


class Passwords:
    """Checks and hashes passwords in threads of its own, so that the event loop stays free.

    Argon2id with 19 MiB, 2 passes and 1 lane, as the OWASP Password Storage Cheat Sheet advises.
    At most `QUEUE` passwords are at work or waiting, none for more than `WAIT_SECONDS`; hashing
    releases the GIL.
    """

    QUEUE = 256
    WAIT_SECONDS = 5.0

    def __init__(self, min_length: int) -> None:
        self._min_length = min_length
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="passwords")
        self._queued = 0

    async def hash_new(self, password: str, username: Username) -> str:
        """Return the Argon2id hash of a new password.

        Raises RefusedError if the password is not allowed, BusyError if the queue is full or slow.
        """
        if self._queued >= self.QUEUE:
            raise BusyError
        self._queued += 1
        try:
            loop = asyncio.get_running_loop()
            latest = time.monotonic() + self.WAIT_SECONDS
            return await loop.run_in_executor(self._threads, self._hash_new, password, username, latest)
        finally:
            self._queued -= 1

    def _hash_new(self, password: str, username: Username, latest: float) -> str:
        if time.monotonic() > latest:
            raise BusyError
        return self._hasher.hash(parse_password(password, username, self._min_length))

    def close(self) -> None:
        """End the threads; passwords that still wait are dropped."""
        self._threads.shutdown(cancel_futures=True)
