"""The static files, compressed.

Their URLs change with their content, and so never expire.

The stylesheet alone is no file of its own for the browser. It stands in the page, which is therefore
painted a round trip earlier. The Content-Security-Policy allows it, and no other, by its hash.
"""

import json
import shutil
import tempfile
from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path

from markupsafe import Markup
from quart import Quart
from servestatic import ServeStaticASGI
from servestatic.cli import main as build_static

SOURCE = Path(__file__).parent.parent / "static"
STYLE = (SOURCE / "style.css").read_text()
STYLE_HASH = f"sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}"  # W3C CSP3, 2.3.1
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
    "open_sign_in.js",
    "you_badge.js",
    "new_row_animation.js",
    "screen_reader_announcements.js",
    "restore_focus.js",
    "search.js",
)
CACHE_FOR_A_YEAR = "public, max-age=31536000, immutable"


def init_app(app: Quart) -> None:
    """Serve `static/`.

    In templates `static("favicon.svg")` is a URL, and `style` is the stylesheet.
    """
    folder, names = _build_folder()
    app.jinja_env.globals.update(
        static=lambda name: f"/static/{names[name]}",
        style=Markup(STYLE),  # noqa: S704 (ours, and in <style> nothing is escaped)
    )
    app.asgi_app = ServeStaticASGI(  # type: ignore[method-assign]
        app.asgi_app,
        folder.name,
        "static",
        allow_all_origins=False,
        add_headers_function=lambda headers, _path, _url: headers.__setitem__(
            "Cache-Control", CACHE_FOR_A_YEAR
        ),
    )


@cache
def _build_folder() -> tuple["tempfile.TemporaryDirectory[str]", dict[str, str]]:
    """Return a folder with the hashed and compressed files.

    It is removed when the process ends. The dictionary has the names of the files in it.


    The scripts become one module, `scripts.js`. HTMX starts a moment after its own script, whether
    or not a second file with its extension or our listeners has arrived by then.
    """
    folder = tempfile.TemporaryDirectory(prefix="roster-static-")
    with tempfile.TemporaryDirectory() as source:
        shutil.copytree(SOURCE, source, dirs_exist_ok=True)
        scripts = [Path(source, name) for name in SCRIPTS]
        Path(source, "scripts.js").write_text("\n".join(script.read_text() for script in scripts))
        for used in [*scripts, Path(source, "style.css")]:
            used.unlink()
        build_static(["--all", "--no-zstd", "--quiet", source, folder.name])
    manifest = Path(folder.name, "staticfiles.json")
    names = json.loads(manifest.read_text())["paths"]
    manifest.unlink()  # its own URL would never change
    return folder, names
