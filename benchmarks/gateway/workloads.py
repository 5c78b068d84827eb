"""What is asked, and whether an answer is right."""

import base64
import json
from dataclasses import dataclass

import numpy as np
from benchmarks.gateway.upstream import MODEL, place, table

VECTORS = table()
TEXT = "a museum of garden engines open from May to September and closed on Mondays"


@dataclass(frozen=True, slots=True)
class Workload:
    """So many texts of so many words in each request, over so many connections."""

    name: str
    texts: int
    words: int
    form: str
    connections: int
    repeated: bool = False  # whether the same requests come again and again

    def bodies(self, seed: int) -> list[bytes]:
        """Make the bodies, each with texts of its own."""
        made = []
        for number in range(16 if self.repeated else max(64, 4000 // self.texts)):
            texts = [
                self._text(1_000_000 * seed * (not self.repeated) + number * self.texts + one)
                for one in range(self.texts)
            ]
            body: dict[str, object] = {
                "model": MODEL,
                "input": texts[0] if self.texts == 1 else texts,
            }
            made.append(json.dumps(body | {"encoding_format": self.form}).encode())
        return made

    def _text(self, number: int) -> str:
        words = TEXT.split()
        return " ".join([str(number), *(words[at % len(words)] for at in range(self.words - 1))])


WORKLOADS = (
    Workload("1 short text", 1, 10, "base64", 1),
    Workload("1 short text", 1, 10, "base64", 8),
    Workload("1 short text", 1, 10, "base64", 32),
    Workload("1 short text", 1, 10, "float", 8),
    Workload("64 × 200 words", 64, 200, "base64", 8),
    Workload("64 × 200 words", 64, 200, "float", 8),
    Workload("2,048 short texts", 2048, 10, "base64", 1),
    Workload("2,048 short texts", 2048, 10, "float", 1),
    Workload("1 short text again", 1, 10, "base64", 8, repeated=True),
)


def right(asked: bytes, answered: bytes | bytearray) -> bool:
    """Tell whether an answer has the right vectors in the right order."""
    given = json.loads(asked)["input"]
    texts = [given] if isinstance(given, str) else given
    data = json.loads(answered)["data"]
    rows = [
        np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
        if isinstance(one["embedding"], str)
        else np.array(one["embedding"], np.float32)
        for one in sorted(data, key=lambda one: one["index"])
    ]
    due = VECTORS[[place(text) for text in texts]]
    return len(rows) == len(due) and bool(np.abs(np.stack(rows) - due).max() <= 1e-6)
