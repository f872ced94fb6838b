import hashlib
from base64 import urlsafe_b64decode

from services.tokens import hash_token, new_token


def test_a_token_is_32_random_bytes_as_text() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(urlsafe_b64decode(f"{token}=")) for token in tokens} == {32}


def test_a_token_is_stored_as_its_sha_256() -> None:
    assert hash_token("token") == hashlib.sha256(b"token").digest()


def test_a_cookie_that_is_no_utf_8_has_a_hash_too() -> None:
    assert len(hash_token("a\udc80b")) == 32
