"""The static files: compressed, under addresses that change with their content and never expire.

The stylesheet alone is no file of its own for the browser: it stands in the page, which is therefore
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

SOURCE = Path(__file__).parent / "static"
STYLE = (SOURCE / "style.css").read_text()
STYLE_HASH = f"sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}"  # W3C CSP3, 2.3.1
SCRIPTS = "relative-time.js", "htmx.min.js", "hx-sse.min.js", "roster.js"
YEAR = "public, max-age=31536000, immutable"


def serve_static(app: Quart) -> None:
    """Serve `static/`; templates write `static("favicon.svg")` for an address, `style` for the stylesheet."""
    folder = static_folder()
    names = json.loads((Path(folder.name) / "staticfiles.json").read_text())["paths"]
    app.add_template_global(lambda name: f"/static/{names[name]}", "static")
    app.jinja_env.globals["style"] = Markup(STYLE)  # noqa: S704 (ours, and within <style> nothing is escaped)
    app.asgi_app = ServeStaticASGI(  # type: ignore[method-assign]
        app.asgi_app,
        folder.name,
        "static",
        allow_all_origins=False,
        add_headers_function=lambda headers, _path, _url: headers.__setitem__("Cache-Control", YEAR),
    )


@cache
def static_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a folder, removed when the process ends, with the hashed and compressed files.

    The scripts become one module, `scripts.js`: HTMX starts a moment after its own, whether or not
    another file with its extension or our listeners has arrived by then.
    """
    folder = tempfile.TemporaryDirectory(prefix="roster-static-")
    with tempfile.TemporaryDirectory() as source:
        shutil.copytree(SOURCE, source, dirs_exist_ok=True)
        scripts = [Path(source, name) for name in SCRIPTS]
        Path(source, "scripts.js").write_text("\n".join(script.read_text() for script in scripts))
        for used in [*scripts, Path(source, "style.css")]:
            used.unlink()
        build_static(["--all", "--no-zstd", "--quiet", source, folder.name])
    return folder
