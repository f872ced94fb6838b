"""Tokens, of which only the SHA-256 is stored."""

import hashlib
import secrets


def new_token() -> str:
    """Return a random token, as text."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> bytes:
    """Return the SHA-256 under which a token is stored."""
    return hashlib.sha256(token.encode(errors="replace")).digest()
