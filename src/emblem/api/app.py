"""The application: its routes, and what stands around them. Everything arrives as an argument."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from emblem.accounts import Caller
from emblem.allowed import find, listed
from emblem.api.auth import Authenticator, Keys, Sessions
from emblem.api.body import BodyReader
from emblem.api.cors import Cors
from emblem.api.docs import PAGE, SWAGGER_UI
from emblem.api.edge import Edge
from emblem.api.embeddings import Embeddings
from emblem.api.models import described, elsewhere_item, listing, within
from emblem.api.openapi import document
from emblem.api.passed import Directory
from emblem.api.problems import not_ready
from emblem.api.running import running
from emblem.api.usage import OwnUsage
from emblem.names import Served
from emblem.ports import Observer
from emblem.service import Service
from emblem.types import Health

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]

NOWHERE = Directory()  # nothing is passed on


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the edge lets in. All request bodies together hold 8 × ``max_body_bytes`` at most."""

    max_requests: int = 1024
    max_body_bytes: int = 16 << 20
    body_timeout_s: float = 60.0
    cors_origins: tuple[str, ...] = ()


class Ready(msgspec.Struct, frozen=True):
    """The server answers. ``degraded`` are deployments that do not, though others of theirs do."""

    status: str = "ready"
    degraded: list[str] | msgspec.UnsetType = msgspec.UNSET


def create_app(
    service: Service,
    keys: Keys | None,
    bounds: Bounds | None = None,
    lifespan: Lifespan | None = None,
    more: Sequence[Route] = (),
    observers: Sequence[Observer] = (),
    sessions: Sessions | None = None,
    directory: Directory = NOWHERE,
    working: Callable[[BodyReader], Sequence[Route]] = lambda _: (),
) -> ASGIApp:
    """Build the ASGI application. With ``keys`` None nobody is asked for one.

    ``more`` are routes of other parts, such as the administration's; ``observers`` hear of each
    request once it was answered; ``sessions`` open what the keys of their people open. What is in
    ``directory`` is listed beside what the service serves; ``working`` gives routes that read
    bodies, within the bounds of all.
    """
    bounds = bounds or Bounds()
    bodies = BodyReader(bounds.max_body_bytes, bounds.body_timeout_s, 8 * bounds.max_body_bytes)
    # A bare router: whatever a route raises reaches the edge, the one place that answers errors.
    own = [*_operations(service), *more, *working(bodies), *_models(service, directory)]
    routes = Router(own, False, lifespan=lifespan)
    app: ASGIApp = Edge(
        routes,
        Embeddings(service, bodies),
        Authenticator(keys, sessions),
        bounds.max_requests,
        observers,
    )
    if bounds.cors_origins:
        app = Cors(app, bounds.cors_origins)
    return app


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _operations(service: Service) -> list[Route | Mount]:
    """Routes that need no key."""

    async def health(_: Request) -> Response:
        return _json(b'{"status":"ok"}')

    async def ready(_: Request) -> Response:
        if problems := service.problems():
            raise not_ready(problems)
        degraded = [
            f"{model}: {one.name} is {one.health}"
            for model, deployments in service.deployments().items()
            for one in deployments
            if one.health is not Health.SERVING
        ]
        return _json(msgspec.json.encode(Ready(degraded=degraded or msgspec.UNSET)))

    async def openapi(_: Request) -> Response:
        return _json(document())

    async def docs(_: Request) -> Response:
        return Response(PAGE, media_type="text/html")

    return [
        Route("/health", health),
        Route("/ready", ready),
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        Mount("/docs/assets", StaticFiles(directory=SWAGGER_UI)),
    ]


def usage_routes(own: OwnUsage) -> list[Route]:
    """Give the route where a key finds its own use."""

    async def usage(request: Request) -> Response:
        return _json(await own.answer(_caller(request).account))

    return [Route("/v1/usage", usage)]


def _caller(request: Request) -> Caller:
    """Give whoever asks, as the edge has found out."""
    caller: Caller = request.scope["state"]["caller"]
    return caller


def _models(service: Service, directory: Directory = NOWHERE) -> list[Route | Mount]:
    """Routes that say what is served and what runs, in all and under one model's path."""
    names = service.names

    def found(request: Request, parameter: str) -> Served:
        return find(names, request.path_params[parameter], _caller(request))

    async def models(request: Request) -> Response:
        caller = _caller(request)
        return _json(listing(list(listed(names, caller)), directory.listed(caller)))

    async def model(request: Request) -> Response:
        if (one := directory.named(request.path_params["id"], _caller(request))) is not None:
            return _json(msgspec.json.encode(elsewhere_item(one)))
        return _json(described(found(request, "id"), request.path_params["id"]))

    async def own_models(request: Request) -> Response:
        return _json(listing([found(request, "model")]))

    async def own_model(request: Request) -> Response:
        asked = request.path_params["id"]
        served = within(found(request, "model"), asked, found(request, "id"))
        return _json(described(served, asked))

    async def ps(_: Request) -> Response:
        return _json(running(service.running()))

    return [
        Route("/ps", ps),
        Route("/v1/models", models),
        Route("/v1/models/{id:path}", model),
        Route("/{model:path}/v1/models", own_models),
        Route("/{model:path}/v1/models/{id:path}", own_model),
    ]
