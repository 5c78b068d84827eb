"""Models whose linear layers have weights of eight bits: what ``emblem quantize`` makes and reads.

Such a folder is that of the model it was made from, but for ``model.safetensors``, which holds int8
weights and their scales, and ``quantization.json`` beside it, which says what was done.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from emblem.core.quantise import LANES, Bound, rounded
from emblem.errors import ModelError
from emblem.model import Loss, Model, Quantised
from emblem.models import repository
from emblem.models.safetensors import Stored, Weights, write
from emblem.offer import Prompts
from emblem.types import Vectors

FILE = "quantization.json"
SCHEME = "int8 weights per output, int8 activations per token and group"
FORMAT = 1

_CARRIED = ("LICENSE*", "LICENCE*", "NOTICE*", "README.md")
_DROPPED = ("model.safetensors.index.json", "manifest.json")


class _Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    vector: bytes  # little-endian float32


class _Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mean: float
    worst: float
    rank: float
    texts: int


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    scheme: str
    group: int
    kept: tuple[str, ...]
    source: str
    loss: _Loss
    emblem: str
    query_prompt: str
    document_prompt: str
    languages: tuple[str, ...]
    licence: str
    shortening: bool
    canaries: tuple[_Canary, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """What a folder says of how it was made, and what it keeps of the model before."""

    quantised: Quantised
    prompts: Prompts
    languages: tuple[str, ...]
    licence: str
    shortening: bool


class Rounded(Mapping[str, npt.NDArray[Any]]):
    """The tensors of a model, with int8 weights and ``weight_scale`` for some linear layers.

    ``linears`` are the full names of those, less ``.weight``. What is not rounded is read when it
    is asked for.
    """

    def __init__(self, weights: Weights, linears: tuple[str, ...]) -> None:
        self._weights = weights
        self._own: dict[str, npt.NDArray[Any]] = {}
        for name in linears:
            whole, scales = rounded(weights[f"{name}.weight"])
            self._own |= {f"{name}.weight": whole, f"{name}.weight_scale": scales}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._own[name] if name in self._own else self._weights[name]

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._weights

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*self._weights, *self._own))

    def __len__(self) -> int:
        return len(dict.fromkeys(self))

    def stored(self) -> dict[str, Stored]:
        """Give every tensor as a file has it: bytes last, so that all others stay aligned."""
        own = {name: Stored.of(array) for name, array in self._own.items()}
        others = (name for name in self._weights if name not in own)
        every = {name: self._weights.stored(name) for name in others} | own
        return dict(sorted(every.items(), key=lambda one: (one[1].dtype == "I8", one[0])))


def read(root: Path) -> Made | None:
    """Read what a folder says of how it was made; None for one that nothing was rounded in.

    Raises ModelError, naming the field, for what is not understood, and for tensors that are not
    what it says.
    """
    file = root / FILE
    if not file.is_file():
        return None
    said = _document(file)
    if said.format != FORMAT or said.scheme != SCHEME:
        raise ModelError(
            f"{file}: format {said.format} and scheme {said.scheme!r} are not understood, only "
            f"{FORMAT} and {SCHEME!r}; quantise the model again with this Emblem"
        )
    if said.group <= 0 or said.group % LANES:
        raise ModelError(f"{file}: group: is {said.group}, not a multiple of {LANES}")
    loss = Loss(said.loss.mean, said.loss.worst, said.loss.rank, said.loss.texts)
    if not (bound := Bound()).holds(loss):  # a larger one would let any kernel pass
        raise ModelError(
            f"{file}: loss: mean {loss.mean} and rank {loss.rank} are not what emblem quantize "
            f"keeps, which is {bound.mean} and {bound.rank} at least; quantise the model again"
        )
    return Made(
        Quantised(file, said.group, said.kept, said.source, loss, said.emblem),
        Prompts(said.query_prompt, said.document_prompt),
        said.languages,
        said.licence,
        said.shortening,
    )


def is_made(folder: Path) -> bool:
    """Tell whether a model's folder is one that ``emblem quantize`` made."""
    return any(folder.rglob(FILE))


