"""Emblem: one OpenAI-compatible embeddings endpoint that you run yourself.

In a program: ``emblem.load`` opens a model in this process, ``emblem.connect`` one of a server.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from emblem import errors
from emblem.errors import EmblemError

if TYPE_CHECKING:
    from emblem.local import EmbeddingModel, connect, load

__version__ = version("emblem")
__all__ = ["EmbeddingModel", "EmblemError", "__version__", "connect", "errors", "load"]

# Imported when first asked for, so that `emblem --help` need not wait for it.
_LOCAL = ("EmbeddingModel", "connect", "load")


def __getattr__(name: str) -> Any:
    """Import what embeds, once somebody wants to embed."""
    if name in _LOCAL:
        from emblem import local

        found = getattr(local, name)
        globals()[name] = found
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names, those not yet imported too."""
    return sorted({*globals(), *__all__})
