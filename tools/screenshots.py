"""Takes the README's pictures from the running program: desktop and phone."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests import chromium

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs"
NAMES = ("Amélie", "张伟", "Зоя", "Kwame", "نور", "山田ノリ", "o'hara", "Zoe")
SIZES = {"desktop": (1100, 900), "phone": (390, 844)}


def main() -> None:
    """Register a few people by hand, as it were, and save a picture of each size."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, ROOT / "serve.py"],
            env=os.environ | {"BIND": "127.0.0.1:0", "DATA_DIR": f"{folder}/data"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            take(process.stdout.readline().removeprefix("Roster: ").strip() if process.stdout else "")
        finally:
            process.terminate()
            process.wait()


def take(url: str) -> None:
    """Take the pictures from the program at `url`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.find(), args=["--no-sandbox", "--disable-background-networking"]
        )
        page = browser.new_page()
        page.goto(url)
        for name in NAMES:
            page.get_by_label("User name").fill(name)
            page.get_by_label("Password").fill("violet-otter-lamp-39")
            page.get_by_role("button", name="Register").click()
            page.locator("#register-message", has_text=name).wait_for()
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            page.screenshot(path=PICTURES / f"{size}.png")
        browser.close()


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    main()
