"""User names: which are allowed, and which are the same."""

import unicodedata
from dataclasses import dataclass
from functools import reduce

from confusable_homoglyphs import categories
from precis_i18n import get_profile

from services.validation import REPLACEMENT_CHARACTER, ValidationError

MAX_LENGTH = 32

# UTS 39, section 5.2, "highly restrictive": alphabets that people do write together.
SCRIPTS_USED_TOGETHER = (
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


@dataclass(frozen=True)
class Username:
    """A user name as it is shown, and its unique key (RFC 8265)."""

    shown: str
    key: str


def parse_username(text: str) -> Username:
    """Return the user name in `text`, spaces around it left out.

    Raises ValidationError unless it is 1 to 32 characters of the RFC 8265 UsernameCaseMapped profile,
    not reserved, and free of look-alike letters of different alphabets.
    """
    text = text.strip(" \u3000")
    if not text:
        raise ValidationError("username", "Enter a user name.")
    if REPLACEMENT_CHARACTER in text:
        raise ValidationError("username", "This user name did not arrive as text: type it again.")
    too_long = ValidationError(
        "username", "Choose a shorter user name: at most %(most)s characters.", most=MAX_LENGTH
    )
    if len(text) > 4 * MAX_LENGTH:  # letters may still come with separate accents
        raise too_long
    try:
        shown = _case_preserved.enforce(text)
        key = _case_mapped.enforce(shown)
    except UnicodeEncodeError as error:
        raise _invalid_character(error) from None
    if len(shown) > MAX_LENGTH:
        raise too_long
    kinds = "".join(unicodedata.category(character)[0] for character in shown)
    if "C" in kinds:
        raise ValidationError("username", "This user name holds an invisible character: type it by hand.")
    if kinds.startswith("M") or "MMMM" in kinds:
        raise ValidationError(
            "username", "This user name has accents without a letter of their own: leave some out."
        )
    if _looks_alike(shown) or _looks_alike(key):
        raise ValidationError(
            "username", "This user name mixes look-alike letters of different alphabets: use one alphabet."
        )
    if key in RESERVED:
        raise ValidationError(
            "username", "The user name %(username)s is reserved: choose another.", username=shown
        )
    return Username(shown, key)


def username_key(text: str) -> str:
    """Return the key of a user name, "" where it can have none.

    Names that are no longer allowed to newcomers keep their keys.
    """
    if len(text) > 4 * MAX_LENGTH:  # nobody's
        return ""
    try:
        return str(_case_mapped.enforce(_case_preserved.enforce(text.strip(" \u3000"))))
    except UnicodeEncodeError:
        return ""


def fold_prefix(text: str) -> str:
    """Return a search text in the form of a key's beginning.

    What no user name can hold comes back as a text with which no key begins.
    """
    rules = (_case_mapped.width_mapping_rule, _case_mapped.case_mapping_rule, _case_mapped.normalization_rule)
    key = reduce(lambda mapped, rule: rule(mapped), rules, text.strip(" \u3000"))
    return key if key.isprintable() else REPLACEMENT_CHARACTER


def _invalid_character(error: UnicodeEncodeError) -> ValidationError:
    character = error.object[error.start : error.end]
    if unicodedata.category(character[0]) == "Zs":
        return ValidationError(
            "username", "A user name has no spaces: leave them out, or write - or _ instead."
        )
    if error.reason.endswith("bidi_rule"):
        return ValidationError(
            "username", "Letters and digits of this user name run in two directions: use one alphabet."
        )
    if len(character) == 1 and character.isprintable():
        return ValidationError(
            "username",
            "A user name takes letters, digits and marks such as . - _ but not %(character)s (%(code)s).",
            character=character,
            code=f"U+{ord(character):04X}",
        )
    return ValidationError("username", "This user name holds an invisible character: type it by hand.")


def _looks_alike(name: str) -> bool:
    if name.isascii():  # the most frequent case, in a tenth of the time
        return False
    scripts = categories.unique_aliases(name) - {"COMMON", "INHERITED"}
    if len(scripts) < 2 or any(scripts <= together for together in SCRIPTS_USED_TOGETHER):  # noqa: PLR2004
        return False
    from confusable_homoglyphs import confusables  # noqa: PLC0415 (6 MB, for a rare kind of name)

    return bool(confusables.is_confusable(name, greedy=False))
