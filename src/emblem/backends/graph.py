"""Runs encoders that ship as a graph, ONNX or OpenVINO's own format, on the CPU through OpenVINO.

Such a graph takes sequences of one length at a time. Nothing is padded: those of a row that are
equally long are run together, and where that would change their numbers, each is run alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from emblem.backends.execution import Execution, Requests, refuse_more
from emblem.backends.runtime import openvino
from emblem.errors import ModelError
from emblem.model import Graph
from emblem.types import Row, Vectors

_Ids = npt.NDArray[np.int32]

_ROW_TOKENS = 128  # as for the graphs that are built here
_IDS, _MASK, _KINDS = "input_ids", "attention_mask", "token_type_ids"
_STATES = ("last_hidden_state", "token_embeddings")

# A quantisation whose scale is found while running looks for the largest of all numbers that run
# together, so that a sequence's vector would depend on which others share its run. In the body of
# an If or a Loop nobody looks here.
_LOOKS_AT_ALL = {"ReduceMax", "ReduceMin", "DynamicQuantize", "If", "Loop", "TensorIterator"}


class GraphBackend:
    """A graph, compiled. ``threads`` are shared by ``streams`` that run at the same time.

    Raises ModelError, naming the file, for a graph that cannot be read, that takes or gives
    something else than token ids and the states of tokens, or whose states are not as wide as the
    model's configuration says.
    """

    def __init__(self, graph: Graph, *, threads: int, streams: int = 1) -> None:
        refuse_more(streams, threads)
        self._graph = graph
        try:
            model = openvino.Core().read_model(graph.file)
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise _unread(graph, error) from None
        self._inputs = _inputs(graph, model)
        self._output = _output(graph, model)
        kinds = [node.get_type_name() for node in model.get_ops()]
        self._alone = not _LOOKS_AT_ALL.isdisjoint(kinds)
        try:
            self._execution = Execution(model, threads=threads, streams=streams)
        except Exception as error:  # noqa: BLE001
            raise _unread(graph, error) from None

    @property
    def width(self) -> int:
        """Numbers per token."""
        return self._graph.hidden

    @property
    def row_tokens(self) -> int:
        """Tokens in a row beyond which throughput hardly grows."""
        return _ROW_TOKENS

    @property
    def streams(self) -> int:
        """How many streams may run at once."""
        return self._execution.streams

    @property
    def alone(self) -> bool:
        """Whether every sequence is run alone, because its numbers would depend on others."""
        return self._alone

    def stream(self) -> "GraphStream":
        """Open a stream. Called once by each thread that runs one."""
        requests = self._execution.requests()
        return GraphStream(requests, self._graph, self._inputs, self._output, alone=self._alone)

    def row_bytes(self, tokens: int) -> int:
        """Predicted bytes of working memory for a row of that many tokens.

        A graph does not say how many heads and how wide a middle it has. Compared with the growth
        of peak RSS (``VmHWM`` around one run, in a process of its own for each size, after runs of
        1, 8 and 64 tokens, which repack the weights) for one sequence of 128…510 tokens: 1.1 times
        that for an encoder of MPNet's size, 1.4…2.4 times for MiniLM, 1.2…5.9 times for MiniLM
        quantised while running. For several sequences together it is more.
        """
        hidden = self._graph.hidden
        return 4 * tokens * (14 * hidden + 2 * tokens * max(1, hidden // 32))

    def close(self) -> None:
        """Free the compiled graph. Called once, when no stream runs any more."""
        self._execution.close()


class GraphStream:
    """The infer requests of one thread."""

    def __init__(
        self,
        requests: Requests,
        graph: Graph,
        inputs: Sequence[tuple[str, str]],
        output: int,
        *,
        alone: bool,
    ) -> None:
        self._requests = requests
        self._graph = graph
        self._inputs = inputs
        self._output = output
        self._alone = alone

    def run(self, row: Row) -> Vectors:
        """Give the last hidden state of every token: (T, hidden) float32.

        Raises ValueError for a row that is empty or longer than its sequences, for a sequence
        longer than the model reads, and for states of another shape than those of the sequences.
        """
        self._check(row)
        states = np.empty((len(row.ids), self._graph.hidden), np.float32)
        starts = np.cumsum(row.lengths) - row.lengths
        for group in groups(row.lengths, alone=self._alone):
            places = starts[group][:, None] + np.arange(row.lengths[group[0]])  # (n, length)
            found = self._infer(row.ids[places])
            expected = (*places.shape, self._graph.hidden)
            if found.shape != expected:
                raise ValueError(f"{self._graph.file.name} gave {found.shape}, not {expected}")
            states[places] = found
        return states

    def _infer(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.generic]:
        """Run sequences of one length: (n, length, hidden) for (n, length)."""
        given = [_INPUTS[name](ids).astype(kind) for name, kind in self._inputs]
        states: npt.NDArray[np.generic] = self._requests.infer(given)[self._output]
        return states

    def _check(self, row: Row) -> None:
        if not len(row.lengths) or int(row.lengths.min()) < 1:
            raise ValueError("a row has sequences, and a sequence has tokens")
        if int(row.lengths.sum()) != len(row.ids):
            raise ValueError(f"{len(row.ids)} ids for {int(row.lengths.sum())} tokens")
        if int(row.lengths.max()) > self._graph.longest:
            raise ValueError(f"{int(row.lengths.max())} tokens are more than {self._graph.longest}")


# Of the ids of sequences without padding, (n, length), each input that is understood.
_INPUTS: Mapping[str, Callable[[_Ids], _Ids]] = {
    _IDS: lambda ids: ids,
    _MASK: lambda ids: np.ones_like(ids),
    _KINDS: lambda ids: np.zeros_like(ids),
}


def groups(lengths: npt.NDArray[np.int32], *, alone: bool) -> Iterator[npt.NDArray[np.intp]]:
    """Give the sequences that are run together, by their indices: those that are equally long."""
    if alone:
        yield from np.arange(len(lengths))[:, None]
        return
    for length in np.unique(lengths):
        yield np.flatnonzero(lengths == length)


def _inputs(graph: Graph, model: openvino.Model) -> list[tuple[str, str]]:
    """Give the name and the type of number of every input, in order."""
    found: list[tuple[str, str]] = []
    for one in model.inputs:
        name = next((name for name in _INPUTS if name in one.get_names()), None)
        if name is None:
            given = ", ".join(sorted(one.get_names())) or "one without a name"
            raise ModelError(
                f"{graph.file}: takes the input {given}; {', '.join(_INPUTS)} are understood"
            )
        kind = one.get_element_type().get_type_name()
        if kind not in ("i64", "i32"):
            raise ModelError(f"{graph.file}: {name}: is of the type {kind}, not i64 or i32")
        shape = one.get_partial_shape()
        if shape.rank.is_static and (len(shape) != 2 or any(side.is_static for side in shape)):
            raise ModelError(
                f"{graph.file}: {name}: has the shape {shape}, not one of any number of sequences "
                "and of any length"
            )
        found.append((name, "int64" if kind == "i64" else "int32"))
    if _IDS not in [name for name, _ in found]:
        raise ModelError(f"{graph.file}: takes no {_IDS}")
    return found


def _output(graph: Graph, model: openvino.Model) -> int:
    """Give the place of the output that has the states of tokens."""
    named = [
        place for place, one in enumerate(model.outputs) if one.get_names().intersection(_STATES)
    ]
    ranks = [one.get_partial_shape().rank for one in model.outputs]
    of_three = [place for place, rank in enumerate(ranks) if rank.is_static and len(rank) == 3]
    place = next(iter(named or (of_three if len(of_three) == 1 else [])), None)
    if place is None:
        given = ", ".join("/".join(sorted(one.get_names())) for one in model.outputs)
        raise ModelError(
            f"{graph.file}: gives {given}, and none of these are the states of tokens "
            f"({' or '.join(_STATES)}); how it pools what it gives, nobody can tell"
        )
    shape = model.outputs[place].get_partial_shape()
    width = shape[2] if shape.rank.is_static and len(shape) == 3 else None
    if width is not None and width.is_static and width.get_length() != graph.hidden:
        raise ModelError(
            f"{graph.file}: gives {width.get_length()} numbers for a token, and config.json says "
            f"{graph.hidden}"
        )
    return place


def _unread(graph: Graph, error: Exception) -> ModelError:
    """Say in a line what OpenVINO says in many, of which the last tells most."""
    lines = [line.strip().removeprefix("-- ") for line in str(error).splitlines()]
    why = next((line for line in reversed(lines) if line), type(error).__name__)
    return ModelError(f"{graph.file}: OpenVINO cannot run it: {why[:200]}")
