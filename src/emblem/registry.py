"""Names of parts that can be chosen, and where their code is. Nothing is imported until asked for.

A new backend, upstream or store is a new file and a row here.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from emblem.errors import ConfigError, MissingExtra


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a part is: ``module:Class``, and the extra it needs, "" where it needs none."""

    target: str
    extra: str = ""


BACKENDS: Mapping[str, Entry] = MappingProxyType(
    {
        "openvino": Entry("emblem.backends.openvino:OpenVINOBackend"),
        "torch": Entry("emblem.backends.torch:TorchBackend", "torch"),
        "graph": Entry("emblem.backends.graph:GraphBackend"),
        "static": Entry("emblem.backends.static:StaticBackend"),
        "fake": Entry("emblem.backends.fake:FakeBackend"),
    }
)


def backend(name: str) -> Any:
    """Give the class of a backend. Each has options of its own: see its file.

    Raises ConfigError for a name that is not known, MissingExtra where a package is not installed.
    """
    return resolve(BACKENDS, "backend", name)


def resolve(entries: Mapping[str, Entry], what: str, name: str) -> Any:
    """Import what a row names. ``what`` is the word for it in errors, such as ``backend``.

    Raises ConfigError for a name without a row, MissingExtra where a row with an extra lacks a
    package. A row without an extra that cannot be imported is a fault of ours and raises as it is.
    """
    entry = entries.get(name)
    if entry is None:
        near = get_close_matches(name, entries, n=3) or sorted(entries)
        raise ConfigError(f"there is no {what} '{name}'; did you mean {' or '.join(near)}?")
    module, _, attribute = entry.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if not entry.extra or (error.name or "").partition(".")[0] == "emblem":
            raise
        raise MissingExtra(f"the {what} '{name}'", entry.extra) from error
