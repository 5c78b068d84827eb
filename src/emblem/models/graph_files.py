"""Which files of a model are graphs, and what they are called: decided from names alone.

``onnx/model_quantized.onnx`` is the variant ``quantized``, and ``onnx/model.onnx`` is ``onnx``;
``openvino/openvino_model_qint8_quantized.xml`` is ``qint8_quantized``, and the plain one ``openvino``.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

ONNX, OPENVINO = "onnx", "openvino"

_NAMES = (  # the earlier, the better
    re.compile(r"(?:openvino/)?openvino_model(?:_(?P<variant>[\w.-]+))?\.xml"),
    re.compile(r"onnx/model(?:_(?P<variant>[\w.-]+))?\.onnx"),
    re.compile(r"model(?:_(?P<variant>[\w.-]+))?\.onnx"),
)


def variants(names: Iterable[str]) -> Mapping[str, str]:
    """Give the graph of every variant, out of the names of a model's files, the best one first.

    Where OpenVINO's format and ONNX have a variant of one name, it is OpenVINO's.
    """
    ordered = sorted(names)
    found: dict[str, str] = {}
    for pattern, plain in zip(_NAMES, (OPENVINO, ONNX, ONNX), strict=True):
        for name in ordered:
            if match := pattern.fullmatch(name):
                found.setdefault(match["variant"] or plain, name)
    return found


def usual(graphs: Mapping[str, str]) -> str | None:
    """Give the graph that is run where nobody names one: a plain one, or the only one there is."""
    for plain in (OPENVINO, ONNX):
        if plain in graphs:
            return graphs[plain]
    return next(iter(graphs.values())) if len(graphs) == 1 else None


def parts(graph: str, names: Iterable[str]) -> list[str]:
    """Give the files that a graph is made of, by the names that such files have, itself first."""
    path = PurePosixPath(graph)
    if path.suffix == ".xml":
        return [graph, str(path.with_suffix(".bin"))]
    beside = (name for name in names if PurePosixPath(name).parent == path.parent)
    data = re.compile(re.escape(path.name) + r"(_data(_\d+)?|\.data)")
    return [graph, *sorted(name for name in beside if data.fullmatch(PurePosixPath(name).name))]
