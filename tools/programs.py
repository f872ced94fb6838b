"""The programs that the tests start: a browser, and PgBouncer where Debian has it.

Run as a program, it installs what is missing.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HEADLESS_SHELL = "chromium-headless-shell"  # Chromium without windows: pages cost half the CPU time
NAMES = (HEADLESS_SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKAGES = (HEADLESS_SHELL, "pgbouncer")  # each with a program of that name
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # where Debian has PgBouncer
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def find_browser() -> str | None:
    """Return the path of Chromium or Chrome, None without one."""
    found = next(filter(None, map(shutil.which, NAMES)), None) or (str(MAC) if MAC.exists() else None)
    if found is None:
        with sync_playwright() as playwright:
            own = playwright.chromium.executable_path
        found = own if Path(own).exists() else None
    return found


def install() -> None:
    """Install them with apt-get where that is possible.

    The browser may come from Playwright instead. Tests that need another program are skipped without it.
    """
    missing = [name for name in PACKAGES if shutil.which(name, path=PATH) is None]
    install_packages(missing)
    if missing and find_browser() is None:
        install_packages(["chromium"])
    if find_browser() is None:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def install_packages(names: list[str]) -> None:
    """Install Debian packages, as root and where there is apt-get.

    One that fails does not stop the others.
    """
    if not names or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    subprocess.run(["apt-get", "update", "-qq"], check=False)
    for name in names:
        install = ["apt-get", "install", "-qq", "-y", name]
        subprocess.run(install, check=False, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    install()
    if find_browser() is None:
        sys.exit("make test needs Chromium or Chrome, found none and could not install one.")
