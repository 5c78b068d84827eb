"""Cohere's dialect, version 2 (docs.cohere.com/reference/embed). Pure.

An answer has no indices: its vectors are in the order of the texts, by its documentation.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from emblem.upstreams import answers
from emblem.upstreams.answers import Embeddings, Malformed
from emblem.upstreams.dialects import Dialect, Wanted, shared
from emblem.upstreams.presets import Preset
from emblem.upstreams.vectors import Written, matrix


class Units(msgspec.Struct):
    """What was charged for."""

    input_tokens: int | float | None = None


class Meta(msgspec.Struct):
    """What stands beside the vectors."""

    billed_units: Units | None = None


class ByType(msgspec.Struct):
    """The vectors, in each form that was asked for."""

    numbers: list[list[float | None]] | None = msgspec.field(default=None, name="float")
    base64: list[str] | None = None


class Reply(msgspec.Struct):
    """A success. What else is in it is not looked at."""

    embeddings: ByType
    meta: Meta | None = None


_reply = msgspec.json.Decoder(Reply)


def encode(preset: Preset, wanted: Wanted) -> dict[str, Any]:
    """Write a request."""
    fields = {**shared(preset, wanted), "texts": wanted.inputs}
    fields[preset.encoding_field] = [wanted.encoding]
    return fields


def decode(body: bytes, texts: int, width: int | None) -> Embeddings:
    """Read a success; see ``dialects.Dialect``."""
    try:
        reply = answers.decoded(_reply, Reply, body)
    except answers.UNREADABLE as error:
        raise Malformed(f"no embeddings in Cohere's form ({error})") from None
    given: Sequence[Written] = reply.embeddings.base64 or reply.embeddings.numbers or []
    if len(given) != texts:
        raise Malformed(f"{len(given)} vectors for {texts} texts")
    units = reply.meta.billed_units if reply.meta else None
    cost = answers.cost(units.input_tokens if units else None)
    return Embeddings(matrix(given, width), cost, None)


COHERE = Dialect(encode, decode)
