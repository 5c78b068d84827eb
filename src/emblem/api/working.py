"""The routes beside embeddings that do work: chat, rankings, and those of TEI."""

from starlette.routing import Route

from emblem.api.body import BodyReader
from emblem.api.chat import CHAT, Chat
from emblem.api.passed import Directory, Door
from emblem.api.rerank import RERANK, Rerank
from emblem.api.tei import ABSENT, EMBED, INFO, TOKENIZE, InItsShape, Tei
from emblem.charging import Charging
from emblem.models.tokens import Tokens
from emblem.service import Service

# Those whose requests are recorded: they use tokens.
RECORDED = (*CHAT, *RERANK, *EMBED)


def passing_routes(directory: Directory, charging: Charging, bodies: BodyReader) -> list[Route]:
    """Give the routes of what is passed on."""
    door = Door(directory, bodies, charging)
    chat, rerank = Chat(door), Rerank(door)
    return [
        *(Route(path, chat, methods=["POST"]) for path in CHAT),
        *(Route(path, rerank, methods=["POST"]) for path in RERANK),
    ]


def tei_routes(
    service: Service,
    charging: Charging,
    tokens: Tokens,
    bodies: BodyReader,
    *,
    default: str,
    max_requests: int,
) -> list[Route]:
    """Give the routes of TEI. ``default`` is the name of the model where none is named."""
    tei = Tei(service, bodies, charging, tokens, default, max_requests)
    return [
        *(Route(path, InItsShape(tei.embed), methods=["POST"]) for path in EMBED),
        *(Route(path, InItsShape(tei.tokenize), methods=["POST"]) for path in TOKENIZE),
        *(Route(path, InItsShape(tei.info), methods=["GET"]) for path in INFO),
        *(Route(path, InItsShape(tei.absent), methods=["POST"]) for path in ABSENT),
    ]
