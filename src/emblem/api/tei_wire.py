"""The bodies of Text Embeddings Inference, as its clients write and read them. Pure.

Source: docs/openapi.json and router/src/http of huggingface/text-embeddings-inference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import orjson

from emblem import __version__
from emblem.api.chat_wire import Fields, fields_of, taken
from emblem.api.problems import Detail, Problem, invalid, kind_of
from emblem.api.wire import NUMBERS_AT_A_TIME
from emblem.core.output import Components
from emblem.errors import InvalidInput
from emblem.model import Model, PoolingMode
from emblem.models.tokens import Token
from emblem.offer import Offer
from emblem.service import Limits
from emblem.types import Kind, Vectors

EMPTY = "empty"  # the code of a request without any text
TOO_LONG = 413


class TeiError(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: str
    error_type: str


class TeiProblem(Problem):
    """A problem in the shape that TEI's clients read."""

    @property
    def body(self) -> bytes:
        """The answer's bytes."""
        return msgspec.json.encode(TeiError(self.detail.message, _type(self.status, self.detail)))


def as_tei(problem: Problem) -> Problem:
    """Give a problem in TEI's shape, with TEI's statuses for what is wrong with a request."""
    status = problem.status
    if status == 400 and problem.detail.code != EMPTY:
        status = 422
    return TeiProblem(status, problem.detail, problem.headers)


def _type(status: int, detail: Detail) -> str:
    if detail.code == EMPTY:
        return "Empty"
    if status == 429 or detail.code == "server_overloaded":
        return "Overloaded"
    if status == 503:
        return "Unhealthy"
    return "Backend" if status >= 500 else "Validation"


@dataclass(frozen=True, slots=True)
class TeiRequest:
    """What a request asks for. ``truncate`` is None where nothing is said."""

    inputs: tuple[str, ...] = field(repr=False)
    normalize: bool
    truncate: bool | None
    prompt_name: str | None
    dimensions: int | None
    special: bool


def read(body: bytes, limits: Limits) -> TeiRequest:
    """Read a request to embed or to tokenise. Raises Problem, naming the field that is wrong."""
    fields = fields_of(body)
    boolean = "true or false"
    side = taken(fields, "truncation_direction", str, "'right'")
    if side is not None and side.lower() != "right":
        raise invalid(
            "'$.truncation_direction' is invalid: it must be 'right'; texts are cut at their end.",
            "truncation_direction",
        )
    dimensions = taken(fields, "dimensions", int, "a whole number of at least 1")
    if dimensions is not None and dimensions < 1:
        raise invalid(
            "'$.dimensions' is invalid: it must be a whole number of at least 1, or null.",
            "dimensions",
        )
    normalize = taken(fields, "normalize", bool, boolean)
    special = taken(fields, "add_special_tokens", bool, boolean)
    return TeiRequest(
        inputs=_inputs(fields, limits),
        normalize=True if normalize is None else normalize,
        truncate=taken(fields, "truncate", bool, boolean),
        prompt_name=taken(fields, "prompt_name", str, "a string"),
        dimensions=dimensions,
        special=True if special is None else special,
    )


def _inputs(fields: Fields, limits: Limits) -> tuple[str, ...]:
    given = taken(fields, "inputs", Any, "a string or an array of strings")
    texts = [given] if isinstance(given, str) else given
    if given is None or given == []:
        raise _empty("`inputs` cannot be empty")
    if not isinstance(texts, list):
        raise invalid(
            "'$.inputs' is invalid: it must be a string or an array of strings, and is "
            f"{kind_of(given)}.",
            "inputs",
        )
    if len(texts) > limits.max_inputs:
        message = f"batch size {len(texts)} > maximum allowed batch size {limits.max_inputs}"
        raise Problem(TOO_LONG, Detail(message, param="inputs"))
    for index, one in enumerate(texts):
        if not isinstance(one, str):
            raise invalid(
                f"'$.inputs' is invalid: $.inputs[{index}] must be a string, and is {kind_of(one)}. "
                "Token ids are not read here.",
                "inputs",
            )
        if not one and not limits.empty_input:
            raise _empty(f"`inputs` cannot be empty: $.inputs[{index}] is an empty string")
    return tuple(texts)


def _empty(message: str) -> Problem:
    return Problem(400, Detail(message, param="inputs", code=EMPTY))


def too_long(error: InvalidInput) -> Problem:
    """Say which texts cannot be embedded, most likely because the model reads no more."""
    shown = error.problems[: error.MAX_SHOWN]
    each = "; ".join(f"$.inputs[{index}] {why.partition(':')[0]}" for index, why in shown)
    rest = len(error.problems) - len(shown)
    more = f"; and {rest} more" if rest > 0 else ""
    message = f"'$.inputs' is invalid: {each}{more}. With \"truncate\": true a text is cut."
    return Problem(TOO_LONG, Detail(message, param="inputs"))


def kind_of_prompt(name: str | None, model: Offer) -> Kind | None:
    """Give what texts are for, by the name of a prompt. Raises Problem for one there is not."""
    if name is None:
        return None
    names = [one.value for one in Kind] if model.kinds else []
    if name in names:
        return Kind(name)
    there = f"those are {' and '.join(names)}" if names else "it has none: leave prompt_name out"
    raise invalid(
        f"'$.prompt_name' is invalid: {name[:100]!r} is no prompt of `{model.name}`; {there}.",
        "prompt_name",
    )


def normalised(vectors: Components) -> Vectors:
    """Give vectors of norm 1. ``vectors`` is (n, d) float32, and none of them is zero."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Vectors = (wide / norms).astype(np.float32)
    return unit


def encode(vectors: Components) -> Iterator[bytes]:
    """Write vectors as an array of arrays, part by part."""
    step = max(1, NUMBERS_AT_A_TIME // vectors.shape[1])
    yield b"["
    for start in range(0, len(vectors), step):
        part = np.ascontiguousarray(vectors[start : start + step])
        rows = orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        yield b"," + rows if start else rows
    yield b"]"


def encode_tokens(texts: Sequence[Sequence[Token]]) -> bytes:
    """Write the tokens of each text."""
    return orjson.dumps(texts)


class EmbeddingModel(msgspec.Struct, frozen=True):
    """How a model makes one vector of many."""

    pooling: str


class ModelType(msgspec.Struct, frozen=True):
    """What a model is for."""

    embedding: EmbeddingModel


class TeiInfo(msgspec.Struct, frozen=True):
    """A model and the bounds of requests, as TEI tells them."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: ModelType
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    version: str
    max_batch_requests: int | None = None
    auto_truncate: bool = False
    tokenization_workers: int = 1
    sha: str | None = None
    docker_label: str | None = None


def info(name: str, model: Offer, limits: Limits, max_requests: int) -> bytes:
    """Describe a model that is served under a name."""
    pooling, quantised = "unknown", False
    if isinstance(model, Model):
        pooling = "+".join(_POOLINGS.get(one, one.value) for one in model.pooling.modes)
        quantised = model.quantised is not None
    longest = limits.max_input_tokens
    return msgspec.json.encode(
        TeiInfo(
            model_id=model.name,
            model_sha=model.space.weights or None,
            model_dtype="int8" if quantised else "float32",
            served_model_name=name,
            model_type=ModelType(EmbeddingModel(pooling)),
            max_concurrent_requests=max_requests,
            max_input_length=min(longest, model.max_length or longest),
            max_batch_tokens=limits.max_request_tokens,
            max_client_batch_size=limits.max_inputs,
            version=__version__,
        )
    )


_POOLINGS = {PoolingMode.LAST_TOKEN: "last_token"}
