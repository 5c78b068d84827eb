"""Emblem: one OpenAI-compatible embeddings endpoint that you run yourself."""

from importlib.metadata import version

__version__ = version("emblem")
