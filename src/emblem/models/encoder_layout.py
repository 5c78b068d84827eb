"""A sentence-transformers folder whose first module is a Transformer, as parts."""

from dataclasses import replace
from pathlib import Path

from emblem.errors import ModelError, UnknownFamily
from emblem.model import Graph, Modules, Network, Tokenization
from emblem.models import (
    chain,
    choice,
    dense,
    document,
    encoder,
    extras,
    graph_files,
    onnx,
    outline,
    pooling,
    prompts,
    quantised,
    tokenization,
    weight_files,
)
from emblem.models.chain import Chain
from emblem.models.choice import Engine
from emblem.models.document import Document
from emblem.models.parts import Parts, Wanted
from emblem.models.quantised import Made
from emblem.models.reference import INT8
from emblem.offer import Prompts

_SETTINGS = "config_sentence_transformers.json"


def read(folder: Path, modules: Chain, wanted: Wanted) -> Parts:
    """Understand a folder, by whatever runs it best. Raises ModelError."""
    if modules.kinds[:1] != [chain.TRANSFORMER]:
        raise modules.error("Transformer or StaticEmbedding is to be the first")
    root = modules.modules[0].folder
    if (root / "adapter_config.json").exists():
        raise ModelError(f"{root / 'adapter_config.json'}: adapters are not understood")
    config = document.read(root / "config.json")
    if (made := quantised.read(root)) is not None:
        return _quantised(folder, modules, config, made, wanted)
    found = _found(folder, modules, config, wanted)
    chosen = choice.choose(found, wanted.variant, wanted.backend)
    said = prompts.read(document.read_if_there(folder / _SETTINGS), wanted.prompts)
    if chosen.engine is Engine.LIBRARY:
        return _by_library(folder, modules, config, said)
    chain.check_normalize(modules)
    if chosen.engine is Engine.GRAPH:
        limit = outline.longest(config)
        reading = tokenization.read(root, config, limit)
        longest = limit or reading.max_length or 0
        file = folder / chosen.graph
        network: Network = Graph(file, outline.hidden(config), longest)
        return _parts(modules, network, graph_weights(file), reading, said)
    numbers = encoder.read(config)
    reading = tokenization.read(root, config, numbers.longest)
    return _parts(modules, numbers, weight_files.of(root), reading, said)


def _quantised(folder: Path, modules: Chain, config: Document, made: Made, wanted: Wanted) -> Parts:
    """Understand what ``emblem quantize`` made."""
    file = made.quantised.file
    if wanted.backend == "torch":
        raise ModelError(f'{file}: is about a graph of ours, which backend = "torch" rules out')
    if wanted.variant not in ("", INT8):
        raise ModelError(f"{folder}: there is no variant {wanted.variant}; there is: {INT8}")
    chain.check_normalize(modules)
    own = Prompts(
        made.prompts.query if wanted.prompts.query is None else wanted.prompts.query,
        made.prompts.document if wanted.prompts.document is None else wanted.prompts.document,
    )
    said = prompts.read(document.read_if_there(folder / _SETTINGS), own)
    numbers = encoder.read(config)
    reading = tokenization.read(file.parent, config, numbers.longest)
    weights = weight_files.of(file.parent)
    quantised.check(made.quantised, weights)
    return replace(_parts(modules, numbers, weights, reading, said), made=made)


def graph_weights(file: Path) -> tuple[Path, ...]:
    """Give all files that a graph's numbers are in, itself first. Raises ModelError."""
    if file.suffix == ".onnx":
        return (file, *onnx.external_files(file))
    numbers = file.with_suffix(".bin")
    if not numbers.is_file():
        raise ModelError(f"{numbers}: is missing, and the numbers of {file.name} are in it")
    return (file, numbers)


def _found(folder: Path, modules: Chain, config: Document, wanted: Wanted) -> choice.Found:
    """Look at what could run the model. Raises ModelError for an encoder of ours that is wrong."""
    root = modules.modules[0].folder
    unknown = ""
    if wanted.backend != "torch" and wanted.variant in ("", choice.SAFETENSORS):
        try:
            encoder.read(config)
        except UnknownFamily as error:
            unknown = str(error)
    names = (path for path in folder.rglob("*") if path.is_file())
    graphs = graph_files.variants(path.relative_to(folder).as_posix() for path in names)
    return choice.Found(
        where=str(folder),
        unknown=unknown,
        beyond=chain.beyond(modules),
        # Where there is nothing at all, what reads safetensors says it best.
        safetensors=weight_files.any_in(root) or not graphs,
        graphs=graphs,
        library=extras.torch_installed(),
    )


def _parts(
    modules: Chain,
    network: Network,
    weights: tuple[Path, ...],
    reading: Tokenization,
    said: Prompts,
) -> Parts:
    """Understand what stands behind an encoder that is run here."""
    pool = pooling.read(document.read(modules.of(chain.POOLING)[0].config), network.hidden)
    width = network.hidden * len(pool.modes)
    layers = dense.read_all([module.folder for module in modules.of(chain.DENSE)], width)
    return Parts(
        tokenization=reading,
        weights=weights,
        encoder=network,
        pooling=pool,
        normalise=modules.normalises,
        prompts=said,
        width=layers[-1].outputs if layers else width,
        dense=layers,
        others=tuple(layer.file for layer in layers),
    )


def _by_library(folder: Path, modules: Chain, config: Document, said: Prompts) -> Parts:
    """Understand as much of a folder as is needed to have sentence-transformers run it."""
    chain.known_to_library(modules)
    root = modules.modules[0].folder
    limit = outline.longest(config)
    reading = tokenization.read(root, config, limit, compared=True)
    hidden = outline.hidden(config)
    place = next(n for n, one in enumerate(modules.modules) if one.kind == chain.POOLING)
    before = chain.width(modules.modules[1:place], hidden)
    behind = [module for module in modules.modules[1:] if module.kind in chain.WITH_WEIGHTS]
    documents = (
        modules.file,
        root / "config.json",
        *root.glob("sentence_*_config.json"),
        *(module.config for module in modules.modules[1:] if module.config.is_file()),
    )
    return Parts(
        tokenization=reading,
        weights=weight_files.of(root),
        encoder=Modules(folder, hidden, limit or reading.max_length or 0),
        pooling=pooling.read(document.read(modules.modules[place].config), before),
        normalise=modules.normalises,
        prompts=said,
        width=chain.width(modules.modules[place:], before),
        others=tuple(dense.weights(module.folder) for module in behind),
        documents=tuple(sorted(documents)),
    )
