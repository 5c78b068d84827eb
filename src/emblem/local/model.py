"""EmbeddingModel: texts to numpy arrays, from any thread, with or without an event loop."""

import asyncio
import weakref
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from operator import index
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, SupportsIndex, TypeVar, overload

import numpy as np
import numpy.typing as npt

from emblem.core.cosine import cosines
from emblem.core.output import cast
from emblem.core.plan import estimated_tokens
from emblem.errors import EmblemError, InvalidInput, InvalidRequest
from emblem.local.loop import Loop
from emblem.ports import Embedder
from emblem.space import Space
from emblem.types import EmbedRequest, Kind, Lane, OutputType, Overflow, Vectors

Array = npt.NDArray[Any]
OtherType = Literal["float16", "int8", "uint8", "binary", "ubinary"]
NumberType = Literal["float32", "float16", "int8", "uint8", "binary", "ubinary"]

# Texts go to the engine in parts of at most so many texts or characters, and so many parts at a
# time for each model: more would only wait in memory.
PART_TEXTS = 256
PART_CHARACTERS = 1 << 20
PARTS_AT_ONCE = 4
# What somebody may be waiting for goes before what is done in bulk.
INTERACTIVE_TOKENS = 1024

_OUTPUTS = {
    "float32": OutputType.FLOAT,
    "float16": OutputType.FLOAT,
    "int8": OutputType.INT8,
    "uint8": OutputType.UINT8,
    "binary": OutputType.BINARY,
    "ubinary": OutputType.UBINARY,
}

E = TypeVar("E", Kind, Overflow)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What is known of a model beside its space.

    ``max_length`` is None where any length is read, or where that is not known; ``prompts`` tells
    whether it embeds queries and documents differently, None where that is not known.
    """

    max_length: int | None = None
    prompts: bool | None = None
    empty_texts: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call: its texts, how they are to be embedded, and in what numbers."""

    texts: tuple[str, ...]
    request: EmbedRequest
    numbers: NumberType
    single: bool


