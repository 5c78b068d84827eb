"""The ways in which embeddings are asked for and answered, and what is wrong in their form. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pybase64

from emblem.types import Vectors
from emblem.upstreams.misbehaving import talk
from emblem.upstreams.misbehaving.faults import Fault
from emblem.upstreams.misbehaving.spoiling import Item
from emblem.upstreams.misbehaving.truth import PROMPTS, tokens


class Dialect(StrEnum):
    """Whose requests are understood."""

    OPENAI = "openai"
    TEI = "tei"
    COHERE = "cohere"


class Refused(Exception):
    """A request that a well-behaved server refuses, too: 400 with these words."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for. ``texts`` have their prompt before them already."""

    dialect: Dialect
    texts: tuple[str, ...]
    model: str
    dimensions: int | None = None
    base64: bool = False
    refuses_long: bool = True


def dialect_of(path: str) -> Dialect | None:
    """Say what is spoken at a path; None where it is none that embeds, or answers a chat."""
    if path.endswith(("/embeddings", talk.PATH)):
        return Dialect.OPENAI
    if path.endswith("/v2/embed"):
        return Dialect.COHERE
    return Dialect.TEI if path.endswith("/embed") else None


def asked(dialect: Dialect, body: bytes) -> Asked:
    """Read a request. Raises Refused."""
    try:
        given = json.loads(body)
    except ValueError:
        raise Refused("the body is not JSON") from None
    if not isinstance(given, dict):
        raise Refused("the body is no JSON object")
    names = {Dialect.OPENAI: "input", Dialect.TEI: "inputs", Dialect.COHERE: "texts"}
    texts = _texts(given.get(names[dialect]), names[dialect])
    prompt = PROMPTS.get(str(given.get("input_type")), "")
    texts = tuple(prompt + text for text in texts)
    model = str(given.get("model") or "")
    if dialect is Dialect.TEI:
        return Asked(dialect, texts, model, refuses_long=given.get("truncate") is not True)
    if dialect is Dialect.COHERE:
        types = given.get("embedding_types") or ["float"]
        return Asked(
            dialect,
            texts,
            model,
            _dimensions(given.get("output_dimension"), "output_dimension"),
            base64="base64" in types,
            refuses_long=given.get("truncate") == "NONE",
        )
    return Asked(
        dialect,
        texts,
        model,
        _dimensions(given.get("dimensions", given.get("output_dimension")), "dimensions"),
        base64=given.get("encoding_format") == "base64",
    )


def _texts(given: object, name: str) -> tuple[str, ...]:
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given or not all(isinstance(one, str) for one in given):
        raise Refused(f"{name} must be a text or a list of texts")
    return tuple(given)


def _dimensions(given: object, name: str) -> int | None:
    if given is None:
        return None
    if not isinstance(given, int) or given < 1:
        raise Refused(f"{name} must be a whole number from 1")
    return given


def body(asked: Asked, items: Sequence[Item], model: str, fault: Fault) -> bytes:
    """Write a success with what is wrong in its form."""
    spent = sum(map(tokens, asked.texts))
    if fault is Fault.REORDER and asked.dialect is not Dialect.OPENAI:
        items = sorted(items, key=lambda one: one.index)  # a place is all the index there is
    if asked.dialect is Dialect.OPENAI:
        value: object = _openai(asked, items, model, fault, spent)
    elif asked.dialect is Dialect.TEI:
        value = [_written(one.numbers, asked, fault) for one in items]
    else:
        value = _cohere(asked, items, fault, spent)
    if fault is Fault.ERROR_IN_200:
        value = {"error": {"message": "The engine is overloaded.", "type": "server_error"}}
    written = json.dumps(value).encode()
    match fault:
        case Fault.HTML_IN_200:
            return b"<!doctype html><title>Sign in</title><p>Please accept our terms.</p>"
        case Fault.BAD_JSON:
            return written[: len(written) * 2 // 3]
        case Fault.BAD_UTF8:
            return b'{"note":"\xff\xfe",' + written.removeprefix(b"{")
    return written


def _openai(
    asked: Asked, items: Sequence[Item], model: str, fault: Fault, spent: int
) -> Mapping[str, Any]:
    data = []
    for one in items:
        made = {"object": "embedding", "index": one.index}
        if fault is Fault.NO_INDEX:
            del made["index"]
        data.append({**made, "embedding": _written(one.numbers, asked, fault)})
    name = "another-model" if fault is Fault.RENAMED else model
    answer: dict[str, Any] = {"object": "list", "data": data, "model": name}
    spent = -5 if fault is Fault.WRONG_USAGE else spent
    if fault is not Fault.NO_USAGE:
        answer["usage"] = {"prompt_tokens": spent, "total_tokens": spent}
    return answer


def _cohere(asked: Asked, items: Sequence[Item], fault: Fault, spent: int) -> Mapping[str, Any]:
    form = "base64" if asked.base64 and fault is not Fault.FLOATS else "float"
    answer: dict[str, Any] = {
        "id": "0b6c8a9e-6f5c-4a69-9a5b-1f3f2b7f1c11",
        "embeddings": {form: [_written(one.numbers, asked, fault) for one in items]},
        "texts": list(asked.texts),
    }
    spent = -5 if fault is Fault.WRONG_USAGE else spent
    if fault is not Fault.NO_USAGE:
        answer["meta"] = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": spent}}
    return answer


def _written(numbers: Vectors, asked: Asked, fault: Fault) -> Any:
    if asked.base64 and fault not in (Fault.FLOATS, Fault.STRINGS, Fault.NULL):
        number_type = np.int8 if fault is Fault.QUARTER else np.dtype("<f4")
        scaled = np.rint(numbers * 127) if fault is Fault.QUARTER else numbers
        written = pybase64.b64encode(scaled.astype(number_type).tobytes()).decode()
        return f"{written[:5]}!{written[6:]}" if fault is Fault.BAD_BASE64 else written
    plain = [float(one) for one in numbers]
    match fault:
        case Fault.STRINGS:
            return [str(one) for one in plain]
        case Fault.NULL:
            return [None, *plain[1:]]
        case Fault.QUARTER:  # nothing was packed, so there is nothing to unpack wrongly
            return plain[: max(1, len(plain) // 4)]
        case Fault.BAD_BASE64:
            return "!" * 8
    return plain
