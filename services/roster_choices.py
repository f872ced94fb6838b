"""What organisers may write: title, description and capacity."""

import unicodedata

from services.validation import REPLACEMENT_CHARACTER, ValidationError, gettext_noop

# As migration 005 has them, in code points.
MAX_TITLE_LENGTH = 100
MAX_DESCRIPTION_LENGTH = 500
MAX_CAPACITY = 1_000_000


def parse_title(text: str) -> str:
    """Return a title: one line of plain text, or "".

    Raises ValidationError for the field "new-title".
    """
    return _parse_text("new-title", " ".join(text.split()), MAX_TITLE_LENGTH)


def parse_description(text: str) -> str:
    """Return a description: lines of plain text, or "".

    Raises ValidationError for the field "new-description".
    """
    lines = (" ".join(line.split()) for line in text.splitlines())
    return _parse_text("new-description", "\n".join(lines).strip(), MAX_DESCRIPTION_LENGTH)


def parse_capacity(text: str) -> int | None:
    """Return the number of places, None where there is no bound.

    Digits of any script will do. Raises ValidationError for the field "new-capacity".
    """
    digits = text.strip()
    if not digits:
        return None
    if not digits.isdecimal() or len(digits) > len(str(MAX_CAPACITY)) or not 1 <= int(digits) <= MAX_CAPACITY:
        raise ValidationError(
            "new-capacity",
            gettext_noop("Write a whole number from 1 to %(most)s, or nothing for no limit."),
            most=f"{MAX_CAPACITY:,}",
        )
    return int(digits)


def _parse_text(field: str, text: str, most: int) -> str:
    if REPLACEMENT_CHARACTER in text:
        raise ValidationError(field, gettext_noop("This did not arrive as text: type it again."))
    if len(text) > most:
        raise ValidationError(
            field, gettext_noop("Write a shorter text: at most %(most)s characters."), most=most
        )
    categories = {unicodedata.category(character) for character in text if character != "\n"}
    if categories & {"Cc", "Cs"}:
        raise ValidationError(field, gettext_noop("This text holds an invisible character: type it by hand."))
    if text and not any(category[0] in "LNPS" for category in categories):
        return ""  # nothing of it would show
    return text
