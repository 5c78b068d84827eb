"""Emblem in a program: ``load`` opens a model in this process, ``connect`` one of a server."""

from emblem.local.model import EmbeddingModel
from emblem.local.opening import connect, load

__all__ = ["EmbeddingModel", "connect", "load"]
