"""Takes the browser's libraries from their npm packages, and records what they are."""

import base64
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "tools" / "vendored.json"
PACKAGES = {
    "htmx.org@4.0.1": {
        "static/vendor/htmx.min.js": "dist/htmx.min.js",
        "static/vendor/hx-sse.min.js": "dist/ext/hx-sse.min.js",
    },
    "@github/relative-time-element@5.3.1": {"static/vendor/relative-time.js": "dist/bundle.js"},
    "axe-core@4.14.1": {"tests/browser/axe.min.js": "axe.min.js"},  # for the tests alone
}


def integrity(data: bytes) -> str:
    """Return the subresource integrity of `data`, as npm and browsers write it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def take(package: str, files: dict[str, str]) -> dict[str, object]:
    """Fetch a package with npm, copy its files, return the record."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--silent", "--json", package],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
        listing = json.loads(packed.stdout)
        [about] = listing.values() if isinstance(listing, dict) else listing
        archive = Path(folder, about["filename"])
        if integrity(archive.read_bytes()) != about["integrity"]:
            raise SystemExit(f"{package} does not have the integrity that npm names")
        with tarfile.open(archive) as contents:
            manifest = json.load(contents.extractfile("package/package.json") or archive.open("rb"))
            for path, source in files.items():
                if file := contents.extractfile(f"package/{source}"):
                    (ROOT / path).write_bytes(file.read())
    return {
        "integrity": about["integrity"],
        "license": manifest["license"],
        "files": {
            path: {"from": source, "integrity": integrity((ROOT / path).read_bytes())}
            for path, source in files.items()
        },
    }


def main() -> None:
    """Take all packages and write the record."""
    record = {package: take(package, files) for package, files in PACKAGES.items()}
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
