"""The local engine: an Embedder over one Backend."""

from emblem.engine.engine import Engine
from emblem.engine.queue import QueueLimits

__all__ = ["Engine", "QueueLimits"]
