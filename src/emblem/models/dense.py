"""The Dense modules of sentence-transformers: a matrix, perhaps a bias, and a bend."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emblem.core.head import Layer
from emblem.errors import ModelError
from emblem.model import Dense
from emblem.models import document
from emblem.models.document import Document
from emblem.models.safetensors import Weights

_ACTIVATIONS = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Tanh": "tanh",
    "torch.nn.modules.activation.GELU": "gelu",
    "torch.nn.modules.activation.ReLU": "relu",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
}
_USUAL = "torch.nn.modules.activation.Tanh"  # of a config that names none


def beyond(config: Document) -> str:
    """Say why a layer is not computed here, though sentence-transformers can; "" where it is.

    Raises ModelError for an activation that nobody has.
    """
    bend = _bend(config)
    if not bend.startswith("torch.nn."):
        raise config.error("activation_function", f"is {bend}, which is none of torch.nn")
    if bend not in _ACTIVATIONS:
        known = ", ".join(name.rpartition(".")[2] for name in _ACTIVATIONS)
        why = f"is {bend}; {known} are computed here; for others: pip install 'emblem[torch]'"
        return str(config.error("activation_function", why))
    if config.get("use_residual", bool):
        why = "is true, which is not computed here; for that: pip install 'emblem[torch]'"
        return str(config.error("use_residual", why))
    return ""


def widths(config: Document, inputs: int) -> tuple[int, int]:
    """Give the numbers that a layer takes and gives. Raises ModelError where it gets another."""
    taken = config.positive("in_features")
    if taken != inputs:
        raise config.error("in_features", f"is {taken}, and what comes before it gives {inputs}")
    return taken, config.positive("out_features")


def read_all(folders: Sequence[Path], inputs: int) -> tuple[Dense, ...]:
    """Understand layers that follow one another, or raise ModelError.

    ``beyond`` has nothing to say of any.
    """
    layers: list[Dense] = []
    for folder in folders:
        width = layers[-1].outputs if layers else inputs
        layers.append(read(folder, document.read(folder / "config.json"), width))
    return tuple(layers)


def read(folder: Path, config: Document, inputs: int) -> Dense:
    """Understand a layer of which ``beyond`` says nothing, or raise ModelError."""
    taken, given = widths(config, inputs)
    bias = config.get("bias", bool) is not False
    activation = _ACTIVATIONS[_bend(config)]
    config.only("module_input_name", "sentence_embedding")
    config.only("module_output_name", "sentence_embedding")
    config.only("use_residual", False)
    config.no_more()
    layer = Dense(weights(folder), taken, given, bias, activation)
    _check(layer, Weights([layer.file]))
    return layer


def weights(folder: Path) -> Path:
    """Give a module's file of weights. Raises ModelError where it has none that is read."""
    file = folder / "model.safetensors"
    if file.is_file():
        return file
    pickle = folder / "pytorch_model.bin"
    only = f"; only {pickle.name}, which Emblem does not read" if pickle.is_file() else ""
    raise ModelError(f"{folder}: no model.safetensors{only}")


def load(layer: Dense) -> Layer:
    """Read a layer's numbers. Raises ModelError, naming the tensor, where they can't be right."""
    tensors = Weights([layer.file])
    _check(layer, tensors)
    bias = _finite(layer.file, tensors, "linear.bias") if layer.bias else None
    return Layer(_finite(layer.file, tensors, "linear.weight"), bias, layer.activation)


def _bend(config: Document) -> str:
    return config.get("activation_function", str) or _USUAL


def _check(layer: Dense, tensors: Weights) -> None:
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (layer.outputs, layer.inputs)}
    if layer.bias:
        shapes["linear.bias"] = (layer.outputs,)
    for name, shape in shapes.items():
        if name not in tensors:
            raise ModelError(f"{layer.file}: has no tensor {name}")
        if tensors.shape(name) != shape:
            raise ModelError(f"{layer.file}: {name} is {tensors.shape(name)}, not {shape}")
    if more := sorted(set(tensors) - set(shapes)):
        raise ModelError(f"{layer.file}: the tensor {more[0]} is none that this layer has")


def _finite(file: Path, tensors: Weights, name: str) -> npt.NDArray[np.float32]:
    array = tensors[name]
    if not np.isfinite(array).all():
        raise ModelError(f"{file}: {name} holds numbers that are not finite")
    return array
