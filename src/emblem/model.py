"""What a model folder says, as plain values. ``models/layout.py`` reads them; others use them."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from emblem.offer import Prompts
from emblem.space import Space
from emblem.types import OutputType, Overflow


class PoolingMode(StrEnum):
    """How token states become one vector; the names of sentence-transformers."""

    CLS = "cls"
    MEAN = "mean"
    MAX = "max"
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"
    WEIGHTED_MEAN = "weightedmean"
    LAST_TOKEN = "lasttoken"  # noqa: S105 - a pooling mode, not a secret


@dataclass(frozen=True, slots=True)
class Pooling:
    """The pooling of a model. Several modes are laid side by side in the order given here.

    With ``include_prompt`` false the prompt's tokens, and the special tokens before them, take no
    part in any mode: ``cls`` then is the first token that is left.
    """

    modes: tuple[PoolingMode, ...] = (PoolingMode.MEAN,)
    include_prompt: bool = True


@dataclass(frozen=True, slots=True)
class Bert:
    """The numbers of a BERT-like encoder.

    ``family`` is ``bert`` or ``roberta``; ``position_offset`` is the position of a sequence's first
    token (0 for BERT, padding index + 1 for RoBERTa and XLM-R); ``positions`` is the number of rows
    of the position table; ``activation`` is ``gelu``, ``gelu_tanh`` or ``relu``.
    """

    family: str
    layers: int
    heads: int
    hidden: int
    intermediate: int
    positions: int
    position_offset: int
    layer_norm_eps: float
    activation: str

    @property
    def longest(self) -> int:
        """Tokens that are read at once, with the special ones."""
        return self.positions - self.position_offset


@dataclass(frozen=True, slots=True)
class ModernBert:
    """The numbers of a ModernBERT: rotary positions, and layers that see all or only what is near.

    ``local`` says of each layer whether a token sees only those at most ``reach`` places away;
    ``local_theta`` and ``global_theta`` are the bases of the rotation in the two kinds of layers.
    ``activation`` bends one half of the widened states, which the other half is multiplied by.
    """

    heads: int
    hidden: int
    intermediate: int
    positions: int
    local: tuple[bool, ...]
    reach: int
    local_theta: float
    global_theta: float
    layer_norm_eps: float
    activation: str
    attention_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    family: str = "modernbert"

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return len(self.local)

    @property
    def longest(self) -> int:
        """Tokens that are read at once, with the special ones."""
        return self.positions


@dataclass(frozen=True, slots=True)
class NomicBert:
    """The numbers of a NomicBERT: BERT with rotary positions and SwiGLU, without biases."""

    layers: int
    heads: int
    hidden: int
    intermediate: int
    positions: int
    theta: float
    layer_norm_eps: float
    family: str = "nomic_bert"

    @property
    def longest(self) -> int:
        """Tokens that are read at once, with the special ones."""
        return self.positions


Encoder = Bert | ModernBert | NomicBert
"""What is built here from its tensors."""


@dataclass(frozen=True, slots=True)
class Graph:
    """An encoder that ships as a graph: ONNX, or OpenVINO's own format.

    ``file`` is the ``.onnx`` or the ``.xml``; ``longest`` is how many tokens it reads at once, with
    the special ones.
    """

    file: Path
    hidden: int
    longest: int


@dataclass(frozen=True, slots=True)
class Modules:
    """A sentence-transformers folder that is run whole, by that library: it pools by itself.

    ``longest`` is how many tokens it reads at once, with the special ones.
    """

    folder: Path
    hidden: int
    longest: int


Network = Encoder | Graph | Modules


@dataclass(frozen=True, slots=True)
class Dense:
    """A layer after the pooling: ``activation(x @ weight.T + bias)``.

    ``file`` holds ``linear.weight`` (outputs, inputs) and, with ``bias``, ``linear.bias`` (outputs,).
    ``activation`` is ``identity``, ``tanh``, ``gelu``, ``gelu_tanh``, ``relu`` or ``sigmoid``.
    """

    file: Path
    inputs: int
    outputs: int
    bias: bool
    activation: str


@dataclass(frozen=True, slots=True)
class Tokenization:
    """How a model reads text, before its tokenizer and around it.

    ``max_length`` counts the special tokens and the prompt; None means that any length is read.
    Without ``keep_unknown`` the token that stands for what the tokenizer does not know is left out.
    """

    file: Path
    max_length: int | None
    strip: bool = True
    lowercase: bool = False
    special_tokens: bool = True
    keep_unknown: bool = True


@dataclass(frozen=True, slots=True)
class Loss:
    """What rounding cost on some texts: cosines to the vectors before, and how similarities rank.

    ``rank`` is Spearman's correlation of the similarities of all pairs of texts.
    """

    mean: float
    worst: float
    rank: float
    texts: int


@dataclass(frozen=True, slots=True)
class Quantised:
    """What became of an encoder whose linear layers have weights of eight bits.

    ``group`` numbers of a token at a time are rounded to eight bits before they are multiplied.
    ``kept`` are the linear layers that stayed as they were; ``source`` is the space of the model
    that this one was made from, ``loss`` was measured against it, with ``emblem``, a version. The
    ``file`` has the texts, with their vectors, that prove a kernel.
    """

    file: Path
    group: int
    kept: tuple[str, ...]
    source: str
    loss: Loss
    emblem: str


@dataclass(frozen=True, slots=True)
class Model:
    """One model on disk, understood in full. ``encoder`` is None for a static table.

    After the encoder come the pooling, the ``dense`` layers in their order, and, where the model
    gives unit vectors, the normalisation. ``weights`` are the encoder's files. ``shortening`` is
    false where the first numbers of a vector are not what its makers shorten it to.
    """

    name: str
    space: Space
    tokenization: Tokenization
    weights: tuple[Path, ...]
    encoder: Network | None
    pooling: Pooling
    normalise: bool
    prompts: Prompts
    languages: tuple[str, ...]
    licence: str
    dense: tuple[Dense, ...] = ()
    shortening: bool = True
    quantised: Quantised | None = None

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.space.width

    @property
    def max_length(self) -> int | None:
        """Tokens that are read at once, with the special ones; None where any number is."""
        return self.tokenization.max_length

    @property
    def kinds(self) -> bool:
        """Tell whether it embeds questions and documents differently."""
        return bool(self.prompts)

    def shortening_problem(self, dimensions: int | None) -> str | None:
        """Say why its vectors cannot have so many numbers, fewer than they have; None if they can."""
        if self.shortening or dimensions is None or dimensions >= self.width:
            return None
        return (
            f"`{self.name}` gives vectors of {self.width} numbers, and fewer would be wrong: its "
            "makers apply a layer norm before they shorten them, which Emblem does not. Leave "
            "dimensions out."
        )

    def written(
        self, *, dimensions: int | None, overflow: Overflow | None, output: OutputType
    ) -> str:
        """Give the short form of the space, with what a request or an alias changed of it."""
        if self.tokenization.max_length is None:
            overflow = None  # nothing is ever too long
        return self.space.written(dimensions=dimensions, overflow=overflow, output=output)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a model's files hold.

    ``numbers`` are those of all weights; ``tables`` those among them that are looked up and never
    multiplied, 0 where nothing tells; ``quantised`` numbers are kept in eight bits or fewer, and
    ``whole`` are those that ``emblem quantize`` rounded. ``unigram`` is the kind of tokenizer whose vocabulary takes most memory.
    """

    numbers: int
    tables: int
    quantised: bool
    tokenizer_bytes: int
    unigram: bool
    whole: int = 0
