"""TLS with our own certificate."""

import logging
import ssl
from pathlib import Path
from typing import cast

from hypercorn.config import Config

REASONS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "EE_KEY_TOO_SMALL": "the key is too short",
}

logger = logging.getLogger(__name__)


class CertificateError(Exception):
    """The files cannot be used; the text says why."""


def create_tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for HTTP/2 and HTTP/1.1.

    Raises CertificateError.
    """
    _check(certificate, key)
    config = Config()
    config.certfile, config.keyfile = str(certificate), str(key)
    return cast("ssl.SSLContext", config.create_ssl_context())


def reload_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Read the files again: they have been renewed.

    Open connections keep theirs. Files that are no good change nothing, and are logged.
    """
    try:
        _check(certificate, key)
        context.load_cert_chain(certificate, key)
    except (CertificateError, OSError) as error:
        logger.error("The certificate was not renewed: %s", error)  # noqa: TRY400 (the line says it all)


def _check(certificate: Path, key: Path) -> None:
    """Raise CertificateError unless they fit each other.

    This tries them on another context, which a bad file may leave half changed.
    """
    try:
        # With a password, as OpenSSL would ask the terminal for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        reason = REASONS.get(str(error.reason), "no PEM files, or the key has a password")
        raise CertificateError(f"TLS_CERTIFICATE={certificate}, TLS_KEY={key}: {reason}") from None
    except OSError as error:
        raise CertificateError(f"TLS_CERTIFICATE={certificate}, TLS_KEY={key}: {error.strerror}") from None
