"""What a model folder says, as a ``Model``: the sentence-transformers layout, and static tables.

Nothing is run and nothing is guessed: whatever is not understood is a ModelError that names the
file and the field.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from emblem.errors import ModelError
from emblem.model import Encoder, Model, Pooling, PoolingMode, Prompts, Tokenization
from emblem.models import catalog, document, encoder, pooling, prompts, safetensors, tokenization
from emblem.models.document import Document
from emblem.models.safetensors import Weights
from emblem.space import Space, recipe_digest
from emblem.types import Overflow

REVISION = 1
"""Raised with every change of Emblem's own arithmetic that moves a component by more than 1e-4."""


@dataclass(frozen=True, slots=True)
class _Parts:
    tokenization: Tokenization
    weights: tuple[Path, ...]
    encoder: Encoder | None
    pooling: Pooling
    normalise: bool
    prompts: Prompts
    width: int


def read(
    folder: Path,
    name: str,
    *,
    overflow: Overflow = Overflow.MEAN,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
) -> Model:
    """Understand a model folder in full, or raise ModelError.

    A prompt given here replaces the folder's own; "" takes it away. The weights are read once, for
    their digest.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    own = Prompts(query_prompt, document_prompt)
    if (folder / "modules.json").is_file():
        parts = _sentence_transformers(folder, own)
    elif (folder / "static.json").is_file():
        parts = _static(folder, own)
    else:
        raise ModelError(
            f"{folder / 'modules.json'}: is missing, and without it there is no saying how this "
            "model pools its tokens; Emblem reads folders in the sentence-transformers layout"
        )
    digest = safetensors.digest(parts.weights)
    recipe = _recipe(parts)
    row = catalog.of_weights(digest)
    return Model(
        name=name,
        space=Space(
            name=name,
            weights=digest,
            recipe=recipe,
            width=parts.width,
            normalised=parts.normalise,
            # Where any length is read nothing overflows, whatever the rule.
            overflow=overflow if parts.tokenization.max_length else Overflow.MEAN,
            known_recipe=row is not None and row.known_recipe == recipe,
        ),
        tokenization=parts.tokenization,
        weights=parts.weights,
        encoder=parts.encoder,
        pooling=parts.pooling,
        normalise=parts.normalise,
        prompts=parts.prompts,
        languages=row.languages if row else (),
        licence=row.licence if row else "",
    )


def _sentence_transformers(folder: Path, own: Prompts) -> _Parts:
    steps = document.read_list(folder / "modules.json")
    names = [_module(step) for step in steps]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ModelError(
            f"{folder / 'modules.json'}: type: the modules are {', '.join(names) or 'none'}; "
            "Transformer, Pooling and then perhaps Normalize are understood"
        )
    folders = [_inside(folder, step) for step in steps]
    root = folders[0]
    if (root / "adapter_config.json").exists():
        raise ModelError(f"{root / 'adapter_config.json'}: adapters are not understood")
    config = document.read(root / "config.json")
    numbers = encoder.read(config)
    pool = pooling.read(document.read(folders[1] / "config.json"), numbers.hidden)
    if len(folders) > 2:
        _check_normalize(document.read_if_there(folders[2] / "config.json"))
    return _Parts(
        tokenization=tokenization.read(root, config, numbers),
        weights=_weights(root),
        encoder=numbers,
        pooling=pool,
        normalise=len(folders) > 2,
        prompts=prompts.read(
            document.read_if_there(folder / "config_sentence_transformers.json"), own
        ),
        width=numbers.hidden * len(pool.modes),
    )


def _static(folder: Path, own: Prompts) -> _Parts:
    """Read a table with one row per token, as the catalogue lays it out in ``static.json``."""
    config = document.read(folder / "static.json")
    table = config.need("table", str)
    special_tokens = config.need("special_tokens", bool)
    config.only("pooling", "mean")
    normalise = config.need("normalise", bool)
    config.no_more()
    files = _weights(folder)
    weights = Weights(files)
    if table not in weights or len(weights.shape(table)) != 2:
        raise config.error("table", f"{files[0].name} has no table {table} of two dimensions")
    rows, width = weights.shape(table)
    return _Parts(
        tokenization=Tokenization(
            file=tokenization.file(folder, rows),
            max_length=None,
            strip=False,
            special_tokens=special_tokens,
        ),
        weights=files,
        encoder=None,
        pooling=Pooling((PoolingMode.MEAN,)),
        normalise=normalise,
        prompts=Prompts(own.query or None, own.document or None),
        width=width,
    )


def _module(step: Document) -> str:
    """Give the class of a module; the package it is in differs between versions."""
    kind: str = step.need("type", str)
    step.get("idx", int)
    step.get("name", str)
    step.get("path", str)
    step.only("kwargs", {})
    step.no_more()
    package, _, name = kind.rpartition(".")
    if package.partition(".")[0] != "sentence_transformers":
        raise step.error("type", f"{kind} is code of its own, which Emblem never runs")
    return name


def _inside(folder: Path, step: Document) -> Path:
    path = folder / (step.get("path", str) or "")
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        path.exists()  # raises for a name that is too long
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise step.error("path", f"cannot be a path: {why}") from None
    if not inside:
        raise step.error("path", "leads out of the model's folder")
    return path


def _check_normalize(config: Document) -> None:
    config.only("module_input_name", "sentence_embedding")
    config.only("module_output_name", "sentence_embedding")
    config.no_more()


def _weights(folder: Path) -> tuple[Path, ...]:
    """Give the safetensors files of a folder, in the order of their names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return (single,)
    if not index.is_file():
        others = sorted(
            file.name for file in folder.glob("*") if file.suffix in (".bin", ".pt", ".h5", ".onnx")
        )
        only = f"; only {', '.join(others)}, which Emblem does not read" if others else ""
        raise ModelError(f"{folder}: no model.safetensors{only}")
    shards = document.read(index).inner("weight_map")
    if shards is None or not shards.fields:
        raise ModelError(f"{index}: weight_map: is missing or empty")
    names = {shards.need(tensor, str) for tensor in shards.fields}
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ModelError(f"{index}: weight_map: {name} is not a file of this folder")
    return tuple(folder / name for name in sorted(names))


def _recipe(parts: _Parts) -> str:
    """Digest everything but the weights that decides a vector's numbers."""
    text = replace(parts.tokenization, file=Path())
    return recipe_digest(
        {
            "revision": REVISION,
            "tokenizer": safetensors.file_digest(parts.tokenization.file),
            "tokenization": {key: value for key, value in asdict(text).items() if key != "file"},
            "encoder": asdict(parts.encoder) if parts.encoder else None,
            "pooling": asdict(parts.pooling),
            "normalise": parts.normalise,
            "prompts": asdict(parts.prompts),
        }
    )
