import json

from tests.helpers import ROOT
from tools.vendor import PACKAGES, integrity

RECORD = json.loads((ROOT / "tools" / "vendored.json").read_text())


def test_the_vendored_files_are_the_recorded_ones() -> None:
    assert set(RECORD) == set(PACKAGES)
    for package, files in PACKAGES.items():
        assert {path: about["from"] for path, about in RECORD[package]["files"].items()} == files
        for path, about in RECORD[package]["files"].items():
            assert integrity((ROOT / path).read_bytes()) == about["integrity"]


def test_htmx_says_the_version_that_is_recorded() -> None:
    [package] = (package for package in PACKAGES if package.startswith("htmx"))
    assert f'"{package.partition("@")[2]}"' in (ROOT / "static" / "vendor" / "htmx.min.js").read_text()


def test_integrity_is_written_as_in_the_specification() -> None:
    # The test vector "abc" of RFC 6234 for SHA-512, in base64.
    assert integrity(b"abc").startswith(
        "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw=="
    )
