"""Takes the browser's libraries from their npm packages into static/ and records what they are."""

import base64
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "tools" / "vendored.json"
PACKAGE = "htmx.org@4.0.1"
FILES = {"htmx.min.js": "dist/htmx.min.js", "hx-sse.min.js": "dist/ext/hx-sse.min.js"}


def integrity(data: bytes) -> str:
    """Return the subresource integrity of `data`, as npm and browsers write it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def main() -> None:
    """Fetch the package with npm, copy the files, write the record."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--silent", "--json", PACKAGE],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        listing = json.loads(packed.stdout)
        [about] = listing.values() if isinstance(listing, dict) else listing
        archive = Path(folder, about["filename"])
        if integrity(archive.read_bytes()) != about["integrity"]:
            message = f"{PACKAGE} does not have the integrity that npm names"
            raise SystemExit(message)
        with tarfile.open(archive) as package:
            for name, source in FILES.items():
                if file := package.extractfile(f"package/{source}"):
                    (ROOT / "static" / name).write_bytes(file.read())
    record = {
        "package": PACKAGE,
        "integrity": about["integrity"],
        "license": "0BSD",
        "files": {
            name: {"from": source, "integrity": integrity((ROOT / "static" / name).read_bytes())}
            for name, source in FILES.items()
        },
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
