"""Real runs of ``emblem embed`` that are killed at moments by chance, and then run again."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 300.0


@dataclass(slots=True)
class Killer:
    """Runs one command line again and again, and kills it each time, somewhat further on.

    ``chance`` decides after how many more chunks, and how long after that.
    """

    arguments: Sequence[str]
    folder: Path
    environ: dict[str, str]
    chance: random.Random
    rows: int
    landed: int = 0  # kills that ended a process which was at work
    inside: int = 0  # of those, the ones that had done chunks, and had others to do

    @property
    def partial(self) -> Path:
        out = self.arguments[self.arguments.index("-o") + 1]
        return self.folder / f"{out}.partial"

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "emblem", "embed", *self.arguments],
            cwd=self.folder,
            env=os.environ | self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def kill_once(self, most_chunks: int) -> None:
        """Kill a run once it has done some more chunks, or at once; it must not have ended."""
        before = self.chunks()
        target = before + self.chance.randint(0, most_chunks)
        pause = self.chance.random() * 0.05
        deadline = time.monotonic() + PATIENCE_S
        with self.start() as process:
            while self.chunks() < target or not self.locked():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.002)
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        if process.returncode == -signal.SIGKILL:
            self.landed += 1
            self.inside += self.chunks() > before

    def kill_at_the_end(self) -> None:
        """Kill a run while its output is made or put in its place."""
        deadline = time.monotonic() + PATIENCE_S
        with self.start() as process:
            while not (self.partial / "ready").exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.0005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        if process.returncode == -signal.SIGKILL:
            self.landed += 1
            self.inside += 1

    def finish(self) -> bytes:
        """Let a run come to its end, and give what it said."""
        with self.start() as process:
            _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
        return said

    def chunks(self) -> int:
        """Count the chunks that are done."""
        try:
            return (self.partial / "journal.jsonl").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def locked(self) -> bool:
        """Tell whether a run has taken hold of the job by now."""
        return (self.partial / "lock").exists()
