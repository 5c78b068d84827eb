"""Opens a model: its tokenizer, its backend and its engine, or somebody else's server. Whoever opens closes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from emblem import registry
from emblem.backends.cpus import available_cpus, streams_for
from emblem.config import Settings
from emblem.core.head import Layer
from emblem.core.quantise import proven
from emblem.core.tokenize import TextTokenizer
from emblem.engine import Engine, QueueLimits
from emblem.engine.alone import embed_alone
from emblem.errors import ConfigError, ModelError
from emblem.model import Graph, Model, Modules, Quantised, Tokenization
from emblem.models import dense, layout, quantised, static_table, tokenizer
from emblem.models.safetensors import Weights
from emblem.offer import Prompts
from emblem.ports import Backend, Embedder
from emblem.types import Kind, Vectors
from emblem.wrappers.checked import Checked


def open_model(folder: Path, name: str, settings: Settings) -> Embedder:
    """Open a model folder: tokenizer, backend, engine, check. Raises ModelError."""
    return open_engine(layout.read(folder, name, overflow=settings.overflow), settings)


def open_engine(model: Model, settings: Settings, limits: QueueLimits | None = None) -> Embedder:
    """Open a model that is understood already. Raises ModelError.

    Engines that are opened with the same limits share the bytes that may wait.
    """
    limits = limits or queue_limits(settings, settings.max_queue_bytes)
    reader = open_tokenizer(model.tokenization, model.prompts, model.name)
    layers = tuple(dense.load(layer) for layer in model.dense)
    backend = _backend(model, reader, settings)
    try:
        if model.quantised is not None:
            _prove(model, model.quantised, reader, backend, layers)
        return Checked(Engine(model, reader, backend, limits, layers=layers))
    except BaseException:
        backend.close()
        raise


def embed_with(
    model: Model,
    weights: Mapping[str, npt.NDArray[Any]],
    texts: Sequence[str],
    settings: Settings,
) -> Vectors:
    """Embed texts one by one with other tensors than a model's own, without a prompt.

    For an encoder that is built here. Gives (n, width) float32. Raises ModelError.
    """
    reader = open_tokenizer(model.tokenization, model.prompts, model.name)
    layers = tuple(dense.load(layer) for layer in model.dense)
    made = model.quantised
    backend: Backend = registry.backend("openvino")(
        model.encoder,
        weights,
        threads=settings.threads or available_cpus(),
        group=made.group if made else 0,
    )
    try:
        return embed_alone(model, reader, backend, layers, texts)
    finally:
        backend.close()


def queue_limits(settings: Settings, max_bytes: int) -> QueueLimits:
    """Say how much may wait before an engine, in seconds and in bytes."""
    return QueueLimits(settings.interactive_queue_s, settings.bulk_queue_s, max_bytes)


async def open_upstream(
    base_url: str, model: str, key: str | None = None, *, timeout_s: float = 60.0
) -> Embedder:
    """Open a model of somebody else's server, and find its space out with a first request.

    ``base_url`` ends in ``/v1`` as a rule. Raises ConfigError, or what ``Embedder.embed`` raises.
    """
    from emblem.upstreams.opening import connect, provider_at

    return Checked(await connect(provider_at(base_url, key, timeout_s=timeout_s), model))


def open_tokenizer(own: Tokenization, prompts: Prompts, name: str) -> TextTokenizer:
    """Open the tokenizer of a model of that name. Raises ModelError."""
    reader = TextTokenizer(
        tokenizer.load(own),
        max_length=own.max_length,
        strip=own.strip,
        lowercase=own.lowercase,
        special_tokens=own.special_tokens,
        keep_unknown=own.keep_unknown,
    )
    for kind in Kind:
        prompt = prompts.of(kind)
        if own.max_length and reader.frame.length(reader.read([prompt])[0]) >= own.max_length:
            raise ModelError(f"{name}: its {kind} prompt leaves no room for a text")
    return reader


def _backend(model: Model, tokenizer: TextTokenizer, settings: Settings) -> Backend:
    network = model.encoder
    if network is None:
        table = static_table.load(model.weights)
        static: Backend = registry.backend("static")(
            table.table, rows=table.rows, weights=table.weights
        )
        return static
    threads = settings.threads or available_cpus()
    if isinstance(network, Modules):
        whole: Backend = registry.backend("torch")(
            model, tokenizer, device=settings.device, threads=threads
        )
        return whole
    streams = settings.streams or streams_for(threads)
    if streams > threads:
        raise ConfigError(f"streams = {streams} is more than the {threads} threads there are")
    if isinstance(network, Graph):
        graph: Backend = registry.backend("graph")(network, threads=threads, streams=streams)
        return graph
    made = model.quantised
    try:
        encoder: Backend = registry.backend("openvino")(
            network,
            Weights(model.weights, eight_bits=made is not None),
            threads=threads,
            streams=streams,
            group=made.group if made else 0,
        )
    except ModelError as error:
        raise ModelError(f"{model.weights[0].parent}: {error}") from None
    return encoder


def _prove(
    model: Model,
    made: Quantised,
    reader: TextTokenizer,
    backend: Backend,
    layers: tuple[Layer, ...],
) -> None:
    """Raise ModelError where this CPU gives other vectors than those that came with a model."""
    texts, stored = quantised.canaries(made, model.width)
    now = embed_alone(model, reader, backend, layers, texts)
    if not proven(made.loss, stored, now):
        raise ModelError(
            f"{made.file}: canaries: the vectors of {len(texts)} texts are not those that the model "
            "was quantised with, so its numbers or this machine's arithmetic are wrong; quantise "
            "it again, or serve the model that it was made from"
        )
