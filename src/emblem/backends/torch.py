"""Runs whole sentence-transformers models through that library, on a GPU or on the CPU.

Needs the extra ``torch``: importing this file imports torch. A model's own Python code is never
run and the network is never used. How a folder is opened is in ``torch_loading.py``.
"""

import logging
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from emblem.backends.batches import batches
from emblem.backends.torch_loading import Inputs, inputs_of, load, numbers, place
from emblem.core.tokenize import TextTokenizer
from emblem.errors import ModelError
from emblem.model import Model, Modules
from emblem.types import Row, Vectors

log = logging.getLogger(__name__)

# Measured once, with MPNet's sizes on 2 threads: of sequences of 8…32 tokens, 512 and 1,024 a row
# ran a fifth faster than 256; of 64…256 tokens, all alike. A short text waits for a whole row.
_ROW_TOKENS = 256
_GPU_ROW_TOKENS = 16_384  # a GPU needs many tokens at once; not measured, for want of one

_LEAST_COSINE = 0.99999  # between a sequence alone and the same sequence padded


class TorchBackend:
    """A folder of modules, loaded in float32.

    ``tokenizer`` is what will read the texts: it is checked to give the ids that the library gives,
    with each prompt of the model. ``device`` is ``auto``, or a name of torch's such as ``cpu``,
    ``cuda:1`` or ``mps``. Raises ModelError for a model that the library cannot load in full or
    reads otherwise than we do, ConfigError for a device that is not there.
    """

    def __init__(
        self, model: Model, tokenizer: TextTokenizer, *, device: str = "auto", threads: int = 1
    ) -> None:
        if not isinstance(model.encoder, Modules):
            raise ModelError(f"{model.name}: is no folder of modules")
        if threads < 1:
            raise ValueError(f"{threads} threads")
        self._device = place(device)
        torch.set_num_threads(threads)
        self._threads = threads
        library = load(model.encoder, self._device)
        inputs = inputs_of(library, model.encoder, tokenizer, model.prompts)
        self._numbers = numbers(library, model.encoder)
        self._width = model.width
        stream = TorchStream(library, inputs, model.encoder.longest, pad=True)
        self._stream: TorchStream | None = stream
        if not stream.padding_is_harmless():
            log.info("%s is run without padding, which would change its vectors", model.name)
            self._stream = TorchStream(library, inputs, model.encoder.longest, pad=False)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._width

    @property
    def row_tokens(self) -> int:
        """Tokens in a row beyond which throughput hardly grows."""
        return _ROW_TOKENS if self._device.type == "cpu" else _GPU_ROW_TOKENS

    @property
    def streams(self) -> int:
        """One: the device is one, and so is the model's memory."""
        return 1

    def stream(self) -> "TorchStream":
        """Open the stream. Called once, by the thread that runs it."""
        if self._stream is None:
            raise RuntimeError("the backend is closed")
        torch.set_num_threads(self._threads)  # which OpenMP keeps for each thread
        return self._stream

    def row_bytes(self, tokens: int) -> int:
        """Predicted bytes of working memory for a row of that many tokens."""
        return self._numbers.row_bytes(tokens)

    def close(self) -> None:
        """Free the model. Called once, when no stream runs any more."""
        self._stream = None
        _give_back(self._device)


class TorchStream:
    """The model, used by one thread at a time. See ``TorchBackend``."""

    def __init__(
        self, library: SentenceTransformer, inputs: Inputs, longest: int, *, pad: bool
    ) -> None:
        self._library = library
        self._inputs = inputs
        self._longest = longest
        self._pad = pad
        self._device = library.device

    def run(self, row: Row) -> Vectors:
        """Give the vector of every sequence: (n, width) float32, C-contiguous.

        Raises ValueError for a row that is empty or longer than its sequences, for a sequence
        longer than the model reads, and for an id outside the vocabulary.
        """
        self._check(row)
        skip = row.skip if self._inputs.prompt_length and row.skip is not None else None
        skips = np.zeros_like(row.lengths) if skip is None else skip
        sequences = np.split(row.ids, np.cumsum(row.lengths)[:-1])
        found: Vectors | None = None
        for group in batches(row.lengths, skips, pad=self._pad):
            vectors = self._within_memory([sequences[n] for n in group], int(skips[group[0]]))
            if found is None:
                found = np.empty((len(sequences), vectors.shape[1]), np.float32)
            found[group] = vectors
        assert found is not None  # noqa: S101 - a checked row has sequences
        return found

    def padding_is_harmless(self) -> bool:
        """Tell whether a sequence has the same vector beside a longer one, to rounding."""
        probes = self._inputs.probes
        short, long = min(probes, key=len), max(probes, key=len)
        together = self._vectors([long, short], 0)[1]
        alone = self._vectors([short], 0)[0]
        lengths = float(np.linalg.norm(alone) * np.linalg.norm(together))
        return bool(float(alone @ together) >= _LEAST_COSINE * lengths > 0)

    def _check(self, row: Row) -> None:
        if not len(row.lengths) or int(row.lengths.min()) < 1:
            raise ValueError("a row has sequences, and a sequence has tokens")
        if int(row.lengths.sum()) != len(row.ids):
            raise ValueError(f"{len(row.ids)} ids for {int(row.lengths.sum())} tokens")
        if int(row.lengths.max()) > self._longest:
            raise ValueError(f"{int(row.lengths.max())} tokens are more than {self._longest}")
        # On a GPU an id that the table lacks would end every later computation, too.
        if int(row.ids.min()) < 0 or int(row.ids.max()) >= self._inputs.vocabulary:
            raise ValueError(f"a token id is not within 0…{self._inputs.vocabulary - 1}")

    def _within_memory(self, sequences: list[Any], skip: int) -> Vectors:
        """Run a group, in two halves where the device's memory does not hold all of it."""
        try:
            return self._vectors(sequences, skip)
        except torch.OutOfMemoryError:
            if len(sequences) == 1:
                raise
        _give_back(self._device)
        half = len(sequences) // 2
        parts = (sequences[:half], sequences[half:])
        return np.concatenate([self._within_memory(part, skip) for part in parts])

    def _vectors(self, sequences: list[Any], skip: int) -> Vectors:
        """Run sequences at once, padded on the right: (n, width) float32.

        On the right whatever side the tokenizer pads: so each token keeps the position that it has
        alone, and what comes after it is hidden from it.
        """
        shape = (len(sequences), max(map(len, sequences)))
        ids = np.full(shape, self._inputs.padding, np.int64)
        mask = np.zeros(shape, np.int64)
        for n, sequence in enumerate(sequences):
            ids[n, : len(sequence)] = sequence
            mask[n, : len(sequence)] = 1
        features: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids).to(self._device),
            "attention_mask": torch.from_numpy(mask).to(self._device),
        }
        if self._inputs.type_ids:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        if skip:
            features["prompt_length"] = skip
        with torch.inference_mode():
            result = self._library(features)["sentence_embedding"]
            vectors: Vectors = np.ascontiguousarray(result.float().cpu().numpy())
        return vectors


def _give_back(device: torch.device) -> None:
    """Return what torch keeps for later use to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
