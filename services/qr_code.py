"""QR codes, for a page and for a terminal."""

import asyncio
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from segno import QRCode

MAX_CODES = 64  # kept; a server has a handful of addresses


class QrCodes:
    """QR codes as SVG elements, each drawn once.

    A `Host` header can name any address, and one of full length takes 0.1 s. So they are drawn beside
    the event loop, and one at a time: threads that draw keep the GIL from it, more of them for longer.
    """

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._lock = asyncio.Lock()

    def __contains__(self, text: str) -> bool:
        """Return whether the QR code of a text is drawn."""
        return text in self._codes

    async def draw(self, text: str) -> str:
        """Return the QR code of a text."""
        if text in self._codes:
            return self._codes[text]
        async with self._lock:
            if text not in self._codes:
                code = await asyncio.to_thread(draw_svg, text)
                if len(self._codes) == MAX_CODES:
                    del self._codes[next(iter(self._codes))]  # the oldest
                self._codes[text] = code
            return self._codes[text]

    async def draw_secret(self, text: str) -> str:
        """Return the QR code of a text, and do not keep it.

        How long it takes tells nobody whether somebody else has asked for it.
        """
        async with self._lock:
            return await asyncio.to_thread(draw_svg, text)


def draw_svg(text: str) -> str:
    """Return the QR code as an SVG element."""
    code = _make(text, error="m")
    return str(code.svg_inline(svgclass="qr", lineclass=None, omitsize=True, light="#fff"))


def draw_text(text: str, encoding: str) -> str:
    """Return the QR code, for a terminal of that encoding.

    Where that has no block characters, spaces with background colours take twice the room.
    """
    blocks, colours = StringIO(), StringIO()
    code = _make(text)
    code.terminal(blocks, compact=True)
    try:
        blocks.getvalue().encode(encoding)
    except UnicodeEncodeError:
        code.terminal(colours)
        return colours.getvalue()
    return blocks.getvalue()


def _make(text: str, error: str | None = None) -> "QRCode":
    import segno  # noqa: PLC0415 (1 MB, which a server needs only once it draws)

    return segno.make(text, error=error, micro=False)
