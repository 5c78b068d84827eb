"""What a model folder says, as a ``Model``: the sentence-transformers layout, and static tables.

Nothing is run and nothing is guessed: whatever is not understood is a ModelError that names the
file and the field.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from emblem.errors import ModelError
from emblem.model import Graph, Model, Modules, Network, Tokenization
from emblem.models import (
    catalog,
    chain,
    encoder_layout,
    safetensors,
    static_layouts,
    static_table,
)
from emblem.models.parts import Parts, Wanted
from emblem.models.quantised import SCHEME
from emblem.offer import Prompts
from emblem.space import Space, recipe_digest
from emblem.types import Overflow

REVISION = 1
"""Raised with every change of Emblem's own arithmetic that moves a component by more than 1e-4."""


def read(
    folder: Path,
    name: str,
    *,
    overflow: Overflow = Overflow.MEAN,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    variant: str = "",
    backend: str = "",
) -> Model:
    """Understand a model folder in full, or raise ModelError.

    A prompt given here replaces the folder's own; "" takes it away. ``variant`` names one of its
    files of weights and ``backend`` what runs it, ``openvino`` or ``torch``; "" is what fits best:
    see ``choice.choose``. The weights are read once, for their digest.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    parts = _parts(folder, Wanted(Prompts(query_prompt, document_prompt), variant, backend))
    digest = safetensors.digest((*parts.weights, *parts.others))
    recipe = _recipe(parts)
    row = catalog.of_weights(digest)
    made = parts.made
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
        languages=row.languages if row else made.languages if made else (),
        licence=row.licence if row else made.licence if made else "",
        dense=parts.dense,
        shortening=made.shortening if made else True,
        quantised=made.quantised if made else None,
    )


def _parts(folder: Path, wanted: Wanted) -> Parts:
    """Read the folder by its layout."""
    if static_table.is_model2vec(folder):
        return static_layouts.model2vec(folder, wanted)
    if (folder / "modules.json").is_file():
        modules = chain.read(folder)
        if modules.kinds[:1] == [chain.STATIC]:
            return static_layouts.sentence_transformers(folder, modules, wanted)
        return encoder_layout.read(folder, modules, wanted)
    if (folder / "static.json").is_file():
        return static_layouts.described(folder, wanted)
    raise ModelError(
        f"{folder / 'modules.json'}: is missing, and without it there is no saying how this "
        "model pools its tokens; Emblem reads folders in the sentence-transformers layout, "
        "and those of Model2Vec"
    )


def _recipe(parts: Parts) -> str:
    """Digest everything but the weights that decides a vector's numbers.

    What only some models have is left out where it is absent, so that the others keep their digest.
    """
    recipe: dict[str, Any] = {
        "revision": REVISION,
        "tokenizer": safetensors.file_digest(parts.tokenization.file),
        "tokenization": _tokenization(parts.tokenization),
        "encoder": _network(parts.encoder),
        "pooling": asdict(parts.pooling),
        "normalise": parts.normalise,
        "prompts": asdict(parts.prompts),
    }
    if parts.dense:
        recipe["dense"] = [_without(asdict(layer), "file") for layer in parts.dense]
    if parts.documents:
        recipe["documents"] = [safetensors.file_digest(file) for file in parts.documents]
    if parts.made:
        quantised = parts.made.quantised
        recipe["quantised"] = {"scheme": SCHEME, "group": quantised.group, "kept": quantised.kept}
    return recipe_digest(recipe)


def _tokenization(own: Tokenization) -> dict[str, Any]:
    said = _without(asdict(replace(own, file=Path())), "file")
    return _without(said, "keep_unknown") if own.keep_unknown else said


def _network(network: Network | None) -> dict[str, Any] | None:
    if network is None:
        return None
    if isinstance(network, Graph | Modules):
        kind = type(network).__name__
        return {"kind": kind, "hidden": network.hidden, "longest": network.longest}
    return asdict(network)


def _without(said: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key != name}
