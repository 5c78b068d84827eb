"""The embeddings route's bodies, both ways. The names here are OpenAI's, and ours where we add.

Source: ``CreateEmbeddingRequest`` and ``CreateEmbeddingResponse`` in openai/openai-openapi.
"""

import re
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson
import pybase64

from emblem.api.problems import Problem, invalid
from emblem.errors import InvalidInput
from emblem.names import Options
from emblem.service import Answer
from emblem.types import Kind, Lane, OutputType, Overflow


class EncodingFormat(StrEnum):
    """How the numbers of a vector are written."""

    FLOAT = "float"
    BASE64 = "base64"


class EmbeddingsBody(msgspec.Struct):
    """A request. Fields that neither OpenAI nor Emblem has are ignored; null means left out."""

    input: Any = None
    model: str | None = None
    encoding_format: EncodingFormat | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    user: str | None = None
    input_type: Kind | None = None
    overflow: Overflow | None = None
    output_dtype: OutputType | None = None
    priority: Lane | None = None

    @property
    def options(self) -> Options:
        """What the request asks for beside its texts."""
        return Options(
            self.dimensions, self.input_type, self.output_dtype, self.overflow, self.priority
        )


_decoder = msgspec.json.Decoder(EmbeddingsBody)
_UNPARSED = "We could not parse the JSON body of your request"
_PATH = re.compile(r" - at `\$\.([a-z_]+)[^`]*`$")
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def decode(body: bytes) -> EmbeddingsBody:
    """Read a request's body. Raises Problem, naming the field that is wrong."""
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid(f"{_UNPARSED}: {_why(error, body)}.") from None


def _wrong_field(message: str) -> Problem:
    if not (found := _PATH.search(message)):
        return invalid(f"The JSON body of your request is invalid: {message}.")
    field = found[1]
    allowed = {
        "encoding_format": EncodingFormat,
        "input_type": Kind,
        "overflow": Overflow,
        "output_dtype": OutputType,
        "priority": Lane,
    }.get(field)
    choices = f" Allowed: {', '.join(allowed)}." if allowed else ""
    return invalid(f"'$.{field}' is invalid: {message[: found.start()]}.{choices}", field)


def _why(error: Exception, body: bytes) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if not body:
        return "it is empty"
    if _LONE_SURROGATE.search(body) and "truncated" in str(error):
        return "it has a \\u escape that is half of a surrogate pair"
    return str(error)


def read_inputs(
    value: object, *, empty: bool = False
) -> tuple[str, ...] | tuple[tuple[int, ...], ...]:
    """Tell OpenAI's four forms of ``input`` apart: a text, texts, token ids, arrays of token ids.

    ``empty`` lets empty texts pass. Raises Problem or InvalidInput, naming every item that is
    wrong.
    """
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise invalid(
            f"'$.input' is invalid: it must be a string, an array of strings, an array of token "
            f"ids or an array of such arrays, and is {_kind(value)}.",
            "input",
        )
    if not value:
        raise invalid("'$.input' is invalid: it is an empty array.", "input")
    wanted = type(value[0])
    if wanted is int:
        value = [value]
        wanted = list
    elif wanted not in (str, list):
        wanted = str
    problems = [
        (index, why)
        for index, item in enumerate(value)
        if (why := _item_problem(item, wanted, empty))
    ]
    if problems:
        raise InvalidInput(problems)
    return tuple(value) if wanted is str else tuple(map(tuple, value))


def _item_problem(item: object, wanted: type, empty: bool) -> str | None:
    if type(item) is not wanted:
        name = "a string" if wanted is str else "an array of token ids"
        return f"must be {name} and is {_kind(item)}"
    if not item and wanted is str and not empty:
        return "is an empty string"
    if isinstance(item, list):
        if not item:
            return "is an empty array"
        for token in item:
            if type(token) is not int:
                return f"must hold token ids and holds {_kind(token)}"
    return None


def _kind(value: object) -> str:
    """Name a JSON value's type."""
    match value:
        case None:
            return "missing or null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int() | float():
            return "a number"
        case list():
            return "an array"
        case _:
            return "an object"


def encode(answer: Answer, encoding: EncodingFormat) -> bytes:
    """Write the answer's body. Both encodings give the same numbers, bit for bit.

    base64 holds the components little-endian, four bytes each for float and one for the rest.
    """
    vectors = answer.vectors
    if encoding is EncodingFormat.BASE64:
        rows = np.ascontiguousarray(vectors, dtype=vectors.dtype.newbyteorder("<"))
        embeddings: list[Any] = [pybase64.b64encode_as_string(memoryview(row)) for row in rows]
    else:
        embeddings = list(vectors)
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": embedding}
                for index, embedding in enumerate(embeddings)
            ],
            "model": answer.model,
            "usage": {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens},
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


MAX_INDICES_IN_HEADER = 100


def overflow_header(answer: Answer) -> str:
    """Say which inputs were too long for the model, and what was done: ``mean; inputs=0,3``."""
    shown = ",".join(map(str, answer.overflowed[:MAX_INDICES_IN_HEADER]))
    more = "" if len(answer.overflowed) <= MAX_INDICES_IN_HEADER else ",…"
    return f"{answer.overflow}; count={len(answer.overflowed)}; inputs={shown}{more}".replace(
        "…", "..."
    )
