"""Static models: a table with one row for each token, and the mean of a text's rows.

Three layouts: the catalogue's own (``static.json``), Model2Vec's (``config.json`` says so), and
sentence-transformers' StaticEmbedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emblem.errors import ModelError
from emblem.model import Tokenization
from emblem.models import document, tokenization
from emblem.models.document import Document
from emblem.models.safetensors import Weights

MODEL2VEC = "model2vec"

_TABLES = ("embeddings", "embedding.weight")  # Model2Vec's, sentence-transformers' and WordLlama's
_MAPPING, _WEIGHTS = "mapping", "weights"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The numbers of a static model.

    ``table`` is (rows, width) float32. Token t's state is ``table[rows[t]] * weights[t]``; ``rows``,
    (vocabulary,) int64, is None where it is ``table[t]``, and ``weights``, (vocabulary,) float32,
    None where they are 1.
    """

    table: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64] | None = None
    weights: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """How many ids a static model has a state for, how many numbers that has, its table's name."""

    ids: int
    width: int
    table: str


def size(files: Sequence[Path]) -> Size:
    """Look at a static model's tensors. Raises ModelError where they are not those of one."""
    tensors = Weights(files)
    name = _table(files, tensors)
    rows, width = tensors.shape(name)
    if _MAPPING in tensors:
        rows = _length(files, tensors, _MAPPING)
    if _WEIGHTS in tensors and _length(files, tensors, _WEIGHTS) != rows:
        raise ModelError(f"{files[0]}: {_WEIGHTS} has not the {rows} numbers that it needs")
    return Size(rows, width, name)


def load(files: Sequence[Path]) -> Table:
    """Read a static model. Raises ModelError, naming the tensor, for numbers that can't be right."""
    tensors = Weights(files)
    about = size(files)
    table = _floats(files, tensors, about.table)
    rows = weights = None
    if _MAPPING in tensors:
        rows = tensors.whole(_MAPPING).astype(np.int64)
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(table):
            raise ModelError(
                f"{files[0]}: {_MAPPING} leads out of the {len(table)} rows of {about.table}"
            )
    if _WEIGHTS in tensors:
        weights = _floats(files, tensors, _WEIGHTS)
    return Table(table, rows, weights)


def is_model2vec(folder: Path) -> bool:
    """Tell whether a folder's ``config.json`` says that it is a Model2Vec model."""
    file = folder / "config.json"
    return file.is_file() and document.read(file).fields.get("model_type") == MODEL2VEC


def model2vec(config: Document) -> bool:
    """Understand Model2Vec's ``config.json``; give whether its vectors are made unit.

    What only says how the model was made is passed over. So is ``max_length``: that is where its
    own library cuts a text unless told otherwise, and here any length is read.
    """
    config.only("model_type", MODEL2VEC)
    return bool(config.get("normalize", bool))


def reading(
    folder: Path, ids: int, *, special_tokens: bool = False, keep_unknown: bool = True
) -> Tokenization:
    """Say how a static model of so many ids reads a text, of any length, as its tokenizer does."""
    return Tokenization(
        file=tokenization.file(folder, ids),
        max_length=None,
        strip=False,
        special_tokens=special_tokens,
        keep_unknown=keep_unknown,
    )


def _table(files: Sequence[Path], tensors: Weights) -> str:
    found = [name for name in _TABLES if name in tensors]
    known = {*found, _MAPPING, _WEIGHTS}
    if len(found) != 1 or len(tensors.shape(found[0])) != 2 or 0 in tensors.shape(found[0]):
        raise ModelError(
            f"{files[0]}: has no table of two dimensions named {' or '.join(_TABLES)}; it has "
            + (", ".join(sorted(tensors)[:5]) or "nothing")
        )
    if more := sorted(set(tensors) - known):
        raise ModelError(f"{files[0]}: the tensor {more[0]} is none that a static model has")
    return found[0]


def _length(files: Sequence[Path], tensors: Weights, name: str) -> int:
    shape = tensors.shape(name)
    if len(shape) != 1:
        raise ModelError(f"{files[0]}: {name} is {shape}, not of one dimension")
    return shape[0]


def _floats(files: Sequence[Path], tensors: Weights, name: str) -> npt.NDArray[np.float32]:
    """Read floats, or whole numbers, which stand for themselves."""
    whole = tensors.is_whole(name)
    array = tensors.whole(name).astype(np.float32) if whole else tensors[name]
    if not np.isfinite(array).all():
        raise ModelError(f"{files[0]}: {name} holds numbers that are not finite")
    return array
