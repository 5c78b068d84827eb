"""Which files of a hub repository a model is made of: those that describe it, and its weights.

The names of all files and a few small ones that describe the model decide; nothing large is read.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from emblem.errors import ModelError, UnknownFamily
from emblem.models import chain, choice, document, encoder, extras, graph_files, static_table
from emblem.models.chain import Chain
from emblem.models.row import Repository

# The files at a repository's root and in its module folders ("1_Pooling") that a model is made of.
_FOLDER = re.compile(r"\d+_\w+")
_TEXT_FILES = {"vocab.txt", "merges.txt"}
_SENTENCEPIECE = {".model", ".spm"}
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_DECIDING = ("modules.json", "config.json")


def chosen(names: Sequence[str]) -> list[str]:
    """Give the files that a model in safetensors is made of, out of all that a repository has."""
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


def deciding(repository: str, names: Sequence[str]) -> list[str]:
    """Give the small files that have to be there before ``needed`` can be asked.

    Raises ModelError for a repository without weights of any kind that may be loaded.
    """
    if not graph_files.variants(names):
        check_loadable(repository, names)
    return [name for name in chosen(names) if PurePosixPath(name).name in _DECIDING]


def needed(names: Sequence[str], folder: Path, repository: Repository) -> list[str]:
    """Give the files that a repository's model is made of, as it will be run: no weights but those.

    ``folder`` has the ``deciding`` ones. Raises ModelError where nothing that may be loaded is
    there, or not the variant.
    """
    try:
        graph = _graph(names, folder, repository.variant)
    except ModelError as error:
        raise ModelError(str(error).replace(str(folder), repository.id)) from None
    if not graph:
        check_loadable(repository.id, names)
        return chosen(names)
    parts = graph_files.parts(graph, names)
    if missing := [part for part in parts if part not in names]:
        raise ModelError(f"{repository.id}: {graph} is there, and not {missing[0]}")
    encoders = _encoder_weights(names, folder, chain.read(folder))
    return sorted([name for name in chosen(names) if name not in encoders] + parts)


def is_ours(folder: Path) -> bool:
    """Tell whether a described model is computed here from safetensors, wherever it comes from."""
    modules = _modules(folder)
    return modules is None or not (_unknown(modules) or chain.beyond(modules))


def check_loadable(repository: str, names: Sequence[str]) -> None:
    """Refuse a repository without weights that may be loaded, before downloading the rest."""
    if any(_WEIGHTS.fullmatch(PurePosixPath(name).name) for name in chosen(names)):
        return
    others = [name for name in names if name.endswith((".bin", ".pt", ".h5", ".onnx", ".ckpt"))]
    only = f"; only {', '.join(others[:3])}, which Emblem does not read" if others else ""
    raise ModelError(f"{repository}: no model.safetensors{only}")


def _graph(names: Sequence[str], folder: Path, variant: str) -> str:
    """Give the graph that will be run; "" where it is safetensors."""
    modules = _modules(folder)
    if modules is not None:
        wanted = choice.choose(_found(names, folder, modules), variant)
        _check_dense(names, folder, modules)
        return wanted.graph
    if variant not in ("", choice.SAFETENSORS):
        raise ModelError(f"{folder}: there is no variant {variant}; there is: {choice.SAFETENSORS}")
    return ""


def _modules(folder: Path) -> Chain | None:
    """Read the modules of a model with an encoder; None where it has none."""
    if static_table.is_model2vec(folder) or not (folder / "modules.json").is_file():
        return None
    modules = chain.read(folder)
    return modules if modules.kinds[:1] == [chain.TRANSFORMER] else None


def _found(names: Sequence[str], folder: Path, modules: Chain) -> choice.Found:
    graphs = graph_files.variants(names)
    return choice.Found(
        where=str(folder),
        unknown=_unknown(modules),
        beyond=chain.beyond(modules),
        # Where there is nothing at all, ``check_loadable`` says it best.
        safetensors=bool(_encoder_weights(names, folder, modules)) or not graphs,
        graphs=graphs,
        library=extras.torch_installed(),
    )


def _unknown(modules: Chain) -> str:
    """Say why an encoder is not built here; "" where it is, or would be if nothing else were wrong."""
    try:
        encoder.read(document.read(modules.modules[0].config))
    except UnknownFamily as error:
        return str(error)
    except ModelError:
        return ""  # is said when the model is read in full, or not at all where torch runs it
    return ""


def _encoder_weights(names: Sequence[str], folder: Path, modules: Chain) -> list[str]:
    root = modules.modules[0].folder.relative_to(folder)
    paths = ((name, PurePosixPath(name)) for name in chosen(names))
    return [
        name
        for name, path in paths
        if _WEIGHTS.fullmatch(path.name) and path.parent == PurePosixPath(root.as_posix())
    ]


def _check_dense(names: Sequence[str], folder: Path, modules: Chain) -> None:
    """Refuse a layer without weights, before downloading those of the encoder."""
    for module in modules.of(chain.DENSE):
        if (module.folder / "model.safetensors").relative_to(folder).as_posix() not in names:
            raise ModelError(
                f"{module.folder}: no model.safetensors, and a layer needs its weights"
            )
