"""GET /v1/models: what is served, as OpenAI lists it and with what Emblem knows besides."""

from collections.abc import Iterable

import msgspec

from emblem.api.passed import Elsewhere
from emblem.errors import UnknownModel
from emblem.names import Served


class AllowedDimensions(msgspec.Struct, frozen=True):
    """Every whole number from ``min`` to ``max``."""

    min: int
    max: int


class ModelItem(msgspec.Struct, frozen=True):
    """One name that may be sent as ``model``."""

    id: str
    created: int
    dimensions: int
    allowed_dimensions: AllowedDimensions
    max_model_len: int | None
    overflow: str
    space: str
    languages: tuple[str, ...]
    prompts: dict[str, str]
    alias_of: str | None
    task: str = "embedding"
    object: str = "model"
    owned_by: str = "emblem"


class ElsewhereItem(msgspec.Struct, frozen=True):
    """One name that may be sent as ``model`` for another ``task``: "chat" or "rerank"."""

    id: str
    created: int
    task: str
    object: str = "model"
    owned_by: str = "emblem"


class ModelList(msgspec.Struct, frozen=True):
    """Every name that may be sent as ``model``."""

    data: list[ModelItem]
    object: str = "list"


def item(served: Served) -> ModelItem:
    """Describe a name."""
    model, fixed = served.model, served.fixed
    width = fixed.dimensions or model.width
    least = 1 if model.shortening and not fixed.dimensions else width
    overflow = fixed.overflow or model.space.overflow
    prompts = {"query": model.prompts.query or "", "document": model.prompts.document or ""}
    return ModelItem(
        id=served.name,
        created=served.created,
        dimensions=width,
        allowed_dimensions=AllowedDimensions(least, width),
        max_model_len=model.max_length,
        overflow=overflow,
        space=served.space_written,
        languages=model.languages,
        prompts=prompts if model.prompts else {},
        alias_of=served.alias_of,
    )


def listing(served: list[Served], elsewhere: Iterable[Elsewhere] = ()) -> bytes:
    """Give the body of the list: what gives vectors comes first."""
    every = [*map(item, served), *map(elsewhere_item, elsewhere)]
    return msgspec.json.encode({"data": every, "object": "list"})


def elsewhere_item(one: Elsewhere) -> ElsewhereItem:
    """Describe a name of a model elsewhere that gives no vectors."""
    return ElsewhereItem(one.name, one.created, one.task.value)


def described(served: Served, asked: str) -> bytes:
    """Give the body of one model, under the name that was asked for."""
    return msgspec.json.encode(msgspec.structs.replace(item(served), id=asked))


def within(served: Served, name: str, resolved: Served) -> Served:
    """Give a model asked for under another model's path. Raises UnknownModel for any other."""
    if not served.same_as(resolved):
        raise UnknownModel(name, f"This address serves `{served.name}` only.")
    return resolved
