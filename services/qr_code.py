"""QR codes, for a page and for a terminal."""

from io import StringIO

import segno


def draw_svg(text: str) -> str:
    """Return the QR code as an SVG element."""
    code = segno.make(text, error="m", micro=False)
    return str(code.svg_inline(svgclass="qr", lineclass=None, omitsize=True, light="#fff"))


def draw_text(text: str) -> str:
    """Return the QR code in block characters, for a terminal."""
    output = StringIO()
    segno.make(text, micro=False).terminal(output, compact=True)
    return output.getvalue()
