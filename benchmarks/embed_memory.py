"""Embed a large file of made-up text with ``emblem embed`` and print how much memory that took.

    .venv/bin/python benchmarks/embed_memory.py --gb 1 --model wordllama-256

The text is made of words by chance, always the same, in rows of 100 bytes to 20 KB. Needs Linux:
the largest resident set of the process is read from /proc.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
WORDS = 20_000


def rows(size: int) -> Iterator[bytes]:
    """Give JSON lines until they come to ``size`` bytes."""
    chance = random.Random(1)
    words = ["".join(chance.choices(LETTERS, k=chance.randint(2, 10))) for _ in range(WORDS)]
    done, number = 0, 0
    while done < size:
        text = " ".join(chance.choices(words, k=int(10 ** chance.uniform(1.2, 3.4))))
        line = json.dumps({"id": number, "text": text}).encode() + b"\n"
        yield line
        done += len(line)
        number += 1


def peak_mib(process: "subprocess.Popen[bytes]") -> float:
    """Give the largest resident set so far, in MiB."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def main() -> None:
    """Make the text, embed it, print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--model", default="wordllama-256")
    parser.add_argument("--suffix", default=".jsonl", help="of the output")
    parser.add_argument("--folder", help="where the files are made")
    given = parser.parse_args()
    with TemporaryDirectory(dir=given.folder) as folder:
        source, out = Path(folder, "text.jsonl"), Path(folder, f"vectors{given.suffix}")
        with source.open("wb") as lines:
            lines.writelines(rows(int(given.gb * 1e9)))
        command = [sys.executable, "-m", "emblem", "embed", str(source), "-o", str(out)]
        started, peak = time.monotonic(), 0.0
        with subprocess.Popen([*command, "--model", given.model]) as process:
            while process.poll() is None:
                peak = max(peak, peak_mib(process))
                time.sleep(0.05)
        seconds = time.monotonic() - started
        print(
            f"{source.stat().st_size / 1e9:.2f} GB of text, {given.model}, {given.suffix}: "
            f"exit code {process.returncode}, {seconds:.0f} s, at most {peak:.0f} MiB resident"
        )


if __name__ == "__main__":
    main()
