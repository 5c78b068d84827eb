"""Calls from browsers' pages, where the configuration names the origins that may make them."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from emblem.api.problems import invalid

EXPOSED = (
    "x-request-id",
    "x-embedding-space",
    "x-served-by",
    "x-embedding-overflow",
    "x-embedding-cache",
    "openai-processing-ms",
    "retry-after",
)


class Cors(CORSMiddleware):
    """Starlette's middleware, which answers preflights, with a refusal in OpenAI's shape."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight."""
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        problem = invalid(f"{bytes(response.body).decode()}. See the setting cors_origins.")
        return Response(
            problem.body, problem.status, {"vary": "Origin"}, media_type="application/json"
        )
