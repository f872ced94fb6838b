"""Bodies that are compressed once and sent many times."""

import gzip
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

import brotli
from quart import Response, abort, request
from werkzeug.datastructures import ETags


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


def evaluate_preconditions(if_match: ETags, if_none_match: ETags, etag: str) -> HTTPStatus:
    """Return the status for what the browser has.

    It is 304 if that is this entity, 412 if it wants only another one, else 200 (RFC 9110, 13.2.2). Quart's
    `make_conditional` answers 412 to `If-Match: *` too.
    """
    if if_match and not (if_match.star_tag or if_match.is_strong(etag)):
        return HTTPStatus.PRECONDITION_FAILED
    return HTTPStatus.NOT_MODIFIED if if_none_match.contains_weak(etag) else HTTPStatus.OK


def compressed_response(body: dict[str, EncodedBody], content_type: str, cache_control: str) -> Response:
    """Return the body in the coding that the browser likes best.

    Without the body if the browser has it, see `evaluate_preconditions`.
    """
    coding = request.accept_encodings.best_match(body, default="identity")
    etag = body[coding].etag
    status = evaluate_preconditions(request.if_match, request.if_none_match, etag)
    if status == HTTPStatus.PRECONDITION_FAILED:
        abort(status)
    headers = {"Cache-Control": cache_control, "ETag": f'"{etag}"', "Vary": "Accept-Encoding"}
    if status == HTTPStatus.NOT_MODIFIED:
        return Response(None, status, headers, content_type=content_type)  # caches take over the type
    if coding != "identity":
        headers["Content-Encoding"] = coding
    return Response(body[coding].content, headers=headers, content_type=content_type)
