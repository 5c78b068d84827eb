"""Which files of a hub repository a model is made of: decided from their names alone."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from emblem.errors import ModelError

# The files at a repository's root and in its module folders ("1_Pooling") that a model is made of.
_FOLDER = re.compile(r"\d+_\w+")
_TEXT_FILES = {"vocab.txt", "merges.txt"}
_SENTENCEPIECE = {".model", ".spm"}
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")


def chosen(names: Sequence[str]) -> list[str]:
    """Give the files that a model is made of, out of all that a repository has."""
    found = []
    for name in sorted(names):
        path = PurePosixPath(name)
        if len(path.parts) > 2 or (len(path.parts) == 2 and not _FOLDER.fullmatch(path.parts[0])):
            continue
        if path.name.startswith(".") or "\\" in name:
            continue
        if path.suffix == ".safetensors":
            fits = bool(_WEIGHTS.fullmatch(path.name))
        else:
            fits = path.suffix in {".json", *_SENTENCEPIECE} or path.name in _TEXT_FILES
        if fits:
            found.append(name)
    if "model.safetensors" in found:
        found = [name for name in found if not re.fullmatch(r"model-.+\.safetensors", name)]
    return found


def check_loadable(repository: str, names: Sequence[str]) -> None:
    """Refuse a repository without weights that may be loaded, before downloading the rest."""
    if any(_WEIGHTS.fullmatch(PurePosixPath(name).name) for name in chosen(names)):
        return
    others = [name for name in names if name.endswith((".bin", ".pt", ".h5", ".onnx", ".ckpt"))]
    only = f"; only {', '.join(others[:3])}, which Emblem does not read" if others else ""
    raise ModelError(f"{repository}: no model.safetensors{only}")
