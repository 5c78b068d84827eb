"""The tensors of a model, found by their plain names whatever stands before those, and checked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from emblem.errors import ModelError

Array = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int8]

_OLD_ENDINGS = ((".LayerNorm.weight", ".LayerNorm.gamma"), (".LayerNorm.bias", ".LayerNorm.beta"))


class Tensors:
    """Named arrays: float32, or the weights of linear layers in eight bits.

    Checkpoints put ``bert.``, ``roberta.``, ``0.auto_model.`` and other things before the names;
    what stands before the table of words stands before all others too.
    """

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], words: str) -> None:
        anchors = [name for name in arrays if name == words or name.endswith("." + words)]
        if not anchors:
            raise ModelError(f"the weights hold no tensor named {words}")
        if len(anchors) > 1:
            raise ModelError(
                f"the weights hold more than one encoder: {', '.join(sorted(anchors))}"
            )
        self._prefix = anchors[0].removesuffix(words)
        self._arrays = arrays
        self._taken: dict[str, npt.NDArray[Any]] = {}  # reading one again may convert it again
        self._words = words
        self.linears: list[str] = []  # full names, in the order in which they were made

    @property
    def vocabulary(self) -> int:
        """How many ids the table of words has a row for."""
        return len(self.take(self._words, (None, None)))

    def has(self, name: str) -> bool:
        """Tell whether there is a tensor of that name."""
        return self._full_name(name) in self._arrays

    def take(self, name: str, shape: tuple[int | None, ...]) -> Array:
        """Give a tensor as C-contiguous, aligned, writeable float32; None in a shape is any size.

        The memory is the caller's own where it already is like that. Raises ModelError for a
        tensor that is missing or has another shape.
        """
        array = self._of_shape(name, shape)
        if not np.issubdtype(array.dtype, np.floating):
            raise ModelError(f"the tensor {self._prefix}{name} holds {array.dtype}, not floats")
        taken: Array = np.require(array, np.float32, ["C", "A", "W"])
        self._taken[name] = taken
        return taken

    def take_eight_bits(self, name: str, shape: tuple[int | None, ...]) -> Whole:
        """Give a tensor of whole numbers as C-contiguous, aligned, writeable int8; see ``take``."""
        array = self._of_shape(name, shape)
        if array.dtype != np.int8:
            raise ModelError(f"the tensor {self._prefix}{name} holds {array.dtype}, not int8")
        taken: Whole = np.require(array, np.int8, ["C", "A", "W"])
        self._taken[name] = taken
        return taken

    def note_linear(self, name: str) -> None:
        """Keep the name of a layer that tokens are multiplied with."""
        self.linears.append(self._prefix + name)

    def _of_shape(self, name: str, shape: tuple[int | None, ...]) -> npt.NDArray[Any]:
        array = self._find(name)
        expected = tuple("any" if size is None else size for size in shape)
        if array is None:
            raise ModelError(f"the weights hold no tensor named {self._prefix}{name}, {expected}")
        if len(array.shape) != len(shape) or any(
            size not in (None, given) for size, given in zip(shape, array.shape, strict=True)
        ):
            raise ModelError(f"the tensor {self._prefix}{name} is {array.shape}, not {expected}")
        return array

    def left(self, below: str) -> list[str]:
        """Give the full names of the tensors below a name that nobody took, in order."""
        taken = {self._full_name(name) for name in self._taken}
        return sorted(
            name
            for name in self._arrays
            if name.startswith(self._prefix + below) and name not in taken
        )

    def _find(self, name: str) -> npt.NDArray[Any] | None:
        taken = self._taken.get(name)
        return self._arrays.get(self._full_name(name)) if taken is None else taken

    def _full_name(self, name: str) -> str:
        """Give the name that a tensor has among the arrays, or would have."""
        full = self._prefix + name
        for new, old in _OLD_ENDINGS:
            if full not in self._arrays and name.endswith(new):
                return full.removesuffix(new) + old
        return full
