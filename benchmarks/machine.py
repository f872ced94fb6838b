"""The machine that the benchmarks run on."""

import os
import platform
import re
import subprocess
from pathlib import Path

import psutil

from services.postgres_server import BINARIES

CPUINFO = Path("/proc/cpuinfo")  # Linux


def describe_machine() -> str:
    """Return a table of what the figures depend on, in Markdown."""
    rows = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "PostgreSQL": _postgres_version(),
    }
    return "| machine | |\n| --- | --- |\n" + "".join(
        f"| {name} | {value} |\n" for name, value in rows.items()
    )


def _processor() -> str:
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def _postgres_version() -> str:
    command = [str(BINARIES / "postgres"), "--version"]
    version = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return version.split()[-1]
