import gzip
import time
from itertools import count

import brotli
import pytest

from web.compression import compress

TEXT = b"the same again, " * 100


def test_every_coding_has_the_whole_body() -> None:
    encoded = compress(TEXT, brotli_quality=5)
    assert list(encoded) == ["br", "gzip", "identity"]
    assert brotli.decompress(encoded["br"].content) == TEXT
    assert gzip.decompress(encoded["gzip"].content) == TEXT
    assert encoded["identity"].content == TEXT


def test_a_coding_that_makes_it_longer_is_left_out() -> None:
    assert list(compress(b"x", brotli_quality=5)) == ["identity"]


def test_each_body_and_coding_has_an_entity_tag_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", count(1_800_000_000).__next__)
    one, again, other = (compress(body, brotli_quality=5) for body in (TEXT, TEXT, TEXT * 2))
    assert one == again
    assert len({encoded.etag for body in (one, other) for encoded in body.values()}) == 6
