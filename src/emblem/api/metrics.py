"""GET /metrics: what Prometheus reads, for a key that may read."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emblem.observe.metrics import Scraped


def metrics_routes(scraped: Scraped) -> list[Route]:
    """Give the route that answers who scrapes with a key."""

    async def metrics(request: Request) -> Response:
        page = await scraped.page(request.headers.get("accept", ""))
        return Response(page.content, media_type=page.content_type)

    return [Route("/metrics", metrics)]
