"""Space: what makes two vectors comparable.

Vectors of two spaces are never compared, averaged, cached together or substituted for one another.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from emblem.types import OutputType, Overflow


@dataclass(frozen=True, slots=True)
class Space:
    """The identity of a vector space.

    ``weights`` and ``recipe`` are SHA-256 in hex: of the weights' bytes, and of everything else
    that decides the numbers (tokenizer, pooling, normalisation, prompts, length, and the revision
    of Emblem's own arithmetic). ``known_recipe`` is true where the recipe is the one that the
    catalogue pins for these weights, so that the weights alone say it all.

    The space of somebody else's server is declared, not computed: see ``declared``.
    """

    name: str
    weights: str
    recipe: str
    width: int
    normalised: bool
    overflow: Overflow = Overflow.MEAN
    known_recipe: bool = False

    @classmethod
    def declared(
        cls, name: str, width: int, *, normalised: bool, overflow: Overflow = Overflow.MEAN
    ) -> "Space":
        """Give the space that a server has by its word alone.

        ``name`` is all of its identity but the width and the rule: ``api.example.com/a-model``, or
        what another Emblem calls its own, ``all-MiniLM-L6-v2@53aa5117``.
        """
        return cls(name, "", "", width, normalised, overflow)

    @property
    def is_declared(self) -> bool:
        """Tell whether nobody here has seen the weights."""
        return not self.weights

    @property
    def digest(self) -> str:
        """What a client may pin with ``NAME@digest``; "" for a declared space."""
        if self.is_declared:
            return ""
        return self.weights[:8] if self.known_recipe else f"{self.weights[:8]}-{self.recipe[:8]}"

    @property
    def declared_digest(self) -> str:
        """Digits that stand for a declared space: those of its name, or eight of name and width."""
        if named := re.search(r"@([0-9a-f]{8}(?:-[0-9a-f]{8})?)$", self.name):
            return named[1]
        return hashlib.sha256(f"{self.name}/{self.width}".encode()).hexdigest()[:8]

    @property
    def identity(self) -> str:
        """The whole identity. Two spaces are one if and only if these are equal.

        ``error`` changes no vector: what it lets through is as ``mean`` gives it.
        """
        rule = Overflow.TRUNCATE if self.overflow is Overflow.TRUNCATE else Overflow.MEAN
        if self.is_declared:
            return f"declared:{self.name}/{self.width}+{rule}"
        return f"sha256:{self.weights}:{self.recipe}/{self.width}+{rule}"

    def written(
        self,
        *,
        dimensions: int | None = None,
        overflow: Overflow | None = None,
        output: OutputType = OutputType.FLOAT,
    ) -> str:
        """The short form, with whatever a request changed, such as ``…@53aa5117/256+truncate``.

        ``error`` changes no vector, so it is never written.
        """
        applied = self.overflow if overflow in (None, Overflow.ERROR) else overflow
        suffix = f"+{applied}" if applied is Overflow.TRUNCATE else ""
        if output is not OutputType.FLOAT:
            suffix += f"+{output}"
        name = self.name if self.is_declared else f"{self.name}@{self.digest}"
        return f"{name}/{dimensions or self.width}{suffix}"

    def __str__(self) -> str:
        """Give the short form of the space as it is, without what a request may change."""
        return self.written()


def recipe_digest(recipe: dict[str, Any]) -> str:
    """SHA-256 in hex of a recipe: plain JSON values, independent of the order of its keys."""
    text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
