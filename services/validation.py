"""The error for what people type that is not allowed."""

REPLACEMENT_CHARACTER = "\ufffd"  # stands for bytes that are no text, see `web.forms.parse_fields`


class ValidationError(Exception):
    """What somebody has typed is not allowed.

    `field` is the id of its input, such as "username"; `messages` are sentences that say what to
    do, each with its values, for `i18n.format_messages`; `status` is that of the HTTP response.
    """

    status = 422

    def __init__(self, field: str, message: str, *advice: str, **values: object) -> None:
        super().__init__(" ".join([message % values, *advice]))
        self.field = field
        self.messages = [(message, values), *((sentence, {}) for sentence in advice)]


def gettext_noop(message: str) -> str:
    """Mark a message for translation."""
    return message
