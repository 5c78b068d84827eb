"""What a run found, as JSON. Parts of a run that are measured apart are put into one file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare.judge import Turn


@dataclass(slots=True)
class Results:
    """Figures by workload, round, system and part; and whatever is measured once."""

    run: str
    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    turns: list[dict[str, object]] = field(default_factory=list)
    once: dict[str, object] = field(default_factory=dict)

    def add(self, workload: str, number: int, system: str, turns: list[Turn]) -> None:
        """Keep a turn, instead of what was kept of it before."""
        self.left_out.pop(system, None)
        place = (workload, number, system)
        self.turns = [
            one for one in self.turns if (one["workload"], one["round"], one["system"]) != place
        ]
        for turn in turns:
            self.turns.append(
                {"workload": workload, "round": number, "system": system, **turn.plain()}
            )

    def of(self, workload: str, part: str | None = None) -> dict[str, dict[int, Turn]]:
        """Give the turns of each system, by round; of the first part where none is named."""
        found: dict[str, dict[int, Turn]] = {}
        for system, number, turn in self._each(workload):
            if part in (None, turn.part):
                found.setdefault(system, {}).setdefault(number, turn)
        return found

    def _each(self, workload: str) -> Iterator[tuple[str, int, Turn]]:
        for one in self.turns:
            if one["workload"] == workload:
                rest = {k: v for k, v in one.items() if k not in ("workload", "round", "system")}
                yield str(one["system"]), int(str(one["round"])), Turn(**rest)  # type: ignore[arg-type]

    def save(self, file: Path) -> None:
        """Write it."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        file.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def load(file: Path) -> Results:
    """Read what ``save`` wrote."""
    plain: Mapping[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return Results(**plain)  # type: ignore[arg-type]
