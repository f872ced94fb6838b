"""Output to a terminal, and questions there."""

import signal
import sys

import click

from services.qr_code import draw_text
from services.stop_signal import STOP_SIGNALS


def printable(text: str) -> str:
    """Return a text with escapes for what is not printable.

    So no name can move the cursor, or look like another line.
    """
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def print_qr_code(text: str) -> None:
    """Print the QR code of a text."""
    encoding = getattr(sys.stdout, "encoding", "ascii")  # None stands for a closed stdout
    click.echo(draw_text(text, encoding), nl=False, color=True)


def confirm(question: str) -> None:
    """Ask a question; raise click.Abort unless the answer is yes.

    While it waits, a signal counts as no. The handlers of `StopSignal` would wait for the answer.
    """
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        for number, handler in handlers.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, signal.default_int_handler)
        click.confirm(question, abort=True, err=True)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
