"""A model folder, understood, but for the name that it gets. What each layout's reader gives."""

from dataclasses import dataclass
from pathlib import Path

from emblem.model import Dense, Network, Pooling, Tokenization
from emblem.models.quantised import Made
from emblem.offer import Prompts


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody decided about a model. A prompt that is None, or a "", leaves it to the folder.

    ``variant`` names one of its files of weights, ``backend`` what runs it.
    """

    prompts: Prompts
    variant: str = ""
    backend: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """``weights`` are the encoder's files and ``others`` those of the modules behind it.

    ``documents`` are files that decide the numbers too, where the parts do not say it all. ``made``
    is what a folder says that was quantised here.
    """

    tokenization: Tokenization
    weights: tuple[Path, ...]
    encoder: Network | None
    pooling: Pooling
    normalise: bool
    prompts: Prompts
    width: int
    dense: tuple[Dense, ...] = ()
    others: tuple[Path, ...] = ()
    documents: tuple[Path, ...] = ()
    made: Made | None = None
