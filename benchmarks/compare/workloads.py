"""What is asked of every system, and how much of it in one turn."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from benchmarks.compare import texts

SERVERS = ("emblem", "emblem-int8", "infinity", "infinity-onnx")
LIBRARIES = ("st", "st-onnx", "st-openvino", "fastembed")
STATIC = ("emblem-static", "echo")


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of request within a workload: lists of texts, sent over some connections.

    ``every`` and ``seconds`` are as in ``load.Stream``; ``base64`` is what the vectors come as.
    """

    name: str
    batches: list[list[str]]
    connections: int
    seconds: float = 1e9
    every: float | None = None
    beside: bool = False
    base64: bool = True


@dataclass(frozen=True, slots=True)
class Workload:
    """What is measured together. ``phases`` run one after the other, the parts of one at once.

    ``turn_s`` is about how long a turn takes on two cores, its warming up and its last answers
    included. ``asked`` ones are measured only where they are named. With ``ceilings`` the bare
    matrix products have a turn in each round too.
    """

    name: str
    title: str
    systems: tuple[str, ...]
    rounds: int  # at most so many
    turn_s: float
    whole: bool = False  # texts are longer than the model reads, and are asked for whole
    asked: bool = False
    ceilings: bool = False

    def phases(self, turn: int, quick: bool) -> list[list[Part]]:
        """Give what one system is asked in this turn: the same for each, and new in every turn."""
        return _MAKERS[self.name.partition("-")[0]](self.name, turn, 0.4 if quick else 1.0)

    def warm_up(self, turn: int) -> Part:
        """Give what a system is asked before its turn, which does not count: new in every turn."""
        seed = f"warm {self.name} {turn}"
        most = max(part.connections for phase in self.phases(turn, True) for part in phase[:1])
        if self.name.partition("-")[0] in ("passages", "mix", "mixed"):
            return Part("warm", _lists(texts.PASSAGES, seed, 4, 16, texts.WITHIN), most)
        return Part("warm", _lists(texts.QUERIES, seed, max(32, most), 1), most)


def _lists(quantiles: tuple[int, ...], seed: str, n: int, each: int, most: int | None = None):
    made: Iterator[str] = texts.texts(quantiles, seed, most)
    return [list(islice(made, each)) for _ in range(n)]


def _queries(name: str, turn: int, scale: float) -> list[list[Part]]:
    connections = int(name.split("-")[1])
    n = int((500 if connections == 1 else 2000) * scale)
    made = _lists(texts.QUERIES, f"{name} {turn}", n, 1)
    return [[Part("query", made, connections, 2.0 * scale, base64="float" not in name)]]


def _passages(name: str, turn: int, scale: float) -> list[list[Part]]:
    made = _lists(texts.PASSAGES, f"{name} {turn}", 12, 64, texts.WITHIN)
    return [[Part("passages", made, 2, 3.0 * scale)]]


def _mix(name: str, turn: int, scale: float) -> list[list[Part]]:
    """Give requests of 1 to 64 passages of any length, and of a query."""
    made = _lists(texts.PASSAGES, f"{name} {turn}", 40, 16)
    for at, batch in enumerate(_lists(texts.QUERIES, f"{name} query {turn}", 40, 1)):
        made.insert(2 * at, batch)
    return [[Part("mix", made, 4, 3.0 * scale)]]


def _many(name: str, turn: int, scale: float) -> list[list[Part]]:
    n = int(2048 * scale)
    made = _lists(texts.QUERIES, f"{name} {turn}", 1, n)
    return [[Part("items", made, 1, base64="float" not in name)]]


def _mixed(name: str, turn: int, _: float) -> list[list[Part]]:
    """Give bulk work alone, then as much of it with ten queries a second beside.

    Both for so long that each connection has several requests: what is measured is a steady state.
    """
    seconds = 7.0  # in a quick run too: a slow server takes six for a request of each connection
    alone = _lists(texts.PASSAGES, f"{name} alone {turn}", 24, 64, texts.WITHIN)
    bulk = _lists(texts.PASSAGES, f"{name} bulk {turn}", 24, 64, texts.WITHIN)
    query = _lists(texts.QUERIES, f"{name} query {turn}", 600, 1)
    return [
        [Part("alone", alone, 3, seconds)],
        [Part("bulk", bulk, 3, seconds), Part("query", query, 64, every=0.1, beside=True)],
    ]


def _again(name: str, turn: int, scale: float) -> list[list[Part]]:
    once = _lists(texts.QUERIES, f"{name} {turn}", 256, 1)
    return [
        [Part("first", once, 8)],
        [Part("again", once * 40, 8, 2.0 * scale)],
    ]


def _growth(name: str, turn: int, scale: float) -> list[list[Part]]:
    tokens = int(name.split("-")[1])
    n = max(3, int(min(60, 6000 // tokens) * scale))
    made = _lists((tokens,) * len(texts.SHARES), f"{name} {turn}", n, 1)
    return [[Part("text", made, 1, 2.0 * scale)]]


def _static(name: str, turn: int, scale: float) -> list[list[Part]]:
    made = _lists(texts.QUERIES, f"{name} {turn}", int(20_000 * scale), 1)
    return [[Part("query", made, 32, 2.0 * scale, base64=name.endswith("base64"))]]


_MAKERS = {
    "queries": _queries,
    "passages": _passages,
    "mix": _mix,
    "many": _many,
    "mixed": _mixed,
    "again": _again,
    "growth": _growth,
    "static": _static,
}

_ALL = (*SERVERS, *LIBRARIES)
LENGTHS = (16, 64, 256, 1024, 4096, 8192)

# What takes long, or is about one rival, is compared with that one.
_MIXED = ("emblem", "emblem-int8", "infinity")

WORKLOADS: tuple[Workload, ...] = (
    Workload("queries-1", "one short query at a time", (*SERVERS, "st"), 5, 3),
    Workload("queries-8", "short queries, 8 connections", SERVERS, 2, 3),
    Workload("queries-32", "short queries, 32 connections", SERVERS, 5, 3.5, ceilings=True),
    Workload("queries-128", "short queries, 128 connections", SERVERS, 2, 4),
    Workload(
        "queries-32-float",
        "short queries, 32 connections, as JSON numbers",
        SERVERS,
        3,
        3.5,
        asked=True,
    ),
    Workload("passages", "passages within 256 tokens, 64 a request", _ALL, 5, 6.5, ceilings=True),
    Workload("mix", "queries and passages of any length", SERVERS, 2, 6),
    Workload("many", "2,048 queries in one request", SERVERS, 2, 5),
    Workload(
        "many-float", "2,048 queries in one request, as JSON numbers", SERVERS, 2, 5, asked=True
    ),
    Workload("mixed", "ten queries a second beside passages", _MIXED, 3, 22),
    Workload("again", "the same 256 queries again and again, 8 connections", _MIXED, 3, 4),
    Workload("static-base64", "static model, queries, 32 connections", STATIC, 5, 3),
    Workload("static-float", "the same, as JSON numbers", STATIC, 5, 3),
    *(
        Workload(f"growth-{n}", f"one text of {n:,} tokens", _MIXED, 1, 3, whole=True)
        for n in LENGTHS
    ),
)
