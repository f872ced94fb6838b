"""The programs of `make bench`: wrk, h2load, and nginx with nchan.

Run as a program, it installs what is missing. pgbench comes with the embedded PostgreSQL.
"""

import shutil
import sys
from pathlib import Path

from tools.programs import PATH, install_packages

PROGRAMS = {
    "wrk": "wrk",
    "nghttp2-client": "h2load",
    "nginx": "nginx",
}  # Debian's packages, and what each has
NCHAN = "libnginx-mod-nchan"
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


def find_program(name: str) -> str:
    """Return the path of one of the programs."""
    return shutil.which(name, path=PATH) or sys.exit(
        f"make bench needs {name}, found none and could not install it."
    )


def install() -> None:
    """Install them with apt-get where that is possible, and check that all are there."""
    missing = [package for package, program in PROGRAMS.items() if not shutil.which(program, path=PATH)]
    install_packages([*missing, *([] if NCHAN_MODULE.exists() else [NCHAN])])
    for program in PROGRAMS.values():
        find_program(program)
    if not NCHAN_MODULE.exists():
        sys.exit(f"make bench needs nginx's module nchan ({NCHAN}), and could not install it.")


if __name__ == "__main__":
    install()
