"""Reuse: what is known of one embedded text, and answers made of that instead of new work.

An entry is immutable bytes: the full vector, then how many tokens the text cost, how many it had
before it was cut, and whether it was longer than the model reads at once. Nothing here decides how
long an entry lives; whoever keeps it also knows of which text, kind and rule it is.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from math import inf
from struct import Struct

import numpy as np

from emblem.core.check import refuse_wrong
from emblem.core.output import shortened
from emblem.core.pieces import most_tokens
from emblem.core.plan import refuse_unread
from emblem.errors import InvalidRequest, InvalidResult
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Overflow, Vectors, value

Entry = bytes
Input = str | tuple[int, ...]
Name = str | bytes  # a text, or the bytes of its token ids

# The texts of a larger request would hold up the event loop while they are compared. It is about
# what the contract's 300,000 tokens are in any language.
MAX_CHARACTERS = 2_000_000

# An id counts as so many: it has eight bytes, and each is made of a Python object.
CHARACTERS_PER_ID = 20


_NUMBERS = Struct("=3i")  # what an entry has behind its vector
_BEHIND = _NUMBERS.pack


@lru_cache(64)
def _layout(width: int) -> np.dtype[np.void]:
    vector = ("vector", np.float32, (width,))
    return np.dtype([vector, ("tokens", np.int32), ("uncut", np.int32), ("overflowed", np.int32)])


def entries(
    result: EmbedResult, texts: int, space: Space, places: Sequence[int] | None = None
) -> list[Entry]:
    """Give an entry for each text of a result of full width, in their order, or for some of them.

    Raises InvalidResult for a result of another shape: nothing of it may be kept.
    """
    if result.vectors.shape != (texts, space.width) or result.vectors.dtype != np.float32:
        shape = " × ".join(map(str, result.vectors.shape))
        what = f"{shape} {result.vectors.dtype} where {texts} × {space.width} float32 was expected"
        raise InvalidResult(result.served_by, what)
    tokens = result.tokens.tolist()
    uncut = tokens if result.uncut is None else result.uncut.tolist()
    overflowed = set(result.overflowed)
    return [
        result.vectors[place].tobytes() + _BEHIND(tokens[place], uncut[place], place in overflowed)
        for place in (range(texts) if places is None else places)
    ]


def wanted(request: EmbedRequest, space: Space, shortening: bool) -> list[Name] | None:
    """Name each input of a request that may be answered from parts; None for any other.

    That is for the embedder alone, which answers it or says what is wrong with it. So is one that
    is too large for its texts to be compared, or has an id beyond 64 bits, as no vocabulary has.
    """
    asked = request.dimensions
    if asked is not None and not (shortening and 0 < asked <= space.width):
        return None
    inputs = request.inputs
    texts: list[Name] = [one for one in inputs if isinstance(one, str)]
    size = sum(map(len, inputs))
    if len(texts) < len(inputs):
        size += (CHARACTERS_PER_ID - 1) * (size - sum(map(len, texts)))
    if size > MAX_CHARACTERS:
        return None
    try:
        if refuse_unread(request):
            return None
        return texts if len(texts) == len(inputs) else [_name(one) for one in inputs]
    except (InvalidRequest, OverflowError):
        return None


def _name(one: Input) -> Name:
    """Name a text or token ids, so that two have one name only where they are the same.

    Ids do not stand for themselves, since anybody can find many tuples that Python hashes alike.
    """
    return one if isinstance(one, str) else array("q", one).tobytes()


def part(request: EmbedRequest, places: Sequence[int]) -> EmbedRequest:
    """Give the request for some of its inputs, with what was read of them, at full width."""
    read = request.readings
    return replace(
        request,
        inputs=tuple([request.inputs[place] for place in places]),
        readings=tuple([read[place] for place in places]) if read else (),
        dimensions=None,
    )


@value()
class Known:
    """What is known of the inputs of a request: (place, tokens) of some, and the places of others.

    ``uncut`` are all the tokens that the known ones had before any was cut.
    """

    tokens: list[tuple[int, int]]
    missing: list[int]
    uncut: int


def known(parts: Sequence[Entry | None], request: EmbedRequest, space: Space) -> Known | None:
    """Say what the entries tell of what a request costs.

    None where the request's own limit or rule refuses one of them; see ``joined``.
    """
    costs: list[tuple[int, int]] = []
    missing = []
    all_uncut = 0
    longest, refusing = request.max_input_tokens, rule(request, space) is Overflow.ERROR
    for place, one in enumerate(parts):
        if one is None:
            missing.append(place)
            continue
        tokens, uncut, overflowed = _NUMBERS.unpack_from(one, len(one) - _NUMBERS.size)
        if (longest is not None and uncut > longest) or (overflowed and refusing):
            return None
        costs.append((place, tokens))
        all_uncut += uncut
    return Known(costs, missing, all_uncut)


def rule(request: EmbedRequest, space: Space) -> Overflow:
    """Give what happens to the texts of a request that are too long."""
    return request.overflow or space.overflow


def joined(
    parts: Sequence[Entry], request: EmbedRequest, space: Space, *, served_by: str, hits: int
) -> EmbedResult | None:
    """Make the result of a request from an entry for each of its texts.

    None where the request's own limits or its rule refuse one of them: the entries may be those of
    requests that had others. The vectors cannot be written to. Raises InvalidResult as ``narrowed``.
    """
    read = _lone if len(parts) == 1 else _together
    vectors, tokens, uncut, overflowed = read(parts, space.width)
    if overflowed and rule(request, space) is Overflow.ERROR:
        return None
    if _too_many(uncut, request):
        return None
    cut = overflowed and uncut != tokens
    full = EmbedResult(
        vectors,
        np.array(tokens, np.int32),
        overflowed,
        served_by,
        np.array(uncut, np.int32) if cut else None,
        hits,
    )
    return narrowed(full, request, space, hits=hits)


# What entries hold: the vectors, the tokens of each, those before any was cut, and who was too long.
_Held = tuple[Vectors, list[int], list[int], tuple[int, ...]]


def _together(parts: Sequence[Entry], width: int) -> _Held:
    records = np.frombuffer(b"".join(parts), _layout(width))
    overflowed = tuple(records["overflowed"].nonzero()[0].tolist())
    vectors = np.ascontiguousarray(records["vector"])
    return vectors, records["tokens"].tolist(), records["uncut"].tolist(), overflowed


def _lone(parts: Sequence[Entry], width: int) -> _Held:
    """Read one entry where it is: most requests have one text, and numpy's records take longer."""
    (one,) = parts
    tokens, uncut, overflowed = _NUMBERS.unpack_from(one, len(one) - _NUMBERS.size)
    vectors = np.frombuffer(one, np.float32, width).reshape(1, width)
    return vectors, [tokens], [uncut], (0,) if overflowed else ()


