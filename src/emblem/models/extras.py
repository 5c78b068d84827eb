"""Which optional parts are installed. Nothing is imported to find out."""

from functools import cache
from importlib.util import find_spec


@cache
def torch_installed() -> bool:
    """Tell whether sentence-transformers can run a model here."""
    return all(find_spec(name) is not None for name in ("torch", "sentence_transformers"))
