"""QR codes, for a page and for a terminal."""

from io import StringIO

import segno


def draw_svg(text: str) -> str:
    """Return the QR code as an SVG element."""
    code = segno.make(text, error="m", micro=False)
    return str(code.svg_inline(svgclass="qr", lineclass=None, omitsize=True, light="#fff"))


def draw_text(text: str, encoding: str) -> str:
    """Return the QR code, for a terminal of that encoding.

    Where that has no block characters, spaces with background colours take twice the room.
    """
    blocks, colours = StringIO(), StringIO()
    code = segno.make(text, micro=False)
    code.terminal(blocks, compact=True)
    try:
        blocks.getvalue().encode(encoding)
    except UnicodeEncodeError:
        code.terminal(colours)
        return colours.getvalue()
    return blocks.getvalue()
