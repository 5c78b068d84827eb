"""How a request is cut into pieces that a deployment takes at once, and their results put together."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import lt

import numpy as np
import numpy.typing as npt

from emblem.errors import InvalidInput, InvalidResult, TooManyTokens
from emblem.types import EmbedRequest, EmbedResult

Input = str | tuple[int, ...]

SPECIAL_TOKENS = 3  # at most, around each text: the start, the end, and SentencePiece's first space
BYTES_PER_ID = 8  # in JSON: no vocabulary has more than seven digits, and a comma follows
ENVELOPE_BYTES = 1024  # of a body, for everything that is not a text

_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPE_BYTES = 5  # that an escape such as \u0007 takes beyond the one byte of its character


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that one request to a deployment may hold; None where nothing is known of a bound.

    ``max_tokens`` counts those of all texts together, ``max_bytes`` those of the body.
    """

    max_inputs: int | None = None
    max_tokens: int | None = None
    max_bytes: int | None = None


def plain(inputs: Iterable[Input]) -> bool:
    """Tell whether all are texts of ASCII, each of whose characters is a byte.

    Most are, and of those all may be known without a call of Python for each.
    """
    try:
        return all(map(str.isascii, inputs))  # type: ignore[arg-type]
    except TypeError:  # token ids
        return False


def most_tokens(one: Input) -> int:
    """Give a number of tokens that an input does not exceed, without knowing its tokenizer.

    A token stands for at least one byte of UTF-8 in byte-level BPE and in SentencePiece with bytes
    to fall back on, and for at least one character in WordPiece. What NFKC makes of a text, which
    many tokenizers read instead, may be longer: one ligature of Arabic becomes eighteen letters.
    """
    if not isinstance(one, str) or one.isascii():
        return len(one) + SPECIAL_TOKENS
    composed = unicodedata.normalize("NFKC", one)
    return max(_utf8(one), _utf8(composed)) + SPECIAL_TOKENS


def most_tokens_each(inputs: Sequence[Input]) -> list[int]:
    """Give ``most_tokens`` of each input, of plain texts in a tenth of the time."""
    if plain(inputs):
        return [size + SPECIAL_TOKENS for size in map(len, inputs)]
    return [most_tokens(one) for one in inputs]


def body_bytes(one: Input) -> int:
    """Give a number of bytes that an input does not exceed as JSON, with the comma behind it."""
    if not isinstance(one, str):
        return BYTES_PER_ID * len(one) + 3
    return _utf8(one) + _ESCAPE_BYTES * len(_ESCAPED.findall(one)) + 3


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def pieces(inputs: Sequence[Input], caps: Caps) -> list[slice]:
    """Cut inputs into consecutive runs, each as long as the caps let it be.

    What is beyond a cap all by itself is a piece of its own: whoever gets it has to say so.
    """
    most = len(inputs) if caps.max_inputs is None else caps.max_inputs
    if caps.max_tokens is None and caps.max_bytes is None and len(inputs) <= most:
        return [slice(0, len(inputs))]
    found: list[slice] = []
    start = tokens = size = 0
    room = None if caps.max_bytes is None else max(0, caps.max_bytes - ENVELOPE_BYTES)
    for place, one in enumerate(inputs):
        cost = 0 if caps.max_tokens is None else most_tokens(one)
        weight = 0 if room is None else body_bytes(one)
        full = (
            place - start >= most
            or (caps.max_tokens is not None and tokens + cost > caps.max_tokens)
            or (room is not None and size + weight > room)
        )
        if full and place > start:
            found.append(slice(start, place))
            start, tokens, size = place, 0, 0
        tokens += cost
        size += weight
    return [*found, slice(start, len(inputs))]


def piece(request: EmbedRequest, place: slice) -> EmbedRequest:
    """Give the request for some of its inputs, with what was read of them."""
    readings = request.readings[place] if request.readings else ()
    return replace(request, inputs=request.inputs[place], readings=readings)


def moved(error: InvalidInput, by: int) -> InvalidInput:
    """Give the error of a piece that begins at the input ``by``, with the request's own places."""
    return InvalidInput([(by + place, why) for place, why in error.problems])


def together(results: Sequence[EmbedResult]) -> EmbedResult:
    """Make one result of those of consecutive pieces. Raises InvalidResult where widths differ."""
    served_by = ", ".join(dict.fromkeys(one.served_by for one in results))
    if len({one.vectors.shape[1] for one in results}) > 1:
        raise InvalidResult(served_by, "vectors of several widths for one request")
    starts = np.cumsum([0, *(len(one.tokens) for one in results)]).tolist()
    hits = [one.hits for one in results if one.hits is not None]
    return EmbedResult(
        vectors=np.concatenate([one.vectors for one in results]),
        tokens=np.concatenate([one.tokens for one in results]),
        overflowed=tuple(
            start + place
            for start, one in zip(starts, results, strict=False)
            for place in one.overflowed
        ),
        served_by=served_by,
        uncut=_uncut(results),
        hits=sum(hits) if hits else None,
    )


def _uncut(results: Sequence[EmbedResult]) -> npt.NDArray[np.int32] | None:
    if all(one.uncut is None for one in results):
        return None
    return np.concatenate([_before(one) for one in results])


def _before(result: EmbedResult) -> npt.NDArray[np.int32]:
    """Give the tokens that the texts of a result had before any was cut: (n,) int32."""
    return result.tokens if result.uncut is None else result.uncut


def refuse_total(request: EmbedRequest, results: Sequence[EmbedResult]) -> None:
    """Raise TooManyTokens where the pieces of a request have more together than it may have.

    A piece whose texts all have as many as they may have at most was counted by nobody: that is not
    held against it.
    """
    most = request.max_total_tokens
    if most is None or sum(map(_total, results)) <= most:
        return
    start = counted = 0
    for one in results:
        end = start + len(one.tokens)
        if any(map(lt, _before(one).tolist(), map(most_tokens, request.inputs[start:end]))):
            counted += _total(one)
        start = end
    if counted > most:
        raise TooManyTokens(str(counted), most)


def _total(result: EmbedResult) -> int:
    return int(_before(result).sum(dtype=np.int64))
