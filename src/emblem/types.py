"""Values that cross the boundaries between parts. They hold data and decide nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from math import inf
from operator import attrgetter
from typing import TypeVar, dataclass_transform

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]  # (n, width), C-contiguous
Tokens = npt.NDArray[np.int32]  # (n,)

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(*, eq: bool = True) -> Callable[[type[T]], type[T]]:
    """Make a class a slotted dataclass that is frozen for whoever checks types, and only there.

    For what each request makes anew: a dozen of them, of which one that is frozen at run time takes
    three times as long.
    """
    return dataclass(slots=True, eq=eq)


class Kind(StrEnum):
    """What a text is for, where a model embeds questions and passages differently."""

    QUERY = "query"
    DOCUMENT = "document"


class Overflow(StrEnum):
    """What happens to a text longer than the model reads at once."""

    MEAN = "mean"
    TRUNCATE = "truncate"
    ERROR = "error"


class Lane(StrEnum):
    """Who goes first: a person waiting, or a job that runs in the background."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class OutputType(StrEnum):
    """The number format of a vector's components in an answer."""

    FLOAT = "float"
    INT8 = "int8"
    UINT8 = "uint8"
    BINARY = "binary"
    UBINARY = "ubinary"


class TokenIds(StrEnum):
    """How arrays of token ids in ``input`` are read."""

    CL100K = "cl100k"
    NATIVE = "native"
    REFUSE = "refuse"


@value()
class EmbedRequest:
    """Texts to embed, and how.

    An input is a text, or a text's token ids in the model's own vocabulary without special tokens.
    ``deadline`` is absolute, in seconds of the monotonic clock. ``fair_share`` is opaque: requests
    that carry the same value share one turn. ``max_input_tokens`` and ``max_total_tokens`` bound
    the texts as they come, counted in the model's own tokens; ``None`` means that whoever asks has
    counted already. Where nobody asked for a lane ``lane_by_size`` is true, and it is chosen by how
    much there is to compute. Without ``reuse`` every vector is computed for this request, without ``keep``
    none of them is remembered for others. ``readings`` are what ``Counting.count`` read of the inputs,
    one for each, None for one that was not read; they are for the embedder that made them.
    """

    inputs: tuple[str | tuple[int, ...], ...]
    kind: Kind | None = None
    dimensions: int | None = None
    overflow: Overflow | None = None
    lane: Lane = Lane.INTERACTIVE
    deadline: float = inf
    fair_share: str = ""
    max_input_tokens: int | None = None
    max_total_tokens: int | None = None
    reuse: bool = True
    keep: bool = True
    lane_by_size: bool = False
    readings: tuple[object, ...] = ()

    def with_readings(self, readings: tuple[object, ...]) -> "EmbedRequest":
        """Give the same request with what was read of its inputs."""
        return EmbedRequest(*(*_BUT_READINGS(self), readings))


# In a third of the time of ``dataclasses.replace``; the readings are the last field.
_BUT_READINGS = attrgetter(*[one.name for one in fields(EmbedRequest)][:-1])


@value(eq=False)
class EmbedResult:
    """One vector for each text, in the order of the texts.

    ``vectors`` is (n, d) float32 and C-contiguous; ``tokens`` is (n,) int32, what each text cost;
    ``overflowed`` holds the indices of the texts that were longer than the model reads at once.
    ``uncut`` is (n,) int32, the tokens that the texts had before any was cut, None where none was.
    ``hits`` counts the texts that were not computed for this request; None where nobody remembers.
    """

    vectors: Vectors
    tokens: Tokens
    overflowed: tuple[int, ...]
    served_by: str
    uncut: Tokens | None = None
    hits: int | None = None


@value(eq=False)
class Row:
    """Sequences laid end to end without padding: what a backend runs at once.

    ``ids`` is (T,) int32; ``lengths`` is (n,) int32 and sums to T; ``skip`` is (n,) int32, the
    leading tokens of each sequence that are the prompt's, with the special tokens before it, or
    None where there is none. Only a backend that pools by itself looks at it. ``bulk`` tells that
    nobody waits for it in person: it leaves what makes a row fast to others.
    """

    ids: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int32]
    skip: npt.NDArray[np.int32] | None = None
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """What waits in one lane of a model. ``seconds`` is how long that is predicted to take."""

    requests: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """What an engine has before it and behind it.

    ``rows`` and ``tokens`` count what has run; ``seconds_per_token`` is None before anything has.
    ``row_tokens`` is how many tokens a row has that is full, 0 where that is not known.
    ``row_seconds`` is how long all rows took, shared between those that ran at once.
    """

    queued: Mapping[Lane, Queued]
    rows: int = 0
    tokens: int = 0
    seconds_per_token: float | None = None
    row_tokens: int = 0
    row_seconds: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """Vectors of a set of texts, to which a deployment is held that is to give the same ones.

    ``vectors`` is (n, width) float32 and C-contiguous; ``refused`` are the indices of texts that
    were refused, whose vectors are zeros. ``texts`` names the set, ``by`` the deployment that
    made them, ``made`` when, in seconds since the epoch.
    """

    texts: str
    vectors: Vectors
    refused: tuple[int, ...] = ()
    by: str = ""
    made: float = 0.0


