"""The embeddings route's bodies, both ways. The names here are OpenAI's, and ours where we add.

Source: ``CreateEmbeddingRequest`` and ``CreateEmbeddingResponse`` in openai/openai-openapi.
"""

import binascii
import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec
import numpy as np
import orjson
import pybase64

from emblem.api.problems import HALF_PAIR, PYTHON_KINDS, Problem, invalid, unparsed
from emblem.core.output import Components
from emblem.errors import InvalidInput
from emblem.names import Options
from emblem.service import Answer
from emblem.types import Kind, Lane, OutputType, Overflow


class EncodingFormat(StrEnum):
    """How the numbers of a vector are written."""

    FLOAT = "float"
    BASE64 = "base64"


NO_OPTIONS = Options()
_NONE = (None,) * 5


class _Fields(msgspec.Struct):
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
        asked = self.dimensions, self.input_type, self.output_dtype, self.overflow, self.priority
        return NO_OPTIONS if asked == _NONE else Options(*asked)


class EmbeddingsBody(_Fields):
    """A request. Fields that neither OpenAI nor Emblem has are ignored; null means left out."""

    input: msgspec.Raw = msgspec.Raw()


class TextsBody(_Fields, kw_only=True):
    """A request whose inputs are texts, as nearly all are: they are read with the rest of it."""

    input: str | list[str]


# A body that cannot be read is searched for the reason up to this size: it takes the event loop.
MAX_SEARCHED_BYTES = 1 << 20

_HALF = re.compile("[\ud800-\udfff]")
_decoder = msgspec.json.Decoder(EmbeddingsBody)
_texts = msgspec.json.Decoder(TextsBody)
_PATH = re.compile(r" - at `\$\.([a-z_]+)[^`]*`$")
_GOT = re.compile(r", got `(\w+)`$")
_BAD_CHOICE = re.compile(r"Invalid enum value '(.*)'$", re.DOTALL)

# What a field takes, for messages.
_TAKES = {"model": "a string", "user": "a string", "dimensions": "a whole number of at least 1"} | {
    field: f"one of {', '.join(map(repr, map(str, choices)))}"
    for field, choices in {
        "encoding_format": EncodingFormat,
        "input_type": Kind,
        "overflow": Overflow,
        "output_dtype": OutputType,
        "priority": Lane,
    }.items()
}


def decode(body: bytes) -> TextsBody | EmbeddingsBody:
    """Read a request's body, but for inputs that are not just texts.

    Raises Problem, naming the field that is wrong, or InvalidInput.
    """
    try:
        return _texts.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # what is wrong with it, if anything is, shows when it is looked at part by part
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _half_pairs(body) or unparsed(error, body) from None


def _half_pairs(body: bytes) -> InvalidInput | None:
    """Name the inputs that have half of a surrogate pair: msgspec does not tell where one is."""
    if len(body) > MAX_SEARCHED_BYTES:
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    value = found.get("input") if isinstance(found, dict) else None
    items = value if isinstance(value, list) else [value]
    wrong = [
        (index, HALF_PAIR)
        for index, item in enumerate(items)
        if isinstance(item, str) and _HALF.search(item)
    ]
    return InvalidInput(wrong) if wrong else None


def _wrong_field(message: str) -> Problem:
    """Say in plain words what msgspec says in Python's."""
    if not (found := _PATH.search(message)):
        return invalid(
            f"The JSON body of your request is invalid: it must be an object and {_is(message)}."
        )
    field = found[1]
    said = _is(message[: found.start()])
    return invalid(
        f"'$.{field}' is invalid: it must be {_TAKES[field]}, or null, and {said}.", field
    )


def _is(message: str) -> str:
    if got := _GOT.search(message):
        return f"is {PYTHON_KINDS.get(got[1], 'something else')}"
    if choice := _BAD_CHOICE.search(message):
        return f"is {choice[1][:100]!r}"
    return "is less" if message.endswith(">= 1") else "is out of range"


# Numbers that are written at a time: in JSON some half a millisecond, for which others wait.
NUMBERS_AT_A_TIME = 16_384
CODED_AT_A_TIME = 131_072  # in base64: a tenth of that

SHORT_BYTES = 4096


