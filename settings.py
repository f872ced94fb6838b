"""The settings: environment variables, or lines of `.env`, read once and typed."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict


class BadSettingError(Exception):
    """A setting has a value that is not allowed; the text names setting, value and what is."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an operator can choose; `.env.example` explains each one.

    `database_url` and `public_origin` are empty when unset.
    """

    database_url: str = ""
    data_dir: Path = Path("data")
    bind: tuple[str, int] = ("127.0.0.1", 8000)
    pool_size: int = 8
    password_min_length: int = 8
    public_origin: str = ""


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from `environ`, by default `.env` overlaid with the environment.

    An empty value counts as unset. Raises BadSettingError at the first value that is not allowed.
    """
    if environ is None:
        environ = {**{k: v or "" for k, v in dotenv_values(".env").items()}, **os.environ}
    readers: dict[str, Callable[[str], Any]] = {
        "DATABASE_URL": _database_url,
        "DATA_DIR": lambda value: Path(value).expanduser(),
        "BIND": _bind,
        "POOL_SIZE": _whole_number(1, 100),
        "PASSWORD_MIN_LENGTH": _whole_number(8, 64),
        "PUBLIC_ORIGIN": _origin,
    }
    values = {}
    for name, read in readers.items():
        if text := environ.get(name, "").strip():
            try:
                values[name.lower()] = read(text)
            except ValueError as error:
                message = f"{name}={mask_password(text)!r} is not allowed: {error}"
                raise BadSettingError(message) from None
    return Settings(**values)


def mask_password(text: str) -> str:
    """Return a connection string with the password in it replaced by ***."""
    text = re.sub(r"(?<=:)[^:@/]*(?=@)|(?<=:)(?<!/)[^/].*(?=@)", "***", text)
    return re.sub(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", r"\1***", text, flags=re.IGNORECASE)


def _database_url(text: str) -> str:
    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        hint = "write it as postgresql://user:password@host:port/database"
        raise ValueError(hint) from None
    return text


def _bind(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > 65535:  # noqa: PLR2004 (the largest TCP port)
        hint = "write it as address:port, such as 127.0.0.1:8000"
        raise ValueError(hint)
    return host, int(port)


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and least <= int(text[:9]) <= most):
            hint = f"write a whole number from {least} to {most}"
            raise ValueError(hint)
        return int(text)

    return read


def _origin(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.netloc or url.path.strip("/") or url.query:
        hint = "write it as https://host or https://host:port"
        raise ValueError(hint)
    return f"{url.scheme}://{url.netloc}".lower()
