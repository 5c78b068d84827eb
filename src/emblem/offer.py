"""What a client may ask of a model, wherever it runs."""

from dataclasses import dataclass
from typing import Protocol

from emblem.space import Space
from emblem.types import Kind, OutputType, Overflow


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is put before a text of each kind. Both are None where a model has no prompts."""

    query: str | None = None
    document: str | None = None

    def __bool__(self) -> bool:
        """Tell whether the model embeds questions and documents differently."""
        return bool(self.query or self.document)

    def of(self, kind: Kind | None) -> str:
        """Give the prompt for a kind; "" where none applies."""
        if kind is None:
            return ""
        return (self.query if kind is Kind.QUERY else self.document) or ""


class Offer(Protocol):
    """What is served under a name: a model on disk, or one that somebody else's server has."""

    @property
    def name(self) -> str:
        """What it is called here."""
        ...

    @property
    def space(self) -> Space:
        """The space of its vectors at full width."""
        ...

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        ...

    @property
    def max_length(self) -> int | None:
        """Tokens that are read at once, with the special ones; None where any number is."""
        ...

    @property
    def kinds(self) -> bool:
        """Tell whether it embeds questions and documents differently."""
        ...

    @property
    def prompts(self) -> Prompts:
        """What is put before a text of each kind here, before a model sees it."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that its makers name."""
        ...

    @property
    def shortening(self) -> bool:
        """Tell whether the first numbers of a vector are what its makers shorten it to."""
        ...

    def shortening_problem(self, dimensions: int | None) -> str | None:
        """Say why its vectors cannot have so many numbers, fewer than they have; None if they can."""
        ...

    def written(
        self, *, dimensions: int | None, overflow: Overflow | None, output: OutputType
    ) -> str:
        """Give the short form of the space, with what a request or an alias changed of it."""
        ...


@dataclass(frozen=True, slots=True)
class Hosted:
    """A model that is served elsewhere. Its space is declared, and joined by proof.

    ``kinds`` tells that its makers' API is told what a text is for.
    """

    name: str
    space: Space
    max_length: int | None
    kinds: bool = False
    prompts: Prompts = Prompts()
    languages: tuple[str, ...] = ()
    shortening: bool = False

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.space.width

    def shortening_problem(self, dimensions: int | None) -> str | None:
        """Say why its vectors cannot have so many numbers, fewer than they have; None if they can."""
        if self.shortening or dimensions is None or dimensions >= self.width:
            return None
        return (
            f"`{self.name}` gives vectors of {self.width} numbers, and nothing says that fewer of "
            "them would be right. Leave dimensions out."
        )

    def written(
        self, *, dimensions: int | None, overflow: Overflow | None, output: OutputType
    ) -> str:
        """Give the short form of the space, with what a request or an alias changed of it."""
        return self.space.written(dimensions=dimensions, overflow=overflow, output=output)
