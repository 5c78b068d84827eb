"""``emblem recommend``: which model of the catalogue fits, and how fast it is on this machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.options import ConfigOption, HomeOption, JsonOption, home_folder, loaded
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.cli.speed import Kept, Machine, Speed
    from emblem.config import Settings
    from emblem.models.catalog import Row, Score

LanguageOption = Annotated[
    str | None, typer.Option("--language", "-l", metavar="CODE", help="such as de, or en")
]
TokensOption = Annotated[
    str | None,
    typer.Option("--tokens", metavar="N", help="say how long so many take: 250000, 20M or 1B"),
]
AgainOption = Annotated[
    bool, typer.Option("--again", help="measure again what was measured before")
]

RECOMMEND_EPILOG = """
[bold]Examples[/bold]

  [cyan]emblem recommend --language de --tokens 20M[/cyan]
"""

MEASURED, ESTIMATED, UNKNOWN = "measured", "estimated", "unknown"


@dataclass(frozen=True, slots=True)
class Pick:
    """A model that fits. ``speed`` says where ``tokens_per_s`` comes from, ``seconds`` what it means."""

    name: str
    width: int
    max_length: int | None
    languages: tuple[str, ...]
    languages_claimed: str
    licence: str
    gated: bool
    needs_torch: bool
    score: Score | None
    installed: bool
    speed: str
    tokens_per_s: float | None
    estimated_from: str | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What was asked, on which machine, and every model that fits.

    ``left_out`` names those that do not list the language and claim more than they list.
    """

    language: str | None
    tokens: int | None
    machine: Machine
    models: tuple[Pick, ...]
    left_out: tuple[str, ...] = ()


