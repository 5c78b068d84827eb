"""Which names are served, what each stands for, and what may be asked of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from emblem.errors import DeploymentFailed, InvalidRequest, UnknownModel
from emblem.offer import Offer
from emblem.types import Kind, Lane, OutputType, Overflow, TokenIds, value

_LATEST = ":latest"


@value()
class Options:
    """What a request may ask for, or an alias fix. None means that nothing was said."""

    dimensions: int | None = None
    kind: Kind | None = None
    output: OutputType | None = None
    overflow: Overflow | None = None
    lane: Lane | None = None


NOTHING = Options()

# What the options are called on the wire, for messages.
OPTION_NAMES: Mapping[str, str] = {
    "dimensions": "dimensions",
    "kind": "input_type",
    "output": "output_dtype",
    "overflow": "overflow",
    "lane": "priority",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A name that clients may send, and what it stands for. ``created`` is seconds of the epoch."""

    name: str
    model: Offer
    created: int
    fixed: Options = field(default_factory=Options)
    token_ids: TokenIds = TokenIds.CL100K
    alias_of: str | None = None

    def same_as(self, other: "Served") -> bool:
        """Tell whether two names would give the same answers."""
        return (self.model.name, self.fixed, self.token_ids) == (
            other.model.name,
            other.fixed,
            other.token_ids,
        )

    @property
    def space_written(self) -> str:
        """The short form of the space that this name gives when a request asks for nothing."""
        fixed = self.fixed
        return self.model.written(
            dimensions=fixed.dimensions,
            overflow=fixed.overflow,
            output=fixed.output or OutputType.FLOAT,
        )

    @property
    def pin(self) -> str:
        """What a client may append to the name with ``@`` to get vectors of this space or an error.

        A text that is too long gives another vector under another rule, so the rule is part of it.
        """
        rule = self.fixed.overflow or self.model.space.overflow
        cuts = rule is Overflow.TRUNCATE and self.model.max_length is not None
        space = self.model.space
        return f"{space.digest or space.declared_digest}{'+truncate' if cuts else ''}"

    @property
    def space_identity(self) -> str:
        """The whole identity of that space."""
        _, _, given = self.space_written.rpartition("/")  # the model's name may have one too
        return f"{self.model.space.identity} as {given}"


@dataclass(frozen=True, slots=True)
class Absent:
    """A model that is configured and not known yet, as a name stands for it; ``why`` says so."""

    model: str
    why: DeploymentFailed


def _nobody(_: str) -> None:
    return None


class Names:
    """Every name that is served.

    Those of a model whose server was not there at the start are served once it is.
    """

    def __init__(
        self,
        served: Iterable[Served],
        hint: Callable[[str], str],
        absent: Callable[[str], Absent | None] = _nobody,
    ) -> None:
        """``hint`` says what to do about a model that is not served, ``absent`` which is to come."""
        self.serve(served)
        self._hint = hint
        self.absent = absent

    def serve(self, served: Iterable[Served]) -> None:
        """Have these served from now on, and no others."""
        self._served = {one.name: one for one in served}

    def __iter__(self) -> Iterator[Served]:
        """Iterate over what is served, in the order of the configuration."""
        return iter(self._served.values())

    def resolve(self, name: str) -> Served:
        """Find what answers to a name, to ``NAME@digest`` or to ``NAME:latest``.

        The last is what Ollama's clients send for a name without a tag. Raises UnknownModel.
        """
        if (served := self._served.get(name)) is not None:
            return served
        if name.endswith(_LATEST) and (served := self._served.get(name.removesuffix(_LATEST))):
            return served
        base, at, digest = name.rpartition("@")
        if at and (served := self._served.get(base)) is not None:
            if digest == served.pin:
                return served
            raise UnknownModel(name, f"`{base}` is served here as `{base}@{served.pin}`.")
        raise UnknownModel(name, self._hint(name))


def combine(served: Served, asked: Options) -> Options:
    """Put together what a name fixes and what a request asks for; they must not contradict."""
    if served.fixed == NOTHING:
        return asked
    merged = {}
    for attribute, wire in OPTION_NAMES.items():
        fixed, wanted = getattr(served.fixed, attribute), getattr(asked, attribute)
        if fixed is not None and wanted is not None and fixed != wanted:
            raise InvalidRequest(
                f"`{served.name}` stands for {wire}={fixed}, and the request asks for "
                f"{wire}={wanted}. Leave {wire} out, or use `{served.alias_of or served.name}`.",
                param=wire,
            )
        merged[attribute] = wanted if fixed is None else fixed
    return Options(**merged)


def check_options(served: Served, options: Options) -> None:
    """Refuse what the model cannot give. Raises InvalidRequest."""
    model = served.model
    width = model.width
    if options.dimensions is not None and options.dimensions > width:
        raise InvalidRequest(_too_wide(served, options.dimensions), param="dimensions")
    if (problem := model.shortening_problem(options.dimensions)) is not None:
        raise InvalidRequest(problem, param="dimensions")
    if options.kind is not None and not model.kinds:
        raise InvalidRequest(
            f"`{model.name}` embeds queries and documents alike: it has no prompts. "
            "Leave input_type out.",
            param="input_type",
        )
    if options.output in (None, OutputType.FLOAT):
        return
    if options.output in (OutputType.INT8, OutputType.UINT8) and not model.space.normalised:
        raise InvalidRequest(
            f"`{model.name}` does not give unit vectors, so {options.output}, whose scale is fixed, "
            'would cut them off. Use "float".',
            param="output_dtype",
        )
    dimensions = options.dimensions or width
    if options.output in (OutputType.BINARY, OutputType.UBINARY) and dimensions % 8:
        raise InvalidRequest(
            f"{options.output} packs eight numbers into a byte, and {dimensions} is no multiple "
            "of 8.",
            param="dimensions",
        )


OPENAI_WIDTHS: Mapping[str, int] = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}


def _too_wide(served: Served, dimensions: int) -> str:
    width = served.model.width
    if (openai := OPENAI_WIDTHS.get(served.name)) is not None:
        return (
            f"{served.name} is served here by {served.model.name} ({width} numbers, not OpenAI's "
            f"{openai}), so dimensions may be 1 to {width}, and {dimensions} was asked for. Leave "
            f"dimensions out and give your index {width} dimensions. Never mix these vectors with "
            "an index that OpenAI filled."
        )
    return (
        f"`{served.name}` gives vectors of {width} numbers, so dimensions may be 1 to {width}, "
        f"and {dimensions} was asked for. Vectors are never padded."
    )
