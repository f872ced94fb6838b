"""The services of the application, and how we are reached."""

from dataclasses import dataclass
from typing import cast

from quart import Quart, current_app, request

from db import Database
from services.live_list import LiveList
from services.passwords import PasswordHasher
from services.qr_code import QrCodes
from services.readiness import Readiness
from settings import DEFAULT_PORTS, Settings
from web.rendered_snapshots import SnapshotRenderer
from web.templates import Templates


@dataclass(frozen=True)
class Services:
    """What the parts of an application share."""

    settings: Settings
    database: Database
    live_list: LiveList
    password_hasher: PasswordHasher
    templates: Templates
    snapshot_renderer: SnapshotRenderer
    readiness: Readiness
    qr_codes: QrCodes


def get_services(app: Quart) -> Services:
    """Return the services of an application."""
    return cast("Services", app.extensions["services"])


def services() -> Services:
    """Return the services of the current application."""
    return get_services(current_app)


def is_htmx() -> bool:
    """Return whether HTMX sent the request.

    It wants a fragment of the page.
    """
    return request.headers.get("HX-Request") == "true"


def own_origin() -> str:
    """Return the origin at which the visitor's browser sees us."""
    # Not `request.host`, which is empty for a name with an underscore, as Docker has them.
    host = request.headers.get("Host", "").removesuffix(DEFAULT_PORTS[request.scheme])
    return services().settings.public_origin or f"{request.scheme}://{host}"


def is_tls() -> bool:
    """Return whether the browser speaks TLS.

    That may be with us, or with the proxy in front.
    """
    return request.scheme == "https" or services().settings.public_origin.startswith("https:")
