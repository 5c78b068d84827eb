"""An embeddings server that answers wrongly on purpose, to test whatever relies on one.

It is a real HTTP/1.1 server over bare sockets, so that it can break the protocol too. What it should
answer is a function of the text (``truth``), so that whoever tests knows every right vector.
"""

from emblem.upstreams.misbehaving.faults import Fault, Notice
from emblem.upstreams.misbehaving.running import Running, running
from emblem.upstreams.misbehaving.script import Script, always, at_random, from_words, in_turn
from emblem.upstreams.misbehaving.server import Manners, Misbehaving
from emblem.upstreams.misbehaving.truth import Hashed, Truth, vector

__all__ = [
    "Fault",
    "Hashed",
    "Manners",
    "Misbehaving",
    "Notice",
    "Running",
    "Script",
    "Truth",
    "always",
    "at_random",
    "from_words",
    "in_turn",
    "running",
    "vector",
]