def encode(answer: Answer, encoding: EncodingFormat) -> Iterator[bytes]:
    """Write the answer's body, part by part. Both encodings give the same numbers, bit for bit.

    base64 holds the components little-endian, four bytes each for float and one for the rest.
    """
    for vectors in parts(answer, encoding):
        yield encode_part(answer, encoding, vectors)


def parts(answer: Answer, encoding: EncodingFormat) -> Iterator[slice]:
    """Say which vectors are written at a time."""
    numbers = CODED_AT_A_TIME if encoding is EncodingFormat.BASE64 else NUMBERS_AT_A_TIME
    step = max(1, numbers // answer.vectors.shape[1])
    for start in range(0, len(answer.vectors), step):
        yield slice(start, start + step)


def encode_part(answer: Answer, encoding: EncodingFormat, which: slice) -> bytes:
    """Write the part of the answer's body with some vectors, and what stands before and after all."""
    write = _in_base64 if encoding is EncodingFormat.BASE64 else _in_digits
    pieces = write(answer.vectors[which], which.start)
    before = b"," if which.start else b'{"object":"list","data":['
    after = b"" if which.stop < len(answer.vectors) else _end(answer)
    return b"".join([before, *pieces, after])  # the one copy of what is written


def _end(answer: Answer) -> bytes:
    usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens}
    return b"]," + orjson.dumps({"model": answer.model, "usage": usage})[1:]


Pieces = list[bytes | memoryview]


def _in_digits(vectors: Components, start: int) -> Pieces:
    """Write the items of ``data``, the first of which has the index ``start``."""
    items = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors, start)
    ]
    return [memoryview(orjson.dumps(items, option=orjson.OPT_SERIALIZE_NUMPY))[1:-1]]


def _in_base64(vectors: Components, start: int) -> Pieces:
    """Write the items of ``data``, whose strings need no look for what is to be escaped.

    Of one call for all: the width of a vector in bytes is made to divide by 3.
    """
    little = np.ascontiguousarray(vectors, dtype=vectors.dtype.newbyteorder("<"))
    if len(little) == 1:
        return [_before(start), _coded_one(little.tobytes()), b'"}']
    rows = little.view(np.uint8)  # (n, bytes)
    more = -rows.shape[1] % 3
    if more:
        rows = np.pad(rows, ((0, 0), (0, more)))
    coded = memoryview(pybase64.b64encode(rows.data))
    size = len(coded) // len(rows)
    # What three bytes of which some are missing have in their last characters is said by "=".
    kept, after = size - more, b"=" * more + _AFTER
    pieces: Pieces = [after] * (3 * len(rows))
    pieces[0::3] = _befores(start, start + len(rows))
    pieces[1::3] = [coded[at : at + kept] for at in range(0, len(coded), size)]
    pieces[-1] = after[:-1]
    return pieces


def _coded_one(components: bytes) -> bytes:
    """Give one vector in base64.

    A processor that meets instructions of 512 bits for the first time in a while stands still for
    some 20 µs, and then runs slower: between other work they are slower for what is short.
    """
    if len(components) <= SHORT_BYTES:
        return binascii.b2a_base64(components, newline=False)
    return pybase64.b64encode(components)


_AFTER = b'"},'
_KNOWN_BEFORES = 4096
_BEFORES: list[bytes] = []  # what is written before a vector, by its index: a fifth of all the time


def _befores(start: int, stop: int) -> list[bytes]:
    if stop > _KNOWN_BEFORES:
        return [*map(_before, range(start, stop))]
    _BEFORES.extend(map(_before, range(len(_BEFORES), stop)))
    return _BEFORES[start:stop]


def _before(index: int) -> bytes:
    return b'{"object":"embedding","index":%d,"embedding":"' % index


MAX_INDICES_IN_HEADER = 100


def overflow_header(answer: Answer) -> str:
    """Say which inputs were too long for the model, and what was done: ``mean; inputs=0,3``."""
    shown = ",".join(map(str, answer.overflowed[:MAX_INDICES_IN_HEADER]))
    more = "" if len(answer.overflowed) <= MAX_INDICES_IN_HEADER else ",…"
    return f"{answer.overflow}; count={len(answer.overflowed)}; inputs={shown}{more}".replace(
        "…", "..."
    )