def recommend(
    language: LanguageOption = None,
    tokens: TokensOption = None,
    again: AgainOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Compare the models of the catalogue: languages, quality as published, speed on this machine.

    What is here is measured for a second, once; what is not is estimated from what was measured.
    """
    from emblem.cli.output import print_json

    settings = loaded(home, config).settings
    wanted = None if tokens is None else count(tokens)
    rows = fitting(language)
    home_folder(settings)
    speeds = _speeds(settings, again)
    picks = tuple(_pick(row, speeds, wanted) for row in rows)
    found = Recommendation(language, wanted, speeds.kept.machine, picks, left_out(rows))
    if as_json:
        print_json(found)
    else:
        _print(found, speeds)


def count(text: str) -> int:
    """Read a number of tokens, such as 250000, 20M or 1.5B. Raises InvalidRequest."""
    found = re.fullmatch(r"(\d+(?:[_,]\d{3})*(?:\.\d+)?) ?([kKmMgGbB]?)", text.strip())
    factor = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
    if found is None:
        raise InvalidRequest(f"--tokens is {text!r}; it must be a number such as 250000, 20M or 1B")
    return int(float(re.sub("[_,]", "", found[1])) * factor[found[2].lower()])


def fitting(language: str | None) -> list[Row]:
    """Give the rows that list a language, the best of each benchmark first.

    Raises InvalidRequest for a language that none lists.
    """
    from emblem.models import catalog

    code = (language or "").strip().lower().partition("-")[0]
    rows = [row for row in catalog.ROWS if not code or code in row.languages]
    if not rows:
        known = sorted({one for row in catalog.ROWS for one in row.languages})
        raise InvalidRequest(
            f"no model of the catalogue lists the language {language!r}; those listed are "
            f"{' '.join(known)}"
        )
    order = list(dict.fromkeys(row.score.benchmark for row in rows if row.score))
    return sorted(
        rows,
        key=lambda row: (
            order.index(row.score.benchmark) if row.score else len(order),
            -row.score.value if row.score else 0.0,
        ),
    )


def left_out(rows: Sequence[Row]) -> tuple[str, ...]:
    """Name the rows that are not among these, though they claim more languages than they list."""
    from emblem.models import catalog

    return tuple(row.name for row in catalog.ROWS if row.claims and row not in rows)


@dataclass(frozen=True, slots=True)
class _Speeds:
    kept: Kept
    here: dict[str, Speed]  # by the names of the rows
    problems: tuple[str, ...] = ()

    @property
    def references(self) -> list[Speed]:
        """What others are estimated from: real models, and a random one only where there is none."""
        return list(self.kept.speeds.values())


def _speeds(settings: Settings, again: bool) -> _Speeds:
    """Measure what is here and was not measured before."""
    from emblem.cli import speed
    from emblem.errors import EmblemError

    before = speed.kept(settings)
    known = {} if again else dict(before.speeds)
    here: dict[str, Speed] = {}
    problems = []
    for row in _installed(settings):
        active = row.size.active if row.size else 0
        try:
            space = _space(row, settings)
            if space not in known:
                typer.echo(f"measuring {row.name} …", err=True)
                _, known[space] = speed.measured(row.name, active, settings)
            here[row.name] = known[space]
        except EmblemError as error:
            problems.append(f"{row.name} is here and could not be measured: {error}")
    if not any(one.active for one in here.values()):
        if speed.RANDOM not in known:
            typer.echo(f"measuring {speed.RANDOM} …", err=True)
            known[speed.RANDOM] = speed.random_encoder(settings)
    else:
        known.pop(speed.RANDOM, None)
    kept = speed.Kept(before.machine, known)
    if kept != before:
        speed.keep(settings, kept)
    return _Speeds(kept, here, tuple(problems))


def _installed(settings: Settings) -> Iterator[Row]:
    from emblem.models import catalog
    from emblem.serving import open_library

    library = open_library(settings)
    return (row for row in catalog.ROWS if library.known(row.name) is not None)


def _space(row: Row, settings: Settings) -> str:
    from emblem.errors import ModelError
    from emblem.serving import find, understand

    folder = find(row.name, settings)
    if folder is None:
        raise ModelError(f"{row.name} is damaged; emblem pull {row.name} heals it")
    return understand(folder, row.name, settings).space.identity


def _pick(row: Row, speeds: _Speeds, tokens: int | None) -> Pick:
    from emblem.cli.speed import estimated

    word, pace, source = UNKNOWN, None, None
    if (own := speeds.here.get(row.name)) is not None:
        word, pace = MEASURED, own.tokens_per_s
    elif row.size and (guess := estimated(row.size.active, speeds.references)) is not None:
        word, pace, source = ESTIMATED, guess[0], guess[1].model
    return Pick(
        name=row.name,
        width=row.width,
        max_length=row.max_length,
        languages=row.languages,
        languages_claimed=row.claims,
        licence=row.licence,
        gated=row.gated,
        needs_torch=row.needs_torch,
        score=row.score,
        installed=row.name in speeds.here,
        speed=word,
        tokens_per_s=None if pace is None else round(pace, 1),
        estimated_from=source,
        seconds=None if pace is None or tokens is None else round(tokens / pace, 1),
    )


def _print(found: Recommendation, speeds: _Speeds) -> None:
    from emblem.cli.output import print_table

    order = list(dict.fromkeys(one.score.benchmark for one in found.models if one.score))
    head = ["name", "numbers", "reads", "languages", "licence", "retrieval", "tokens/s", "speed"]
    rows = [_cells(one, order) for one in found.models]
    if found.tokens is not None:
        head.append(f"{found.tokens:,} tokens")
        rows = [[*row, duration(one.seconds)] for row, one in zip(rows, found.models, strict=True)]
    print_table(head, rows, right="numbers reads languages retrieval tokens/s")
    typer.echo("")
    for line in _notes(found, order, speeds):
        typer.echo(line)


def _cells(one: Pick, order: Sequence[str]) -> list[str]:
    where = f"{one.score.value:g} [{order.index(one.score.benchmark) + 1}]" if one.score else ""
    licence = f"{one.licence}, gated" if one.gated else one.licence
    return [
        one.name,
        str(one.width),
        str(one.max_length or "any"),
        _languages(one),
        licence,
        where,
        "" if one.tokens_per_s is None else f"{_rounded(one.tokens_per_s):,}",
        f"{one.speed}, with torch" if one.needs_torch else one.speed,
    ]


def _languages(one: Pick) -> str:
    """Say what its makers claim, or else how many are listed, or which one."""
    if one.languages_claimed:
        return one.languages_claimed
    return one.languages[0] if len(one.languages) == 1 else str(len(one.languages))


def _notes(found: Recommendation, order: Sequence[str], speeds: _Speeds) -> Iterator[str]:
    for number, benchmark in enumerate(order, 1):
        yield f"[{number}] {benchmark}: nDCG@10 in percent, as published (emblem show has the source)"
    if len(order) > 1:
        yield "Scores of different benchmarks cannot be compared with one another."
    if found.left_out:
        yield (
            f"Not above: {', '.join(found.left_out)}. Their makers claim more languages than those "
            f"that they were evaluated in, and {found.language} is none of the latter (emblem show "
            "has them)."
        )
    sources = sorted({one.estimated_from for one in found.models if one.estimated_from})
    machine = found.machine
    yield (
        f"measured: with the model's own engine on this machine ({machine.processor}, threads "
        f"{machine.threads}), passages of about a hundred tokens."
    )
    if sources:
        yield (
            f"estimated: from what was measured of {', '.join(sources)}, by operations per token; "
            "not measured, and long texts cost more."
        )
    yield from speeds.problems


def duration(seconds: float | None) -> str:
    """Write how long something takes, as people say it."""
    if seconds is None:
        return ""
    for unit, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _rounded(value: float) -> int:
    """Keep two digits: more would claim more than a second of measuring knows."""
    digits = max(0, len(str(int(value))) - 2)
    return int(round(value, -digits))
