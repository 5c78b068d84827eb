"""What a run found, as JSON. Parts of a run that are measured apart are put into one file."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare.ceilings import Ceiling
from benchmarks.compare.judge import Turn

Place = tuple[str, int]  # the run and the round: only turns of the same place are compared


@dataclass(slots=True)
class Results:
    """Figures by workload, run, round, system and part; and whatever is measured once.

    ``left_out`` says why a system was not there at all, ``problems`` what went wrong with one that
    was, by workload and round. Each turn and problem says of which run and when it is. All runs
    of a file are of one commit and one processor.
    """

    run: str
    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    turns: list[dict[str, object]] = field(default_factory=list)
    problems: list[dict[str, object]] = field(default_factory=list)
    ceilings: list[dict[str, object]] = field(default_factory=list)
    once: dict[str, object] = field(default_factory=dict)

    def add(self, workload: str, number: int, system: str, turns: list[Turn], at: str = "") -> None:
        """Keep a turn. ``at`` is when it was taken."""
        for turn in turns:
            where = {"workload": workload, "round": number, "system": system}
            self.turns.append({**self._marked(at), **where, **turn.plain()})

    def add_problem(self, workload: str, number: int, system: str, problem: str) -> None:
        """Keep why a system has no turn in a round, or what became of it after its turn."""
        where = {"workload": workload, "round": number, "system": system}
        self.problems.append({**self._marked(""), **where, "problem": problem})

    def add_ceiling(self, workload: str, number: int, found: Ceiling) -> None:
        """Keep what the bare products reached in a round."""
        marked = {"run": self.run, "workload": workload, "round": number}
        self.ceilings.append({**marked, "products": found})

    def _marked(self, at: str) -> dict[str, object]:
        return {"run": self.run, "commit": self.machine.get("commit", ""), "at": at}

    def of(self, workload: str, part: str | None = None) -> dict[str, dict[Place, Turn]]:
        """Give the turns of each system, by place; of the first part where none is named."""
        found: dict[str, dict[Place, Turn]] = {}
        for system, place, turn in self._each(workload):
            if part in (None, turn.part):
                found.setdefault(system, {}).setdefault(place, turn)
        return found

    def every(self, workload: str, system: str) -> list[Turn]:
        """Give all parts of all turns of a system."""
        return [turn for name, _, turn in self._each(workload) if name == system]

    def broken(self, workload: str, system: str) -> set[Place]:
        """Give the places in which something went wrong with a system."""
        return {
            (str(one["run"]), int(str(one["round"])))
            for one in self.problems
            if (one["workload"], one["system"]) == (workload, system)
        }

    def bare(self, workload: str) -> dict[Place, Ceiling]:
        """Give what the bare products reached beside the turns of a workload."""
        return {
            (str(one["run"]), int(str(one["round"]))): one["products"]  # type: ignore[misc]
            for one in self.ceilings
            if one["workload"] == workload
        }

    def _each(self, workload: str) -> Iterator[tuple[str, Place, Turn]]:
        marks = ("workload", "round", "system", "run", "commit", "at")
        for one in self.turns:
            if one["workload"] == workload:
                rest = {k: v for k, v in one.items() if k not in marks}
                place = (str(one["run"]), int(str(one["round"])))
                yield str(one["system"]), place, Turn(**rest)  # type: ignore[arg-type]

    def goes_on(self, run: str, machine: Mapping[str, str]) -> None:
        """Begin another run in the same file. Exits where it would be one of something else."""
        for name in ("commit", "cpu"):
            if self.machine and self.machine.get(name) != machine.get(name):
                raise SystemExit(
                    f"the file is of {name} {self.machine.get(name)!r} and this run would be of "
                    f"{machine.get(name)!r}; their figures do not belong together: give another file"
                )
        self.run, self.machine = run, dict(machine)

    def save(self, file: Path) -> None:
        """Write it, all or nothing."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        beside = file.with_suffix(".part")
        beside.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
        beside.replace(file)


def load(file: Path) -> Results:
    """Read what ``save`` wrote."""
    plain: Mapping[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return Results(**plain)  # type: ignore[arg-type]
