"""What an OpenAI-compatible server answers, as values. Pure: bytes and headers in, or an error.

Nothing is mended but the order of the vectors: whatever else is not as asked is refused.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec
import numpy as np

from emblem.core.pieces import plain
from emblem.types import Overflow, Tokens, Vectors, value
from emblem.upstreams.vectors import Malformed as Malformed  # for those who read answers, too
from emblem.upstreams.vectors import Written, matrix

SPACE_HEADER = "x-embedding-space"
OVERFLOW_HEADER = "x-embedding-overflow"
MAX_SAID = 300  # characters of a server's own words in an error
MAX_TOKENS = 2**31 - 1  # more of them in one request are no count of anything
MAX_DIGITS = 9  # of a width or an index; many more are no number for Python

# What reading JSON that is not of the right form may raise.
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Named:
    """A space as another Emblem names it: its name with digest, its width, its rule."""

    name: str
    width: int
    overflow: Overflow

    def __str__(self) -> str:
        """Give it as the server wrote it."""
        cut = "+truncate" if self.overflow is Overflow.TRUNCATE else ""
        return f"{self.name}/{self.width}{cut}"


class Item(msgspec.Struct):
    """One vector: numbers, or their bytes as base64. Many servers write null for what is no number."""

    index: int
    embedding: str | list[float | None]


class Usage(msgspec.Struct):
    """What the request cost. Some servers leave it out, or give the sum alone."""

    prompt_tokens: int | float | None = None
    total_tokens: int | float | None = None


class Reply(msgspec.Struct):
    """A success. What else is in it is not looked at."""

    data: list[Item]
    usage: Usage | None = None
    model: str | None = None


@value(eq=False)
class Embeddings:
    """What a success gives: (texts, width) float32 in the order of the texts, and of which model.

    ``tokens`` is what it cost, 0 where the server did not say; ``model`` is None where it names none.
    """

    vectors: Vectors
    tokens: int
    model: str | None


class Detail(msgspec.Struct):
    """What a server says of a request that it refuses, in OpenAI's shape."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class Refusal(msgspec.Struct):
    """The body of an error in OpenAI's shape."""

    error: Detail


_reply = msgspec.json.Decoder(Reply)
_refusal = msgspec.json.Decoder(Refusal)
_TEXT = re.compile(rb'"embedding"\s*:\s*(?:(")|\[)')  # or numbers, so that these are not searched
_INPUT = re.compile(
    r"input\[([0-9]{1,9})\]\s*(.*?)(?=; (?:\$\.)?input\[\d+\]|; and \d+ more|$)", re.DOTALL
)


def embeddings(body: bytes, texts: int, width: int | None) -> Embeddings:
    """Read a success. ``width`` is None where it is to be found out. Raises Malformed."""
    try:
        reply, cut = _without_texts(body) or (decoded(_reply, Reply, body), [])
    except UNREADABLE as error:
        raise Malformed(f"no embeddings in OpenAI's form ({error})") from None
    given: list[Written | None] = [None] * texts
    beside = iter(cut)
    for item in reply.data:
        index = item.index
        if not 0 <= index < texts:
            raise Malformed(f"a vector with index {index} for {texts} texts")
        if given[index] is not None:
            raise Malformed(f"two vectors with index {index}")
        given[index] = item.embedding or next(beside, item.embedding)
    found = [one for one in given if one is not None]
    if len(found) < texts:
        missing = given.index(None)
        raise Malformed(f"{len(found)} vectors for {texts} texts; index {missing} is missing")
    usage = reply.usage or Usage()
    said = usage.total_tokens if usage.prompt_tokens is None else usage.prompt_tokens
    return Embeddings(matrix(found, width), cost(said), reply.model or None)


def _without_texts(body: bytes) -> tuple[Reply, list[memoryview]] | None:
    """Read a success but for vectors that are texts, which are given beside; None where not sure.

    A reader of JSON looks at each of their characters, which takes it longer than all else. Without
    a backslash a text ends at the next quote, and what ``_TEXT`` finds is a field with a text and
    nothing else. These are cut out; as many vectors without a text as there were cut out had them.
    """
    if b"\\" in body:
        return None
    whole = memoryview(body)
    left, texts, at = [], [], 0
    while found := _TEXT.search(body, at):
        start = found.end()
        end = body.find(b'"', start)
        if not found[1] or end < 0:
            return None
        left.append(body[at:start])
        texts.append(whole[start:end])
        at = end
    try:
        reply = _reply.decode(b"".join([*left, body[at:]]))
    except UNREADABLE:
        return None
    return (reply, texts) if sum(not one.embedding for one in reply.data) == len(texts) else None


