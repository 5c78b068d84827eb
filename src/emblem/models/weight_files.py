"""Which files of a folder are its weights, in safetensors."""

from pathlib import Path

from emblem.errors import ModelError
from emblem.models import document

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_OTHERS = (".bin", ".pt", ".h5", ".onnx")


def any_in(folder: Path) -> bool:
    """Tell whether a folder has weights in safetensors."""
    return (folder / _SINGLE).is_file() or (folder / _INDEX).is_file()


def of(folder: Path) -> tuple[Path, ...]:
    """Give the safetensors files of a folder, in the order of their names, or raise ModelError."""
    single, index = folder / _SINGLE, folder / _INDEX
    if single.is_file():
        return (single,)
    if not index.is_file():
        others = sorted(file.name for file in folder.glob("*") if file.suffix in _OTHERS)
        only = f"; only {', '.join(others)}, which Emblem does not read" if others else ""
        raise ModelError(f"{folder}: no {_SINGLE}{only}")
    shards = document.read(index).inner("weight_map")
    if shards is None or not shards.fields:
        raise ModelError(f"{index}: weight_map: is missing or empty")
    names = {shards.need(tensor, str) for tensor in shards.fields}
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ModelError(f"{index}: weight_map: {name} is not a file of this folder")
    return tuple(folder / name for name in sorted(names))