class EmbeddingModel:
    """A model that is ready to embed: ``emblem.load`` and ``emblem.connect`` give one.

    Every method may be called from several threads at once. Close it, or use it in a ``with``
    block, to free its memory before the program ends. It cannot be used in a forked process, nor
    be pickled.
    """

    def __init__(
        self, name: str, embedder: Embedder, loop: Loop, abilities: Abilities | None = None
    ) -> None:
        """``load`` and ``connect`` call this. The model owns the embedder and the loop."""
        self._name = name
        self._embedder = embedder
        self._loop = loop
        self._abilities = abilities or Abilities()
        self._room = asyncio.Semaphore(PARTS_AT_ONCE)
        loop.owns(embedder.aclose)
        # Whoever forgets to close frees the memory with the last reference.
        weakref.finalize(self, _let_go, loop).atexit = False

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def space(self) -> Space:
        """What makes its vectors comparable; ``str(model.space)`` belongs beside stored vectors."""
        return self._embedder.space

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.space.width

    @property
    def max_length(self) -> int | None:
        """Tokens that the model reads at once, special ones included.

        None where there is no such limit, or where it is a server's and not known.
        """
        return self._abilities.max_length

    @overload
    def embed(
        self,
        texts: str | Iterable[str],
        *,
        kind: Kind | Literal["query", "document"] | None = None,
        dimensions: SupportsIndex | None = None,
        overflow: Overflow | Literal["mean", "truncate", "error"] | None = None,
        dtype: Literal["float32"] = "float32",
    ) -> Vectors: ...

    @overload
    def embed(
        self,
        texts: str | Iterable[str],
        *,
        kind: Kind | Literal["query", "document"] | None = None,
        dimensions: SupportsIndex | None = None,
        overflow: Overflow | Literal["mean", "truncate", "error"] | None = None,
        dtype: OtherType,
    ) -> Array: ...

    def embed(
        self,
        texts: str | Iterable[str],
        *,
        kind: Kind | Literal["query", "document"] | None = None,
        dimensions: SupportsIndex | None = None,
        overflow: Overflow | Literal["mean", "truncate", "error"] | None = None,
        dtype: NumberType = "float32",
    ) -> Array:
        """Embed texts: (n, width) float32, one row for each, in their order; (width,) for a ``str``.

        ``kind`` puts the model's prompt for queries or documents before each text; None puts none.
        ``dimensions`` keeps the first numbers of each vector, of unit norm again. ``overflow`` says
        what becomes of a text longer than ``max_length``: the ``mean`` of its parts, ``truncate``,
        or an ``error``; None is the model's own rule. ``dtype`` writes the numbers otherwise: see
        ``core.output.cast`` for int8 and binary.

        Waits until all is done. Raises InvalidInput, which names every text that cannot be embedded,
        or another EmblemError.
        """
        asked = self._asked(texts, kind, dimensions, overflow, dtype)
        return _numbers(self._loop.run(self._embedded(asked)), asked)

    @overload
    async def aembed(
        self,
        texts: str | Iterable[str],
        *,
        kind: Kind | Literal["query", "document"] | None = None,
        dimensions: SupportsIndex | None = None,
        overflow: Overflow | Literal["mean", "truncate", "error"] | None = None,
        dtype: Literal["float32"] = "float32",
    ) -> Vectors: ...

    @overload
    async def aembed(
        self,
        texts: str | Iterable[str],
        *,
        kind: Kind | Literal["query", "document"] | None = None,
        dimensions: SupportsIndex | None = None,
        overflow: Overflow | Literal["mean", "truncate", "error"] | None = None,
        dtype: OtherType,
    ) -> Array: ...

    async def aembed(
        self,
        texts: str | Iterable[str],
        *,
        kind: Kind | Literal["query", "document"] | None = None,
        dimensions: SupportsIndex | None = None,
        overflow: Overflow | Literal["mean", "truncate", "error"] | None = None,
        dtype: NumberType = "float32",
    ) -> Array:
        """Embed texts as ``embed`` does, without holding up the event loop that awaits it.

        Cancelling it drops the work that has not begun.
        """
        asked = self._asked(texts, kind, dimensions, overflow, dtype)
        return _numbers(await self._loop.wait(self._embedded(asked)), asked)

    def similarity(
        self, one: str | Iterable[str] | Array, other: str | Iterable[str] | Array | None = None
    ) -> Vectors:
        """Give the cosine of each of ``one`` with each of ``other``: (n, m) float32.

        Each is texts, which are embedded without a kind, or their vectors in floating point. Without
        ``other``, of each of ``one`` with each of them.
        """
        left = self._vectors(one)
        return cosines(left, left if other is None else self._vectors(other))

    def close(self) -> None:
        """Free the model; what is being embedded fails with DeploymentFailed. Any number of times."""
        self._loop.stop().result()

    async def aclose(self) -> None:
        """Free the model as ``close`` does, without holding up the event loop."""
        await asyncio.wrap_future(self._loop.stop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<EmbeddingModel {self.space}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self._name} cannot be pickled; load it in each process")

    # -- on the loop --------------------------------------------------------------------------

    async def _embedded(self, asked: _Asked) -> Vectors:
        """Embed all texts in parts: (n, d) float32."""
        width = asked.request.dimensions or self.width
        found = np.empty((len(asked.texts), width), dtype=np.float32)

        async def embed(part: slice) -> None:
            async with self._room:
                request = replace(asked.request, inputs=asked.texts[part])
                try:
                    found[part] = (await self._embedder.embed(request)).vectors
                except InvalidInput as error:
                    raise _invalid((part.start + at, why) for at, why in error.problems) from None
                except InvalidRequest as error:
                    if error.param != "input_type":
                        raise
                    said = str(error).replace("input_type", "kind")
                    raise InvalidRequest(said, param="kind") from None

        try:
            async with asyncio.TaskGroup() as group:
                for part in _parts(asked.texts):
                    group.create_task(embed(part))
        except* EmblemError as failed:
            first: BaseException = failed
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            failure = first
        else:
            return found
        raise failure

    # -- what is asked for --------------------------------------------------------------------

    def _asked(
        self,
        texts: str | Iterable[str],
        kind: str | None,
        dimensions: SupportsIndex | None,
        overflow: str | None,
        dtype: NumberType,
    ) -> _Asked:
        given = _listed(texts)
        self._check_texts(given)
        if dtype not in _OUTPUTS:
            raise InvalidRequest(f"dtype is {dtype!r}; it must be one of {', '.join(_OUTPUTS)}")
        width = self._width(dimensions, _OUTPUTS[dtype])
        asked_kind = _chosen(Kind, "kind", kind)
        if asked_kind is not None and self._abilities.prompts is False:
            raise InvalidRequest(
                f"{self._name} embeds queries and documents alike: it has no prompts. Leave kind out",
                param="kind",
            )
        request = EmbedRequest(
            tuple(given), asked_kind, width, _chosen(Overflow, "overflow", overflow)
        )
        small = estimated_tokens(request) <= INTERACTIVE_TOKENS
        request = replace(request, lane=Lane.INTERACTIVE if small else Lane.BULK)
        return _Asked(tuple(given), request, dtype, isinstance(texts, str))

    def _check_texts(self, texts: Sequence[object]) -> None:
        wrong = [
            (at, f"must be a string and is {type(one).__name__}")
            for at, one in enumerate(texts)
            if not isinstance(one, str)
        ]
        if not self._abilities.empty_texts:
            wrong += [
                (at, "is an empty string")
                for at, one in enumerate(texts)
                if isinstance(one, str) and not one
            ]
        if wrong:
            raise _invalid(sorted(wrong))

    def _width(self, dimensions: SupportsIndex | None, output: OutputType) -> int | None:
        """Give the width that is asked for as a plain number; None is the model's own."""
        asked = None if dimensions is None else _whole(dimensions)
        if dimensions is not None and (asked is None or not 1 <= asked <= self.width):
            raise InvalidRequest(
                f"dimensions is {dimensions!r}; {self._name} gives vectors of {self.width} numbers, "
                f"so it must be a whole number from 1 to {self.width}"
            )
        width = asked or self.width
        if output in (OutputType.BINARY, OutputType.UBINARY) and width % 8:
            raise InvalidRequest(
                f"{output} packs eight numbers into a byte, and {width} is no multiple of 8"
            )
        if output in (OutputType.INT8, OutputType.UINT8) and not self.space.normalised:
            raise InvalidRequest(
                f"{self._name} does not give unit vectors, so {output}, whose scale is fixed, would "
                "cut them off"
            )
        return asked

    def _vectors(self, given: str | Iterable[str] | Array) -> Array:
        if not isinstance(given, np.ndarray) or given.dtype.kind in "OUST":
            return np.atleast_2d(self.embed(given))
        vectors = np.atleast_2d(given)
        if vectors.dtype.kind != "f" or vectors.ndim != 2:
            raise InvalidRequest(
                f"an array of {given.dtype} with shape {given.shape} holds no vectors; (n, width) of "
                "floating point does"
            )
        return vectors


