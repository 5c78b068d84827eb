"""Weights straight from safetensors files, mapped into memory.

The format: eight bytes of header length, a JSON header, then the tensors end to end. No tensor is
read before it is asked for.
"""

import hashlib
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from emblem.errors import ModelError

MAX_HEADER_BYTES = 100_000_000

_Bytes = npt.NDArray[np.uint8]

_SIZES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}


_WHOLE = {
    "U8": "u1",
    "I8": "i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "I64": "<i8",
}


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Tensor:
    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    data: _Bytes  # (size,) bytes, a view of the mapped file

    def array(self) -> npt.NDArray[np.float32]:
        """Float32 of the tensor's shape; F32 is a view of the file, others are converted."""
        if self.dtype == "F32":
            values = self.data.view("<f4")
        elif self.dtype == "BF16":
            values = (self.data.view("<u2").astype(np.uint32) << 16).view(np.float32)
        elif self.dtype in ("F16", "F64"):
            values = self.data.view("<f2" if self.dtype == "F16" else "<f8").astype(np.float32)
        else:
            raise ModelError(
                f"{self.file}: tensor {self.name} is {self.dtype}; F32, F16, BF16 and F64 are read"
            )
        return np.require(values.reshape(self.shape), requirements="A")

    def whole(self) -> npt.NDArray[np.integer[Any]]:
        """Whole numbers of the tensor's own type and shape; a view of the file."""
        if self.dtype not in _WHOLE:
            raise ModelError(f"{self.file}: tensor {self.name} is {self.dtype}, not whole numbers")
        values: npt.NDArray[np.integer[Any]] = self.data.view(_WHOLE[self.dtype])
        return values.reshape(self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A tensor as a file has it: its number format, its shape, its bytes (size,) uint8."""

    dtype: str
    shape: tuple[int, ...]
    data: _Bytes

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> "Stored":
        """Give an array of int8 or float32 as a file would have it."""
        kind = {"int8": "I8", "float32": "F32"}[array.dtype.name]
        return cls(kind, array.shape, np.ascontiguousarray(array).reshape(-1).view(np.uint8))


class Weights(Mapping[str, npt.NDArray[Any]]):
    """The tensors of one model by name, as float32; with ``eight_bits`` those of I8 as int8.

    The files are mapped copy-on-write: arrays may be written to, and the files never change.
    Raises ModelError, naming the file, for anything that the format does not allow; and on access,
    naming the tensor too, for a number format that is not read.
    """

    def __init__(self, files: Sequence[Path], *, eight_bits: bool = False) -> None:
        self._tensors: dict[str, _Tensor] = {}
        self._eight_bits = eight_bits
        for file in files:
            for tensor in _tensors(file):
                if tensor.name in self._tensors:
                    other = self._tensors[tensor.name].file.name
                    raise ModelError(f"{file}: tensor {tensor.name} is in {other} too")
                self._tensors[tensor.name] = tensor

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        tensor = self._tensors[name]
        if self._eight_bits and tensor.dtype == "I8":
            return np.require(tensor.whole(), requirements="A")
        return tensor.array()

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        """Give the shape of a tensor without reading it."""
        return self._tensors[name].shape

    def dtype(self, name: str) -> str:
        """Give a tensor's number format, as the file has it."""
        return self._tensors[name].dtype

    def stored(self, name: str) -> "Stored":
        """Give a tensor as the file has it."""
        tensor = self._tensors[name]
        return Stored(tensor.dtype, tensor.shape, tensor.data)

    def is_whole(self, name: str) -> bool:
        """Tell whether a tensor holds whole numbers."""
        return self._tensors[name].dtype in _WHOLE

    def whole(self, name: str) -> npt.NDArray[np.integer[Any]]:
        """Give a tensor of whole numbers as they are. Raises ModelError for other numbers."""
        return self._tensors[name].whole()


def write(file: Path, tensors: Mapping[str, Stored]) -> None:
    """Write tensors as one file, in their order. Raises OSError."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + len(tensor.data)
        said = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (start, end)}
        header[name] = said
    head = msgspec.json.encode(header)
    head += b" " * (-len(head) % 64)  # so that the numbers after it are aligned
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", len(head)) + head)
        for tensor in tensors.values():
            opened.write(tensor.data.data)


def digest(files: Sequence[Path]) -> str:
    """SHA-256 in hex: of the one file, or of several files' digests in their order."""
    digests = [file_digest(file) for file in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def file_digest(file: Path) -> str:
    """SHA-256 in hex of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _tensors(file: Path) -> Iterator[_Tensor]:
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            header = _header(file, opened.read(8), size)
            entries = _entries(file, opened.read(header))
        if size <= 8 + header:
            data: _Bytes = np.empty(0, np.uint8)
        else:
            data = np.memmap(file, np.uint8, "c", offset=0)[8 + header :].view(np.ndarray)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from None
    end = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        start, stop = _extent(file, name, entry)
        if start != end or stop > len(data):
            raise ModelError(
                f"{file}: data_offsets of tensor {name} are [{start}, {stop}], "
                f"after {end} of {len(data)} bytes: the file is cut short or its header lies"
            )
        end = stop
        yield _Tensor(file, name, entry.dtype, entry.shape, data[start:stop])
    if end != len(data):
        raise ModelError(f"{file}: {len(data) - end} bytes after the last tensor")


def _header(file: Path, start: bytes, size: int) -> int:
    """Give the length of the header in bytes."""
    if len(start) < 8:
        raise ModelError(f"{file}: {size} bytes are too few for a safetensors file")
    (length,) = struct.unpack("<Q", start)
    if length > min(MAX_HEADER_BYTES, size - 8):
        raise ModelError(f"{file}: header length {length} is more than the file can hold")
    return int(length)


def _entries(file: Path, header: bytes) -> dict[str, _Entry]:
    try:
        raw = msgspec.json.decode(header, type=dict[str, Any])
        raw.pop("__metadata__", None)
        return msgspec.convert(raw, dict[str, _Entry])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{file}: header is not what safetensors describes: {error}") from None
    except RecursionError:
        raise ModelError(f"{file}: header is nested too deeply") from None


def _extent(file: Path, name: str, entry: _Entry) -> tuple[int, int]:
    start, stop = entry.data_offsets
    if entry.dtype not in _SIZES:
        raise ModelError(f"{file}: dtype {entry.dtype} of tensor {name} is not known")
    if any(side < 0 for side in entry.shape):
        raise ModelError(f"{file}: shape {list(entry.shape)} of tensor {name} is impossible")
    size = math.prod(entry.shape) * _SIZES[entry.dtype]
    if start < 0 or stop - start != size:
        raise ModelError(
            f"{file}: data_offsets of tensor {name} are [{start}, {stop}], "
            f"and its shape and dtype take {size} bytes"
        )
    return start, stop
