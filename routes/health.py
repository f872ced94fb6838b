"""Health checks, for load balancers and monitors."""

from quart import Blueprint, Response

from web.request_context import services

bp = Blueprint("health", __name__)


@bp.get("/healthz")
async def healthz() -> Response:
    """Answer 200 while the process is up."""
    return _text(200, "ok")


@bp.get("/readyz")
async def readyz() -> Response:
    """Answer 200 if this process can do its work, else 503.

    The text says what is wrong.
    """
    problems = await services().readiness.find_problems()
    return _text(503 if problems else 200, *problems or ["ok"])


def _text(status: int, *lines: str) -> Response:
    text = "".join(f"{line}\n" for line in lines)
    return Response(
        text, status, content_type="text/plain; charset=utf-8", headers={"Cache-Control": "no-store"}
    )