def source_of(folder: Path) -> str:
    """Give the space that a folder was made from; "" where that cannot be read."""
    for file in folder.rglob(FILE):
        with suppress(ModelError):
            return _document(file).source
    return ""


def same_source(one: str, other: str) -> bool:
    """Tell whether two written spaces are one model, whatever it is called and however it is cut."""
    return _digest(one) == _digest(other)


def _digest(space: str) -> str:
    return space.rpartition("@")[2].partition("/")[0]


def check(made: Quantised, weights: tuple[Path, ...]) -> None:
    """Compare the tensors of a folder with what is said of them, or raise ModelError."""
    tensors = Weights(weights)
    whole = {name.removesuffix(".weight") for name in tensors if tensors.dtype(name) == "I8"}
    scaled = {
        name.removesuffix(".weight_scale") for name in tensors if name.endswith(".weight_scale")
    }
    if not whole or whole != scaled:
        odd = sorted(whole ^ scaled)
        what = f"{odd[0]} has int8 weights or scales, not both" if odd else "nothing has int8"
        raise ModelError(f"{weights[0]}: {what}, which {made.file.name} beside it asks for")
    for name in sorted(whole):
        wide = tensors.shape(f"{name}.weight")[-1]
        if wide % made.group:
            raise ModelError(
                f"{made.file}: group: is {made.group}, which does not divide the {wide} numbers "
                f"that {name} takes"
            )
    for name in made.kept:
        if name in whole or f"{name}.weight" not in tensors:
            raise ModelError(f"{made.file}: kept: {name} is no layer that stayed as it was")


def canaries(made: Quantised, width: int) -> tuple[list[str], Vectors]:
    """Give the texts that prove a kernel, and their vectors: (n, width) float32.

    Raises ModelError.
    """
    said = _document(made.file)
    if not said.canaries or any(len(one.vector) != 4 * width for one in said.canaries):
        raise ModelError(f"{made.file}: canaries: are not vectors of {width} numbers")
    vectors = [np.frombuffer(one.vector, "<f4") for one in said.canaries]
    return [one.text for one in said.canaries], np.array(vectors, np.float32)


def fill(
    into: Path,
    folder: Path,
    model: Model,
    tensors: Rounded,
    texts: tuple[str, ...],
    vectors: Vectors,
) -> None:
    """Write the folder of a quantised ``model``, whose files came from ``folder``.

    ``texts`` and their ``vectors``, (n, width) float32, prove a kernel. Raises OSError.
    """
    made = model.quantised
    if made is None:
        raise ValueError("nothing was quantised")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    wanted = {name for name in repository.chosen(names) if Path(name).name not in _DROPPED}
    wanted |= {path.name for pattern in _CARRIED for path in folder.glob(pattern)}
    root = model.weights[0].parent.relative_to(folder)
    wanted -= {(root / path.name).as_posix() for path in model.weights}
    for name in sorted(wanted):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, into / name)
    (into / root).mkdir(parents=True, exist_ok=True)
    write(into / root / "model.safetensors", tensors.stored())
    shown = tuple(
        _Canary(text, vector.astype("<f4").tobytes())
        for text, vector in zip(texts, vectors, strict=True)
    )
    document = _Document(
        format=FORMAT,
        scheme=SCHEME,
        group=made.group,
        kept=made.kept,
        source=made.source,
        loss=_Loss(made.loss.mean, made.loss.worst, made.loss.rank, made.loss.texts),
        emblem=made.emblem,
        query_prompt=model.prompts.query or "",
        document_prompt=model.prompts.document or "",
        languages=model.languages,
        licence=model.licence,
        shortening=model.shortening,
        canaries=shown,
    )
    (into / root / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(document)))


def _document(file: Path) -> _Document:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Document)
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{file}: is not what emblem quantize writes: {error}") from None
    except RecursionError:
        raise ModelError(f"{file}: is nested too deeply") from None
