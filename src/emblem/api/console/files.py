"""The console's files, and the headers that every answer of the console has."""

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from emblem.api.problems import Problem, problem_of, unknown_url
from emblem.errors import NotAuthenticated, Overloaded, SourceRefused

Handler = Callable[[Request], Awaitable[Response]]

STATIC = Path(__file__).parents[2] / "console" / "static"

# Nothing inline, nothing from elsewhere, no frame around it. Plotly writes its heat maps as data, and
# two style attributes, which alone are let through: an empty one, and how a heat map's pixels look.
STYLES = (
    "'unsafe-hashes'",
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    "'sha256-AR/cKIZjWPcPmBUPDA6oti9XBiTbJvz0Cro2J1VzzS8='",
)
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' {' '.join(STYLES)}",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
ASK_AGAIN = "no-cache"  # whether it has changed
FOR_GOOD = "public, max-age=31536000, immutable"

PLOTLY = "plotly.min.js"
SERVED = (".html", ".js", ".css", ".svg")
_FILES = StaticFiles(directory=STATIC)


def secured(response: Response, cache: str = "no-store") -> Response:
    """Give an answer its headers."""
    response.headers.update({**HEADERS, "cache-control": cache})
    return response


def routed(path: str, handler: Handler, method: str = "GET") -> Route:
    """Give the route of an address, whose refusals have the console's headers, too.

    What is nobody's mistake goes on as it is: the edge answers and logs it.
    """

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except HTTPException:
            raise _with_headers(unknown_url(request.method, request.url.path)) from None
        except Problem as problem:
            raise _with_headers(problem) from None
        except (NotAuthenticated, SourceRefused, Overloaded) as error:
            raise _with_headers(problem_of(error, "")) from None

    return Route(path, endpoint, methods=[method])


def _with_headers(problem: Problem) -> Problem:
    own = {**HEADERS, "cache-control": "no-store"}
    raw = ((name.encode(), value.encode()) for name, value in own.items())
    return Problem(problem.status, problem.detail, (*problem.headers, *raw))


async def page(request: Request) -> Response:
    """Give the one page that there is."""
    # Its links are relative, so that they work behind a proxy's prefix: none from /console/.
    raw: bytes = request.scope.get("raw_path") or b""
    if raw.partition(b"?")[0].endswith(b"/"):
        return secured(RedirectResponse("../console", 307))
    return secured(_file(STATIC / "index.html", request), ASK_AGAIN)


async def asset(request: Request) -> Response:
    """Give one of the files. The edge lets nothing through but names of one that could be."""
    name: str = request.path_params["file"]
    if name == PLOTLY:
        same = request.query_params.get("v") == plotly_version()
        return secured(_file(_plotly() / PLOTLY, request), FOR_GOOD if same else ASK_AGAIN)
    return secured(_file(STATIC / name, request), ASK_AGAIN)


@cache
def plotly_version() -> str:
    """Give the version of the wheel that plotly's script comes from."""
    return version("plotly")


@cache
def _plotly() -> Path:
    """Give the folder of plotly's script. The package is not imported: it would take a while."""
    spec = find_spec("plotly")
    if spec is None or not spec.submodule_search_locations:
        raise HTTPException(404)
    return Path(spec.submodule_search_locations[0]) / "package_data"


def _file(place: Path, request: Request) -> Response:
    """Give a file, or say that it is still the same."""
    if place.suffix not in SERVED or not place.is_file():
        raise HTTPException(404)
    return _FILES.file_response(place, place.stat(), request.scope)
