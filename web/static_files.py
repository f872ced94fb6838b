"""The static files, compressed once and kept in memory.

Their URLs change with their content, and so never expire.

The stylesheets alone are no files of their own for the browser. They stand in the page, which is
therefore painted a round trip earlier. The Content-Security-Policy allows them, and no others, by their
hashes.
"""

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

from markupsafe import Markup
from quart import Quart, Response, abort

from web.compression import EncodedBody, compress, compressed_response

SOURCE = Path(__file__).parent.parent / "static"
STYLE = (SOURCE / "style.css").read_text()
ORGANISER_STYLE = (SOURCE / "organiser.css").read_text()  # for their pages alone
STYLE_HASHES = [  # W3C CSP3, 2.3.1
    f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in (STYLE, ORGANISER_STYLE)
]
SCRIPTS = (
    "vendor/relative-time.js",
    "vendor/htmx.min.js",
    "vendor/hx-sse.min.js",
    "event_stream.js",
    "request_errors.js",
    "input_methods.js",
    "read_only_while_sending.js",
    "form_errors.js",
    "show_password.js",
    "you_badge.js",
    "organiser_forms.js",
    "new_row_animation.js",
    "screen_reader_announcements.js",
    "restore_focus.js",
    "search.js",
)
CONTENT_TYPES = {
    "scripts.js": "text/javascript; charset=utf-8",
    "favicon.svg": "image/svg+xml",
    "social_card.png": "image/png",
}
CACHE_FOR_A_YEAR = "public, max-age=31536000, immutable"
REVALIDATE = "public, no-cache"


@dataclass(frozen=True)
class StaticFile:
    """A file with a URL."""

    url: str
    digest: str
    content_type: str
    body: dict[str, EncodedBody]


def init_app(app: Quart) -> None:
    """Serve `static/`.

    In templates `static("favicon.svg")` is a URL, `style` is the stylesheet, and `icon` is the favicon.
    """
    app.jinja_env.globals.update(
        static=lambda name: load_static_files()[name].url,
        style=Markup(STYLE),  # noqa: S704 (ours, and in <style> nothing is escaped)
        organiser_style=Markup(ORGANISER_STYLE),  # noqa: S704
        icon=Markup((SOURCE / "favicon.svg").read_text()),  # noqa: S704 (ours)
    )
    load_static_files()  # now, so that no visitor waits for it
    app.add_url_rule("/static/<stem>.<digest>.<suffix>", "static", _send_file)


async def _send_file(stem: str, digest: str, suffix: str) -> Response:
    """Send the file of that name, whatever digest its URL has.

    During an upgrade two versions run side by side, and a page of one may ask the other for its
    scripts. It gets those that are here, and a working page. They must not be kept under the URL of
    other ones, so they are revalidated each time.
    """
    file = load_static_files().get(f"{stem}.{suffix}") or abort(404)
    cache_control = CACHE_FOR_A_YEAR if digest == file.digest else REVALIDATE
    return compressed_response(file.body, file.content_type, cache_control)


@cache
def load_static_files() -> dict[str, StaticFile]:
    """Return the files that have URLs, by name.

    The scripts become one module, `scripts.js`. HTMX starts a moment after its own script, whether
    or not a second file with its extension or our listeners has arrived by then.
    """
    files = {}
    for name, content_type in CONTENT_TYPES.items():
        content = b"\n".join(
            (SOURCE / part).read_bytes() for part in (SCRIPTS if name == "scripts.js" else [name])
        )
        digest = sha256(content).hexdigest()[:12]
        stem, suffix = name.split(".")
        url = f"/static/{stem}.{digest}.{suffix}"
        files[name] = StaticFile(url, digest, content_type, compress(content, brotli_quality=11))
    return files
