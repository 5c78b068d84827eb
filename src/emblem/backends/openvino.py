"""Runs encoders on the CPU through OpenVINO.

A model is compiled for rows of any length; sequences lie end to end in a row, without padding,
and an attention mask keeps them apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from emblem.backends import graphs
from emblem.backends.execution import Execution, Requests
from emblem.model import Encoder
from emblem.types import Row, Vectors

# Measured with MiniLM on 2 threads, sequences of 16…64 tokens, the median of three rounds in one run:
# 64, 128, 256 and 512 tokens a row differed by less than the rounds did, 16 and 32 were slower.
_ROW_TOKENS = 128

# In eight bits the library makes and keeps kernels for every number of tokens in a row that it
# meets: 3 ms and 1 MB each, 230 MB for 18…256 tokens of MiniLM. Filled up, there is an eighth of
# them, 27 MB, and a row takes 1…2 % longer; a multiple of 16 takes 3…4 %. Floats keep 40 MB.
_FILLED_TO = 8


class OpenVINOBackend:
    """An encoder, compiled.

    ``weights`` are the model's tensors by name; their memory is used in place (the graph's constants
    keep it alive) and must not be written. ``threads`` are shared by ``streams`` that run at the same time. Raises ModelError for
    weights that are not the encoder's.

    Where weights have eight bits, ``group`` numbers of a token at a time are rounded to as many
    before they are multiplied, by a runtime that can on this CPU.
    """

    def __init__(
        self,
        encoder: Encoder,
        weights: Mapping[str, npt.NDArray[Any]],
        *,
        threads: int,
        streams: int = 1,
        group: int = 0,
    ) -> None:
        self._encoder = encoder
        built = graphs.build(encoder, weights)
        self._inputs, self._vocabulary = built.inputs, built.vocabulary
        self._token_floats, self._square_floats = built.token_floats, built.square_floats
        self._multiple = _FILLED_TO if group else 1
        self._execution = Execution(built.graph, threads=threads, streams=streams, group_size=group)

    @property
    def width(self) -> int:
        """Numbers per token."""
        return self._encoder.hidden

    @property
    def row_tokens(self) -> int:
        """Tokens in a row beyond which throughput hardly grows."""
        return _ROW_TOKENS

    @property
    def streams(self) -> int:
        """How many streams may run at once."""
        return self._execution.streams

    def stream(self) -> "OpenVINOStream":
        """Open a stream. Called once by each thread that runs one."""
        return self._stream(self._execution.requests())

    def spare(self) -> "OpenVINOStream":
        """Open one more, for rows that are run while all others run bulk. Called once, where several."""
        return self._stream(self._execution.spare())

    def _stream(self, requests: Requests) -> "OpenVINOStream":
        return OpenVINOStream(
            requests,
            self._inputs,
            longest=self._encoder.longest,
            vocabulary=self._vocabulary,
            multiple=self._multiple,
        )

    def row_bytes(self, tokens: int) -> int:
        """Predicted bytes of working memory for a row of that many tokens.

        Compared with the growth of peak RSS (``VmHWM`` around one run, in a process of its own for
        each size, after a run of one token) less the 19 MB that the first real row costs once, at
        widths 384 and 768, for 2,048 and 4,096 tokens. In several sequences this is 0.9…1.6 times
        that; in one, which needs no mask or only that of the local layers, up to 2.7 times.
        """
        return int(4 * tokens * (self._token_floats + self._square_floats * tokens))

    def close(self) -> None:
        """Free the compiled model. Called once, when no stream runs any more."""
        self._execution.close()


class OpenVINOStream:
    """The infer requests of one thread. Rows are filled up to a multiple of ``multiple`` tokens."""

    def __init__(
        self,
        requests: Requests,
        inputs: Callable[[Row], graphs.Inputs],
        *,
        longest: int,
        vocabulary: int,
        multiple: int = 1,
    ) -> None:
        self._multiple = multiple
        self._requests = requests
        self._inputs = inputs
        self._longest = longest
        self._vocabulary = vocabulary

    def run(self, row: Row) -> Vectors:
        """Give the last hidden state of every token: (T, hidden) float32, until the next run.

        A sequence's states have the same bits whatever else is in the row. So beyond ``row_tokens``
        sequences are run one by one: longer products are made in parts, each a sum of its own.
        Raises ValueError for a row that is empty or longer than its sequences, for a sequence
        longer than the model reads, and for an id outside the vocabulary.
        """
        self._check(row)
        if len(row.ids) <= _ROW_TOKENS or len(row.lengths) == 1:
            return self._states(row)
        sequences = np.split(row.ids, np.cumsum(row.lengths)[:-1])
        each = (replace(_row_of(one), bulk=row.bulk) for one in sequences)
        return np.concatenate([self._states(one).copy() for one in each])

    def _states(self, row: Row) -> Vectors:
        """Run a row at once. A token that is all there is goes twice.

        To multiply by one row the libraries have kernels of their own, which for some widths add up
        in another order.
        """
        tokens = len(row.ids)
        given = row if tokens > 1 else _row_of(row.ids, row.ids)
        inputs = _filled(self._inputs(given), -len(given.ids) % self._multiple)
        states: Vectors = self._requests.infer(inputs, bulk=row.bulk)[0]
        return states[:tokens]

    def _check(self, row: Row) -> None:
        lengths = row.lengths.tolist()
        if not lengths or min(lengths) < 1:
            raise ValueError("a row has sequences, and a sequence has tokens")
        if sum(lengths) != len(row.ids):
            raise ValueError(f"{len(row.ids)} ids for {sum(lengths)} tokens")
        if max(lengths) > self._longest:
            raise ValueError(f"{max(lengths)} tokens are more than {self._longest}")
        if int(row.ids.min()) < 0 or int(row.ids.max()) >= self._vocabulary:
            raise ValueError(f"a token id is not within 0…{self._vocabulary - 1}")


def _filled(inputs: graphs.Inputs, more: int) -> graphs.Inputs:
    """Lay so many tokens behind a row that no bin holds, so that no other sees them.

    The inputs of one dimension are those that say something of each token.
    """
    if not more:
        return inputs
    spare = np.zeros(more, np.int32)
    return [np.concatenate([one, spare]) if one.ndim == 1 else one for one in inputs]


def _row_of(*sequences: npt.NDArray[np.int32]) -> Row:
    """Lay sequences end to end."""
    return Row(np.concatenate(sequences), np.array([len(one) for one in sequences], np.int32))
