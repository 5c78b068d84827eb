"""How much a model's files hold, read from their headers: nothing of the weights is read."""

import math
import mmap
import re
from pathlib import Path

from emblem.errors import ModelError
from emblem.model import Graph, Model, Sizes
from emblem.models.safetensors import Weights

# What the numbers of a quantised ONNX graph pass through before they are multiplied.
_QUANTISED = re.compile(rb"MatMulInteger|DynamicQuantize|DequantizeLinear|MatMulNBits|QLinear")
_HALF = re.compile(r"16|_o4", re.IGNORECASE)  # model_fp16.onnx, model_O4.onnx
_CONSTANT = re.compile(rb'element_type="(\w+)"[^>]*\bsize="(\d+)"')
_BITS = {
    b"f64": 64,
    b"f32": 32,
    b"f16": 16,
    b"bf16": 16,
    b"i64": 64,
    b"i32": 32,
    b"i4": 4,
    b"u4": 4,
}


def read(model: Model) -> Sizes:
    """Look at a model's files. Raises ModelError for one that cannot be read."""
    try:
        return _read(model)
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read: {error.strerror or error}") from None


def _read(model: Model) -> Sizes:
    vocabulary = model.tokenization.file
    unigram = _search(vocabulary, re.compile(rb'"Unigram"')) is not None
    numbers = tables = whole = 0
    quantised = False
    if isinstance(model.encoder, Graph):
        numbers, quantised = _graph(model.encoder.file, model.weights)
    else:
        weights = Weights(model.weights)
        for name in weights:
            shape = weights.shape(name)
            numbers += math.prod(shape)
            if weights.dtype(name) == "I8":
                whole += math.prod(shape)
            if len(shape) == 2 and "embed" in name:
                tables += math.prod(shape)
    numbers += sum(layer.inputs * layer.outputs for layer in model.dense)
    return Sizes(numbers, tables, quantised, vocabulary.stat().st_size, unigram, whole)


def _graph(file: Path, files: tuple[Path, ...]) -> tuple[int, bool]:
    """Give how many numbers a graph holds, about, and whether they are quantised."""
    if file.suffix == ".xml":
        constants = _CONSTANT.findall(file.read_bytes())
        bits = [(_BITS.get(kind, 8), int(size)) for kind, size in constants]
        return sum(size * 8 // width for width, size in bits), any(width <= 8 for width, _ in bits)
    size = sum(one.stat().st_size for one in files)
    found = _search(file, _QUANTISED)
    if found is not None:
        return size * (2 if found == b"MatMulNBits" else 1), True
    return size // (2 if _HALF.search(file.stem) else 4), False


def _search(file: Path, words: re.Pattern[bytes]) -> bytes | None:
    with file.open("rb") as opened:
        if not file.stat().st_size:  # nothing can be mapped of it
            return None
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = words.search(content)
            return found[0] if found else None
