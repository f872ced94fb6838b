"""Bodies that are compressed once and sent many times."""

import gzip
from dataclasses import dataclass
from hashlib import sha256

import brotli
from quart import Response, abort, request


@dataclass(frozen=True)
class EncodedBody:
    """A body in one content coding, with its own entity tag.

    The tag comes from these very bytes, so whoever has it has them, whichever process sent them.
    """

    content: bytes
    etag: str


def compress(body: bytes, brotli_quality: int) -> dict[str, EncodedBody]:
    """Return the body by content coding, the best first."""
    encoded = {
        "br": brotli.compress(body, quality=brotli_quality),
        "gzip": gzip.compress(body, 6, mtime=0),  # without the time the bytes stay the same
        "identity": body,
    }
    return {
        coding: EncodedBody(content, sha256(content).hexdigest()[:16])
        for coding, content in encoded.items()
        if coding == "identity" or len(content) < len(body)
    }


def compressed_response(body: dict[str, EncodedBody], content_type: str, cache_control: str) -> Response:
    """Return the body in the coding that the browser likes best.

    It is 304 if the browser has it, and 412 if it wants only another one (RFC 9110, 13.2.2). Quart's
    `make_conditional` answers 412 to `If-Match: *` too.
    """
    coding = request.accept_encodings.best_match(body, default="identity")
    etag = body[coding].etag
    if request.if_match and not (request.if_match.star_tag or request.if_match.is_strong(etag)):
        abort(412)
    headers = {"Cache-Control": cache_control, "ETag": f'"{etag}"', "Vary": "Accept-Encoding"}
    if request.if_none_match.contains_weak(etag):
        return Response(None, 304, headers, content_type=content_type)  # caches take over the type
    if coding != "identity":
        headers["Content-Encoding"] = coding
    return Response(body[coding].content, headers=headers, content_type=content_type)