def _listed(texts: str | Iterable[str]) -> list[str]:
    if isinstance(texts, str):
        return [texts]
    name = type(texts).__name__
    if (dimensions := getattr(texts, "ndim", 1)) != 1:
        raise InvalidRequest(
            f"texts must be in one dimension, or a str for one text, and this {name} has {dimensions}"
        )
    if isinstance(texts, bytes | bytearray) or not isinstance(texts, Iterable):
        raise InvalidRequest(f"texts must be strings, and {name} holds none")
    if isinstance(texts, Mapping | AbstractSet) and not isinstance(texts, KeysView):
        raise InvalidRequest(
            f"texts must be in an order, and {name} has none; give its texts as a list"
        )
    return list(texts)


def _invalid(problems: Iterable[tuple[int, str]]) -> InvalidInput:
    """Name texts by their index, counted from 0 as Python counts."""
    return InvalidInput(list(problems), called="text {}".format)


def _whole(number: SupportsIndex) -> int | None:
    """Read a whole number of Python's or numpy's; None for anything else, such as True."""
    if isinstance(number, bool | np.bool_):
        return None
    try:
        return index(number)
    except TypeError:
        return None


def _chosen(choices: type[E], name: str, given: str | None) -> E | None:
    try:
        return None if given is None else choices(given)
    except ValueError:
        raise InvalidRequest(
            f"{name} is {given!r}; it must be one of {', '.join(choices)}, or None"
        ) from None


def _parts(texts: Sequence[str]) -> Iterator[slice]:
    """Cut texts into parts of bounded size, in order."""
    start = size = 0
    for at, text in enumerate(texts):
        if at > start and (at - start == PART_TEXTS or size + len(text) > PART_CHARACTERS):
            yield slice(start, at)
            start, size = at, 0
        size += len(text)
    if start < len(texts):
        yield slice(start, len(texts))


def _numbers(vectors: Vectors, asked: _Asked) -> Array:
    """Write vectors in the numbers that were asked for."""
    if asked.numbers == "float16":
        found: Array = vectors.astype(np.float16)
    else:
        found = cast(vectors, _OUTPUTS[asked.numbers])
    return found[0] if asked.single else found


def _let_go(loop: Loop) -> None:
    if loop.is_mine:  # and not waited for: this may run in any thread, the loop's own too
        loop.stop()
