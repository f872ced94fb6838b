"""The settings, read once from the environment or `.env`."""

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any
from unicodedata import category
from urllib.parse import urlsplit

from dotenv import dotenv_values
from dotenv.parser import parse_stream
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

VERSION = "1.1.0"  # described in CHANGELOG.md
PROJECT = Path(__file__).parent  # relative paths start here, in whatever folder a command is called
ENV_FILE = PROJECT / ".env"
SIMILARITY = 0.9  # of a misspelt name: a letter or two of a long one
DEFAULT_PORTS = {"http": ":80", "https": ":443"}  # which no browser writes in an Origin


class BadSettingError(Exception):
    """A setting is not allowed.

    The text names the setting, its value and what is allowed.
    """


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings; `.env.example` explains each one.

    `database_url`, `listen_database_url` and `public_origin` are empty when unset.
    """

    database_url: str = ""
    listen_database_url: str = ""
    data_dir: Path = PROJECT / "data"
    bind: tuple[str, int] = ("127.0.0.1", 8000)
    workers: int = 1
    pool_size: int = 8
    max_viewers: int = 10_000
    password_min_length: int = 8
    rate_limits: bool = True
    trusted_proxy_hops: int = 0
    public_origin: str = ""
    migrate: bool = True
    tls_certificate: Path | None = None
    tls_key: Path | None = None


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings from `environ`.

    By default that is `.env`, overlaid with the environment.

    An empty value counts as unset. Raises BadSettingError at the first value that is not allowed,
    and at the first misspelt name.
    """
    env_file: Mapping[str, str] = {}
    if environ is None:
        env_file, environ = _read_env_file(), os.environ
    readers: dict[str, Callable[[str], Any]] = {
        "DATABASE_URL": parse_database_url,
        "LISTEN_DATABASE_URL": parse_database_url,
        "DATA_DIR": _path,
        "BIND": _bind,
        "WORKERS": _whole_number(1, 100),
        "POOL_SIZE": _whole_number(1, 100),
        "MAX_VIEWERS": _whole_number(1, 1_000_000),
        "PASSWORD_MIN_LENGTH": _whole_number(8, 64),
        "RATE_LIMITS": _on_or_off,
        "TRUSTED_PROXY_HOPS": _whole_number(0, 10),
        "PUBLIC_ORIGIN": _origin,
        "MIGRATE": _on_or_off,
        "TLS_CERTIFICATE": _path,
        "TLS_KEY": _path,
    }
    _check_names(readers, env_file, environ)
    values = {}
    for name, read in readers.items():
        if text := {**env_file, **environ}.get(name, "").strip():
            try:
                values[name.lower()] = read(_check_characters(text))
            except ValueError as error:
                message = f"{name}={mask_password(text)!r} is not allowed: {error}"
                raise BadSettingError(message) from None
    if "listen_database_url" in values and "database_url" not in values:
        raise BadSettingError("LISTEN_DATABASE_URL is not allowed alone: set DATABASE_URL too")
    if ("tls_certificate" in values) != ("tls_key" in values):
        raise BadSettingError("TLS_CERTIFICATE and TLS_KEY are not allowed alone: set both")
    return Settings(**values)


def mask_password(text: str) -> str:
    """Return a connection string with *** for its password.

    This works however wrongly it is written.
    """
    text = re.sub(r"^(\w+://)?([^:@]*:).*@", r"\1\2***@", text)
    return re.sub(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", r"\1***", text, flags=re.IGNORECASE)


def _check_names(names: Collection[str], env_file: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Refuse misspelt names.

    Every name in `.env` must be a setting. The environment also holds what other programs read, so
    there only a name that is nearly a setting's counts as misspelt.
    """
    for source, where in (env_file, " in .env"), (environ, ""):
        for name in [name for name in source if name not in names]:
            similar = get_close_matches(name.upper(), names, 1, SIMILARITY)
            similar += [known for known in names if sorted(known) == sorted(name.upper())]  # letters swapped
            if similar or source is env_file:
                allowed = f"write {similar[0]}" if similar else "see .env.example for those that exist"
                raise BadSettingError(f"{name!r}{where} is not the name of a setting: {allowed}")


def _check_characters(text: str) -> str:
    if {"Cc", "Cs"} & set(map(category, text)):  # Python has surrogates (Cs) for bytes that are not UTF-8
        raise ValueError("write it in UTF-8, without control characters")
    return text


def _read_env_file() -> dict[str, str]:
    try:
        text = ENV_FILE.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadSettingError(
            f"{ENV_FILE} cannot be read: {error.strerror}; make it a file that this user may read"
        ) from None
    except UnicodeDecodeError:
        raise BadSettingError(".env is not allowed to hold anything but UTF-8 text") from None
    seen = set()
    for binding in parse_stream(StringIO(text)):
        if binding.key in seen:
            raise BadSettingError(f"{binding.key} stands twice in .env: leave one line out")
        seen |= {binding.key} - {None}
        if binding.error or (binding.key and binding.value is None):
            text, line = binding.original  # the text is not shown, it may be a password
            line += text[: -len(text.lstrip())].count("\n")
            raise BadSettingError(
                f".env is malformed in line {line}: write NAME=value, and close every quote"
            )
    return {name: value or "" for name, value in dotenv_values(stream=StringIO(text)).items()}


def parse_database_url(text: str) -> str:
    """Return a connection string; raises ValueError for others."""
    try:
        parts = conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError("write it as postgresql://user:password@host:port/database") from None
    if (
        not re.fullmatch("[0-9,]*", str(parts.get("port", "")))
        or "@" in f"{parts.get('host')}{parts.get('dbname')}"
    ):
        raise ValueError("write an @ in a password as %40 and a / as %2F")
    return text


def _path(text: str) -> Path:
    try:
        return PROJECT / Path(text).expanduser()
    except RuntimeError:
        raise ValueError("write the whole path; this user has no home") from None


def _bind(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:  # noqa: PLR2004 (the largest TCP port)
        raise ValueError("write it as address:port, such as 127.0.0.1:8000")
    return host, int(port)


def _whole_number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"write a whole number from {least} to {most}")
        return int(text)

    return read


def _on_or_off(text: str) -> bool:
    if text not in {"on", "off"}:
        raise ValueError("write on or off")
    return text == "on"


def _is_url(text: str) -> bool:
    """Return whether its port and any brackets are allowed."""
    try:
        _ = urlsplit(text).port
    except ValueError:
        return False
    return True


def _origin(text: str) -> str:
    found = re.fullmatch(r"(https?)://([^\s/?#@:\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/?", text.lower())
    if not found or not _is_url(text):
        raise ValueError("write it as https://host or https://host:port")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}{port if port and port != DEFAULT_PORTS[scheme] else ''}"
