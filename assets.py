"""The static files: compressed, under addresses that change with their content and never expire."""

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from quart import Quart
from servestatic import ServeStaticASGI
from servestatic.cli import main as build_static

SOURCE = Path(__file__).parent / "static"
SCRIPTS = "relative-time.js", "htmx.min.js", "hx-sse.min.js", "roster.js"
YEAR = "public, max-age=31536000, immutable"


def serve_static(app: Quart) -> None:
    """Serve `static/`; templates write `static("style.css")` for an address."""
    folder = static_folder()
    names = json.loads((Path(folder.name) / "staticfiles.json").read_text())["paths"]
    app.add_template_global(lambda name: f"/static/{names[name]}", "static")
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
        for script in scripts:
            script.unlink()
        build_static(["--all", "--no-zstd", "--quiet", source, folder.name])
    return folder
