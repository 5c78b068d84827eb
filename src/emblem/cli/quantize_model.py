"""What ``emblem quantize`` does: round a model's weights, measure what that costs, and keep it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from emblem.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.model import Encoder, Loss, Model, Quantised
    from emblem.models.quantised import Rounded
    from emblem.models.safetensors import Weights
    from emblem.types import Vectors

GROUP = 128
"""Numbers of a token that share a scale. Measured with MiniLM, interleaved, on 1 and 2 threads: 64 is
4…9 % slower, 384 10…19 % slower at 64 tokens a row and more, and the loss grows with it."""

CHOOSING = 48  # texts that layers are compared on, where some have to be kept


@dataclass(frozen=True, slots=True)
class Rounding:
    """A model rounded. ``chosen`` are layers that were kept as they were, and nobody asked for it.

    ``layers`` counts those that could have been rounded.
    """

    model: Model
    made: Quantised
    tensors: Rounded
    chosen: tuple[str, ...]
    layers: int

    @property
    def loss(self) -> Loss:
        """What it cost."""
        return self.made.loss


@dataclass(frozen=True, slots=True)
class Place:
    """What a model is to be called, and the folder of the one that it is made from."""

    name: str
    source: Path


class Quantiser:
    """Rounds one model, as often as it takes. ``said`` is told what is being done.

    Raises ModelError for a model that has nothing to round.
    """

    def __init__(
        self, model: Model, settings: Settings, texts: Sequence[str], said: Callable[[str], None]
    ) -> None:
        from emblem.backends import graphs
        from emblem.core.quantise import group_of
        from emblem.models.safetensors import Weights

        encoder = encoder_of(model)
        self._model = model
        self._settings = settings
        self._texts = texts
        self._said = said
        self._weights = Weights(model.weights)
        self.linears = graphs.build(encoder, self._weights).linears
        widths = [self._weights.shape(f"{name}.weight")[1] for name in self.linears]
        self._group = group_of(widths, GROUP)
        if not self._group:
            raise ModelError(
                f"{model.name}: its layers take {', '.join(map(str, sorted(set(widths))))} numbers, "
                "which cannot all be rounded in groups of a multiple of 16"
            )
        said(f"embedding {len(texts)} texts as they are")
        self._before = self._vectors(model, self._weights, texts)

    def keeping(self, patterns: Sequence[str]) -> tuple[str, ...]:
        """Give the layers that patterns mean. Raises ConfigError for one that means none."""
        kept: set[str] = set()
        for pattern in patterns:
            found = [
                name for name in self.linears if fnmatchcase(name, pattern) or _ends(name, pattern)
            ]
            if not found:
                raise ConfigError(
                    f"--keep {pattern}: no layer is called so; they are called {self.linears[0]} … "
                    f"{self.linears[-1]}, and * stands for any part of a name"
                )
            kept |= set(found)
        if len(kept) == len(self.linears):
            raise ConfigError(f"--keep {' '.join(patterns)}: nothing would be left to round")
        return tuple(name for name in self.linears if name in kept)

    def round(self, kept: tuple[str, ...]) -> Rounding:
        """Round all layers but some, and more of them are kept where the loss is too large."""
        from emblem.core.quantise import Bound

        bound = Bound()
        rounding = self._round(kept, ())
        if bound.holds(rounding.loss):
            return rounding
        worst = self._worst_first(kept)
        count = 1
        while count <= len(worst) // 2:
            rounding = self._round(kept, tuple(worst[:count]))
            if bound.holds(rounding.loss):
                break
            count *= 2
        return rounding

    def proof(self, rounding: Rounding, texts: Sequence[str]) -> Vectors:
        """Give the vectors of texts that prove a kernel: (n, width) float32."""
        return self._vectors(rounding.model, rounding.tensors, texts)

    def _round(self, kept: tuple[str, ...], chosen: tuple[str, ...]) -> Rounding:
        from emblem.core.quantise import loss_of
        from emblem.models.quantised import Rounded

        stay = {*kept, *chosen}
        rounded = tuple(name for name in self.linears if name not in stay)
        tensors = Rounded(self._weights, rounded)
        made = replace(self._made(), kept=tuple(name for name in self.linears if name in stay))
        self._said(f"embedding them with {len(rounded)} of {len(self.linears)} layers rounded")
        after = self._vectors(replace(self._model, quantised=made), tensors, self._texts)
        made = replace(made, loss=loss_of(self._before, after))
        model = replace(self._model, quantised=made)
        return Rounding(model, made, tensors, chosen, len(self.linears))

    def _made(self) -> Quantised:
        """Give what is known before anything was measured."""
        from emblem import __version__
        from emblem.model import Loss, Quantised
        from emblem.models.quantised import FILE

        file = self._model.weights[0].with_name(FILE)
        source = str(self._model.space)
        return Quantised(file, self._group, (), source, Loss(1, 1, 1, 0), __version__)

    def _worst_first(self, kept: tuple[str, ...]) -> list[str]:
        """Give the layers that are not kept, first the one whose rounding alone costs most."""
        from emblem.core.quantise import loss_of
        from emblem.models.quantised import Rounded

        step = max(1, len(self._texts) // CHOOSING)
        texts, before = self._texts[::step], self._before[::step]
        left = [name for name in self.linears if name not in kept]
        model = replace(self._model, quantised=self._made())
        costs = {}
        for number, name in enumerate(left, 1):
            self._said(f"looking for the layers that lose most: {number} of {len(left)}")
            after = self._vectors(model, Rounded(self._weights, (name,)), texts)
            costs[name] = 1 - loss_of(before, after).mean
        return sorted(left, key=lambda name: -costs[name])

    def _vectors(self, model: Model, weights: Weights | Rounded, texts: Sequence[str]) -> Vectors:
        from emblem.opening import embed_with

        return _unit(embed_with(model, weights, texts, self._settings))


def put(
    rounding: Rounding, proof: Vectors, texts: tuple[str, ...], place: Place, settings: Settings
) -> Path:
    """Write the model into the home folder, once what was written gives the same vectors.

    ``proof`` are the vectors of ``texts``, (n, width) float32. Raises ModelError.
    """
    from emblem.models import quantised
    from emblem.serving import open_library

    library = open_library(settings)
    before = library.in_folder(place.source)
    revision = before.manifest.revision if before else None

    def fill(into: Path) -> None:
        quantised.fill(into, place.source, rounding.model, rounding.tensors, texts, proof)
        _check(into, place.name, settings)

    return library.keep(place.name, revision, rounding.made.source, fill)


def _check(folder: Path, name: str, settings: Settings) -> None:
    """Open what was written as a server would, which compares it with its canaries."""
    import asyncio

    from emblem.opening import open_model

    embedder = open_model(folder, name, settings)
    asyncio.run(embedder.aclose())


def encoder_of(model: Model) -> Encoder:
    """Give what is computed here. Raises ModelError for a model that is run otherwise."""
    from emblem.model import Graph, Modules

    if model.quantised is not None:
        raise ModelError(
            f"{model.name}: has int8 weights already; quantise the model it was made from, "
            f"{model.quantised.source}"
        )
    if model.encoder is None:
        raise ModelError(f"{model.name}: is a table that is looked up; nothing is multiplied in it")
    if isinstance(model.encoder, Graph):
        raise ModelError(
            f"{model.name}: is run from {model.encoder.file.name}, and only what is built from "
            "safetensors (BERT, RoBERTa, XLM-R, ModernBERT, NomicBERT) can be quantised"
        )
    if isinstance(model.encoder, Modules):
        raise ModelError(
            f"{model.name}: is run by sentence-transformers, and only what is built here from "
            "safetensors (BERT, RoBERTa, XLM-R, ModernBERT, NomicBERT) can be quantised"
        )
    return model.encoder


def _ends(name: str, pattern: str) -> bool:
    """Tell whether a pattern means the whole last parts of a name."""
    return name.endswith(f".{pattern}")


def _unit(vectors: Vectors) -> Vectors:
    from emblem.core.pool import unit

    return unit(vectors)