class Health(StrEnum):
    """What a deployment is good for now."""

    SERVING = "serving"
    UNPROVEN = "unproven"  # it has not been shown yet that its vectors are those of the space
    QUARANTINED = "quarantined"  # they are others
    OPEN = "open"  # it failed too often and is left alone for a while
    PROBED = "probed"  # one request finds out whether it is well again
    RESTING = "resting"  # it asked for a pause
    CLOSED = "closed"  # it cannot answer for a reason of its own, which ``problem`` says


@dataclass(frozen=True, slots=True)
class DeploymentState:
    """One deployment of a model. ``kind`` is what it is, such as "local" or "openai".

    ``requests`` are in progress, of ``max_requests`` at most; ``answered``, ``failures`` and
    ``invalid`` count since the start: what it answered, did not answer, and answered with vectors
    that could not be right, which are failures too. ``worst_cosine`` is the least cosine of the
    last proof to the reference, ``proven_s`` how many seconds ago it last passed; None where none
    was made or passed. ``problem`` says why it is not serving. ``retry_s`` is in how many seconds
    it is asked again.
    """

    name: str
    kind: str = ""
    health: Health = Health.SERVING
    problem: str | None = None
    requests: int = 0
    max_requests: int = 0
    weight: float = 1.0
    answered: int = 0
    failures: int = 0
    invalid: int = 0
    worst_cosine: float | None = None
    proven_s: float | None = None
    retry_s: float | None = None


class State(StrEnum):
    """Whether a model is in memory."""

    LOADED = "loaded"
    LOADING = "loading"
    UNLOADED = "unloaded"


@dataclass(frozen=True, slots=True)
class Residence:
    """One served model and the memory it takes. ``predicted_bytes`` is what it takes once loaded.

    ``requests`` are in progress, those that wait for it to be loaded too. ``loaded_s`` and
    ``idle_s`` say how many seconds ago it was loaded and last answered, None where it is not or
    never was. ``problem`` says why it cannot answer.
    """

    name: str
    state: State
    predicted_bytes: int
    requests: int
    loaded_s: float | None
    idle_s: float | None
    work: Work
    problem: str | None


@dataclass(frozen=True, slots=True)
class CacheState:
    """What is remembered of texts: how many, in how many bytes of at most ``max_bytes``.

    ``hits`` and ``misses`` count the texts that were looked for since the start.
    """

    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class TierState:
    """What became of texts that were looked for beyond memory: on disk, or in Redis.

    ``hits`` and ``misses`` count texts; ``corrupt`` those of the misses whose entry was not as it
    was written, ``dropped`` the ones that were not written. ``failures`` counts questions without
    an answer; ``away`` tells that at present none is asked, or only now and then.
    """

    name: str
    hits: int
    misses: int
    corrupt: int
    failures: int
    dropped: int
    away: bool


@dataclass(frozen=True, slots=True)
class Occupancy:
    """Every served model, and the memory of the process that serves them.

    ``loaded_bytes`` are the predicted bytes of the models that are loaded, and of the one that is
    being loaded. They and ``beyond_bytes``, what the process takes beyond them and beyond
    ``base_bytes``, count against ``max_model_bytes``. ``resident_bytes`` is what the whole process
    takes, ``base_bytes`` what it took before any model was loaded; None where the system does not
    say, or before the first one is loaded. ``process`` is which of ``processes`` says this.
    """

    models: tuple[Residence, ...]
    max_model_bytes: int
    loaded_bytes: int = 0
    beyond_bytes: int = 0
    resident_bytes: int | None = None
    base_bytes: int | None = None
    cache: CacheState | None = None  # None where it is off
    tiers: tuple[TierState, ...] = ()
    process: int = 1
    processes: int = 1
