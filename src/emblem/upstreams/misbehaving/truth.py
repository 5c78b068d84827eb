"""What a right answer is: a vector for every text, known to whoever tests. Pure but for a model."""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np

from emblem.types import Vectors

RIGHT = "right"

# What stands before a text of a kind, by whatever word a dialect has for it.
PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "query": "query: ",
        "document": "document: ",
        "search_query": "query: ",
        "search_document": "document: ",
    }
)


class Truth(Protocol):
    """Where right vectors come from."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        ...

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """Give the unit vector of each text: (n, width) float32."""
        ...


class Hashed:
    """Takes vectors from a digest of the text: nothing is alike, and nothing has to be loaded."""

    def __init__(self, width: int = 64) -> None:
        self._width = width

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._width

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """Give the unit vector of each text: (n, width) float32."""
        return np.stack([vector(text, self._width) for text in texts])


def vector(text: str, width: int = 64, space: str = RIGHT) -> Vectors:
    """Give the unit vector that a text has in a space: (width,) float32, the same for ever."""
    drawn = hashlib.shake_256(f"{space}\0{text}".encode("utf-8", "surrogatepass"))
    numbers = np.frombuffer(drawn.digest(4 * width), "<i4").astype(np.float64)
    return unit(numbers)


def shortened(vectors: Vectors, dimensions: int | None) -> Vectors:
    """Keep the first numbers of each vector, of unit norm again: (n, dimensions) float32."""
    if dimensions is None or dimensions >= vectors.shape[1]:
        return vectors
    return np.stack([unit(one) for one in vectors[:, :dimensions].astype(np.float64)])


def unit(numbers: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Vectors:
    """Give a vector the norm 1: (width,) float32."""
    made: Vectors = (numbers / np.linalg.norm(numbers)).astype(np.float32)
    return made


def tokens(text: str) -> int:
    """Count what a text costs: a token for each word, and one at least."""
    return max(1, len(text.split()))


def cut(text: str, length: int) -> str:
    """Keep the first words of a text."""
    return " ".join(text.split()[:length]) if tokens(text) > length else text