def shortens(request: EmbedRequest, space: Space) -> bool:
    """Tell whether fewer dimensions are asked for than there are."""
    return request.dimensions not in (None, space.width)


def narrowed(result: EmbedResult, request: EmbedRequest, space: Space, *, hits: int) -> EmbedResult:
    """Give a result of full width the dimensions that were asked for.

    What that leaves is checked again, for a vector may have been zero but for its other numbers:
    raises InvalidResult.
    """
    if result.hits != hits:
        result = EmbedResult(
            result.vectors,
            result.tokens,
            result.overflowed,
            result.served_by,
            result.uncut,
            hits,
        )
    if request.dimensions is not None and shortens(request, space):
        short = shortened(result.vectors, request.dimensions, normalised=space.normalised)
        result = replace(result, vectors=short)
        refuse_wrong(request, result, space)
    result.vectors.flags.writeable = False
    return result


def _too_many(uncut: Sequence[int], request: EmbedRequest) -> bool:
    """Tell whether texts have more tokens than the request may have, each or together.

    One that has exactly as many as it can have at most was counted by nobody; see ``Estimated``.
    """
    longest, total = request.max_input_tokens, request.max_total_tokens
    each, most = inf if longest is None else longest, inf if total is None else total
    if max(uncut, default=0) <= each and sum(uncut) <= most:
        return False
    pairs = zip(uncut, request.inputs, strict=True)
    told = [tokens for tokens, one in pairs if tokens != most_tokens(one)]
    return max(told, default=0) > each or sum(told) > most
