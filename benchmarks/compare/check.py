"""Whether an answer is right: decoded and compared after the clock has stopped."""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pybase64
from benchmarks.compare import systems
from tokenizers import Tokenizer

Vectors = npt.NDArray[np.float32]  # (n, width)

# The least cosine to what the model itself gives for the text.
LEAST = {"fp32": 0.99999, "static": 0.99999, "int8": 0.98}
REFERENCE_PYTHON = Path(__file__).parents[2] / ".venv-torch" / "bin" / "python"


class WrongAnswer(Exception):
    """An answer that is none, or not of what was asked; the message says what it was."""


def decode(status: int, body: bytes | bytearray, count: int) -> Vectors:
    """Give the vectors of an answer. Raises WrongAnswer."""
    if status != 200:
        shown = body[:160].decode("utf-8", "replace")
        raise WrongAnswer(f"{status} {shown}" if status else "the connection broke")
    try:
        items = orjson.loads(body)["data"]
        given = [item["index"] for item in items]
        rows = [_numbers(item["embedding"]) for item in items]
        vectors = np.array(rows, dtype=np.float32)
    except (ValueError, KeyError, TypeError) as error:
        raise WrongAnswer(f"no answer of this API: {type(error).__name__}: {error}") from None
    if given != list(range(count)):
        raise WrongAnswer(f"{len(given)} vectors in the order {given[:3]}… for {count} texts")
    return vectors


def _numbers(embedding: str | list[float]) -> Vectors:
    if isinstance(embedding, str):
        return np.frombuffer(pybase64.b64decode(embedding), "<f4")
    return np.array(embedding, dtype=np.float32)


def cosines(ours: Vectors, theirs: Vectors) -> npt.NDArray[np.float64]:
    """Give the cosine of each pair of rows: (n,). Rows of another width have 0."""
    if ours.shape != theirs.shape:
        return np.zeros(len(ours))
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.nan_to_num((a * b).sum(axis=1) / np.where(length == 0, 1, length))


@dataclass(frozen=True, slots=True)
class Truth:
    """The vectors of texts by themselves, computed when they are asked for and kept on disk.

    ``kind`` is a kind of ``peer.py`` that is the reference, or ``static``.
    """

    kind: str

    def of(self, texts: Iterable[str]) -> dict[str, Vectors]:
        """Give the vector of each text."""
        file = systems.BUILT / f"truth-{self.kind}.npz"
        kept = _kept(file)
        wanted = {text: _digest(text) for text in texts}
        missing = sorted((text for text, key in wanted.items() if key not in kept), key=len)
        if missing:
            made = self._make(missing)
            kept |= {wanted[text]: vector for text, vector in zip(missing, made, strict=True)}
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, keys=np.array(list(kept)), vectors=np.array(list(kept.values())))
        return {text: kept[key] for text, key in wanted.items()}

    def _make(self, texts: Sequence[str]) -> Vectors:
        if self.kind == "static":
            return _static(texts)
        parts = [texts[at : at + 64] for at in range(0, len(texts), 64)]
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "vectors.npy")
            peer = str(Path(__file__).with_name("peer.py"))
            asked = json.dumps({"batches": parts, "out": str(out)}) + "\n"
            command = [str(REFERENCE_PYTHON), peer, self.kind, str(systems.MODEL)]
            done = subprocess.run(command, input=asked, text=True, capture_output=True, check=False)
            if done.returncode:
                sys.exit(f"the reference cannot be computed: {done.stderr[-400:]}")
            vectors: Vectors = np.load(out)
            return vectors


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _kept(file: Path) -> dict[str, Vectors]:
    if not file.exists():
        return {}
    with np.load(file) as kept:
        return dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))


def _static(texts: Sequence[str]) -> Vectors:
    """Look words up in the table and average, as wordllama does: (n, 256)."""
    folder = systems.HOME / "models" / "wordllama-256"
    raw = next(folder.glob("*.safetensors")).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    (one,) = (value for name, value in header.items() if name != "__metadata__")
    start, end = one["data_offsets"]
    kind = {"F16": np.float16, "F32": np.float32}[one["dtype"]]
    table = np.frombuffer(raw[8 + size + start : 8 + size + end], kind).reshape(one["shape"])
    (file,) = folder.glob("*tokenizer*.json")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    sums = []
    for encoded in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        total = table[encoded.ids].astype(np.float64).sum(axis=0)
        sums.append(total / np.linalg.norm(total))
    return np.array(sums, dtype=np.float32)


def count_tokens(texts: Sequence[str], most: int | None) -> npt.NDArray[np.int64]:
    """Give how many of MiniLM's tokens each text has, special tokens included, ``most`` at most."""
    tokenizer = Tokenizer.from_file(
        str(systems.HOME / "models" / systems.MODEL.name / "tokenizer.json")
    )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    lengths = [len(one.ids) for one in tokenizer.encode_batch(list(texts))]
    return np.minimum(lengths, most or max(lengths, default=0)).astype(np.int64)
