"""The folders of static models, as parts: three layouts of a table with a row for each token."""

from pathlib import Path

from emblem.errors import ModelError
from emblem.model import Dense, Pooling, Tokenization
from emblem.models import chain, choice, dense, document, prompts, static_table, weight_files
from emblem.models.chain import Chain
from emblem.models.parts import Parts, Wanted
from emblem.offer import Prompts


def described(folder: Path, wanted: Wanted) -> Parts:
    """Read a table as the catalogue lays it out in ``static.json``."""
    _refuse_choices(folder, wanted)
    config = document.read(folder / "static.json")
    table = config.need("table", str)
    special_tokens = config.need("special_tokens", bool)
    config.only("pooling", "mean")
    normalise = config.need("normalise", bool)
    config.no_more()
    files = weight_files.of(folder)
    size = static_table.size(files)
    if table != size.table:
        raise config.error("table", f"{files[0].name} has no table {table}, but {size.table}")
    return _parts(
        files,
        static_table.reading(folder, size.ids, special_tokens=special_tokens),
        size.width,
        normalise=normalise,
        prompts=_own(wanted),
    )


def model2vec(folder: Path, wanted: Wanted) -> Parts:
    """Read what the library model2vec writes. As it does, leave out what its tokenizer lacks."""
    _refuse_choices(folder, wanted)
    normalise = static_table.model2vec(document.read(folder / "config.json"))
    if (folder / "modules.json").is_file():
        modules = chain.read(folder)
        if modules.kinds not in ([chain.STATIC], [chain.STATIC, chain.NORMALIZE]):
            raise modules.error("config.json says model2vec: StaticEmbedding, and then Normalize")
    files = weight_files.of(folder)
    size = static_table.size(files)
    return _parts(
        files,
        static_table.reading(folder, size.ids, keep_unknown=False),
        size.width,
        normalise=normalise,
        prompts=_own(wanted),
    )


def sentence_transformers(folder: Path, modules: Chain, wanted: Wanted) -> Parts:
    """Read modules of which the first is StaticEmbedding."""
    _refuse_choices(folder, wanted)
    if why := chain.beyond(modules):
        raise ModelError(why)
    chain.check_normalize(modules)
    root = modules.modules[0].folder
    files = weight_files.of(root)
    size = static_table.size(files)
    layers = dense.read_all([module.folder for module in modules.of(chain.DENSE)], size.width)
    settings = document.read_if_there(folder / "config_sentence_transformers.json")
    return _parts(
        files,
        static_table.reading(root, size.ids),
        layers[-1].outputs if layers else size.width,
        normalise=modules.normalises,
        prompts=prompts.read(settings, wanted.prompts),
        layers=layers,
    )


def _parts(
    files: tuple[Path, ...],
    tokenization: Tokenization,
    width: int,
    *,
    normalise: bool,
    prompts: Prompts,
    layers: tuple[Dense, ...] = (),
) -> Parts:
    return Parts(
        tokenization=tokenization,
        weights=files,
        encoder=None,
        pooling=Pooling(),
        normalise=normalise,
        prompts=prompts,
        width=width,
        dense=layers,
        others=tuple(layer.file for layer in layers),
    )


def _own(wanted: Wanted) -> Prompts:
    return Prompts(wanted.prompts.query or None, wanted.prompts.document or None)


def _refuse_choices(folder: Path, wanted: Wanted) -> None:
    """A static model has one file of weights and one backend."""
    if wanted.variant not in ("", choice.SAFETENSORS):
        raise ModelError(
            f"{folder}: there is no variant {wanted.variant} of a static model; there is: "
            f"{choice.SAFETENSORS}"
        )
    if wanted.backend:
        raise ModelError(
            f'{folder}: is a static model, which is a table and has no backend "{wanted.backend}"; '
            "leave that out"
        )