def cost(said: float | None) -> int:
    """Give what a server says that a request cost, 0 where it does not. Raises Malformed."""
    if said is None or said < 0:
        return 0
    if said > MAX_TOKENS:
        raise Malformed(f"a usage of {said:.0f} tokens")
    return int(said)


def decoded(decoder: msgspec.json.Decoder[T], form: type[T], body: bytes) -> T:
    """Read JSON, that of servers too which write NaN: one vector is to blame then, not the form.

    Raises one of UNREADABLE.
    """
    try:
        return decoder.decode(body)
    except msgspec.DecodeError:
        if b"NaN" not in body and b"Infinity" not in body:
            raise
    return msgspec.convert(json.loads(body), form)


def spread(total: int, texts: Sequence[str | tuple[int, ...]]) -> Tokens:
    """Share a request's tokens out among its texts, by their length in bytes: (n,) int32.

    Their sum is exact, each of them an estimate: a server counts them together.
    """
    if len(texts) == 1:
        return np.array([total], dtype=np.int32)
    lengths = np.array([0, *map(len if plain(texts) else _length, texts)])
    lengths[1:] += 1
    ends = lengths.cumsum()
    ends = np.rint(ends * (total / int(ends[-1])))
    shares: Tokens = (ends[1:] - ends[:-1]).astype(np.int32)
    return shares


def _length(one: str | tuple[int, ...]) -> int:
    if not isinstance(one, str) or one.isascii():
        return len(one)
    return len(one.encode(errors="replace"))


def space(headers: Mapping[str, str]) -> Named | None:
    """Read the space that another Emblem names; None where there is no such header.

    Raises Malformed for one that is not understood, such as that of a name which gives int8.
    """
    given = headers.get(SPACE_HEADER)
    if given is None:
        return None
    name, _, end = unquote(given).rpartition("/")
    width, _, suffix = end.partition("+")
    if not name or not _is_number(width) or suffix not in ("", "truncate"):
        raise Malformed(f"vectors of the space {given!r}, and none of float32 numbers")
    return Named(name, int(width), Overflow.TRUNCATE if suffix else Overflow.MEAN)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS


def overflowed(headers: Mapping[str, str], texts: int) -> tuple[int, ...]:
    """Read which inputs were too long for the model, where the server says so."""
    said = headers.get(OVERFLOW_HEADER)
    if said is None:
        return ()
    _, _, listed = said.partition("inputs=")
    found = [int(one) for one in listed.split(",") if _is_number(one.strip())]
    return tuple(sorted({one for one in found if one < texts}))


def refusal(status: int, body: bytes) -> Detail:
    """Read what a server says of a request that it refuses, in whatever form it says it."""
    try:
        return _refusal.decode(body).error
    except UNREADABLE:
        return Detail(_words(body) or f"status {status} without a word")


def _words(body: bytes) -> str:
    """Find the words in an error of another form: a field, or the text itself."""
    text = body[: 1 << 16].decode(errors="replace")
    try:
        value: Any = msgspec.json.decode(body)
    except UNREADABLE:
        return text if not text.lstrip().startswith("<") else "a page of HTML"
    for name in ("error", "message", "detail"):
        if isinstance(value, dict) and isinstance(value.get(name), str):
            return str(value[name])
    return text


def short(words: str) -> str:
    """Put a server's words on one line of bounded length."""
    line = " ".join(words.split())
    return line if len(line) <= MAX_SAID else f"{line[:MAX_SAID]}…"


def other_model(now: str | None, before: str) -> str:
    """Say that a server names another model than it did before.

    A gateway that falls back to another one would mix vectors that cannot be compared.
    """
    named = "no model" if now is None else f"the model {short(now)!r}"
    return f"vectors of {named}, and before of {short(before)!r}"


def named_inputs(message: str) -> list[tuple[int, str]]:
    """Find the inputs that a refusal names, such as ``$.input[3] is an empty string``."""
    return [
        (int(index), why.strip().rstrip(".") or "is refused")
        for index, why in _INPUT.findall(message)
    ]
