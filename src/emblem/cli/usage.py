"""``emblem usage``: who used what, as a table, as JSON, or every record as a file."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from emblem.accounts import By, Sum, Window
    from emblem.ports import Ledger

USAGE_EPILOG = """
[bold]Examples[/bold]

  [cyan]emblem usage --by key,model --since 7d[/cyan]

  [cyan]emblem usage --by day --key laptop --json[/cyan]

  [cyan]emblem usage --export november.csv --since 2026-11-01 --until 2026-12-01[/cyan]
"""

NUMBERS = ("requests", "errors", "inputs", "tokens", "hits", "cost", "p50", "p95", "p99")
NONE = "none"
WITHOUT_ROW = ("EMBLEM_API_KEY", "anonymous")  # whose requests are recorded under no key of ours

ByOption = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="LIST",
        help="key, team, model, status, day, hour, minute, space, served_by, user, tag; or none",
    ),
]
SinceOption = Annotated[
    str, typer.Option("--since", metavar="WHEN", help="a span (7d, 12h) or a date (2026-11-01)")
]
UntilOption = Annotated[
    str | None, typer.Option("--until", metavar="WHEN", help="the end, which does not count")
]
KeyOption = Annotated[str | None, typer.Option("--key", metavar="NAME|ID", help="of this key only")]
TeamOption = Annotated[
    str | None, typer.Option("--team", metavar="NAME|ID", help="of this team only")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="NAME", help="of this model only")
]
ExportOption = Annotated[
    str | None,
    typer.Option("--export", metavar="FILE", help="write every record: FILE.csv or FILE.parquet"),
]


@dataclass(frozen=True, slots=True)
class _Names:
    """What the ids of keys and teams are called; those of deleted ones have no name."""

    keys: "Mapping[str, str]"
    teams: "Mapping[str, str]"

    def of(self, by: "By", value: str) -> str:
        """Give what a value of a group is called."""
        known = {"key": self.keys, "team": self.teams}.get(by.value, {})
        return known.get(value, value)


def _shown(text: str) -> str:
    """Give what a client wrote so that it cannot act on a terminal."""
    return text if text.isprintable() else ascii(text)


def usage(
    by: ByOption = "key",
    since: SinceOption = "7d",
    until: UntilOption = None,
    key: KeyOption = None,
    team: TeamOption = None,
    model: ModelOption = None,
    export: ExportOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Show who used how much. Days are those of UTC; a running server's last second is not there yet."""
    from emblem.accounts import Window
    from emblem.cli.ledger import ledger

    groups = _groups(by)
    now = time.time()
    with ledger(loaded(home, config).settings) as book:
        names = _names(book)
        window = Window(
            since=_moment(since, now, "--since"),
            until=now if until is None else _moment(until, now, "--until"),
            key=_id("key", key, names.keys),
            team=_id("team", team, names.teams),
            model=model,
        )
        if window.until <= window.since:
            raise InvalidRequest("--until must be later than --since")
        if export is not None:
            _export(book, window, Path(export), as_json=as_json)
            return
        sums, total = book.usage.summed(window, groups)
    if as_json:
        _print_json(window, groups, names, sums, total)
    elif total.requests:
        _print_table(groups, names, sums, total)
    else:
        typer.echo("Nothing was used in this time.", err=True)


def _groups(text: str) -> "tuple[By, ...]":
    from emblem.accounts import By

    asked = [] if text.strip() in ("", NONE) else [one.strip() for one in text.split(",")]
    try:
        found = tuple(map(By, asked))
    except ValueError:
        wrong = next(one for one in asked if one not in list(By))
        raise InvalidRequest(f"usage is by {', '.join(By)} or {NONE}, not by {wrong!r}") from None
    if len(set(found)) < len(found):
        raise InvalidRequest("--by names something twice")
    return found


def _moment(text: str, now: float, flag: str) -> float:
    """Read a span before now, or a date or time, which is in UTC unless it says otherwise."""
    from datetime import UTC, datetime

    from emblem.ledger.terms import span

    try:
        return max(0.0, now - span(text))
    except InvalidRequest:
        pass
    try:
        read = datetime.fromisoformat(text)
        return max(0.0, (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{flag} must be a span such as 7d or 12h, or a date such as 2026-11-01, not {text!r}"
        ) from None


def _names(book: "Ledger") -> _Names:
    return _Names(
        keys={key.id: key.terms.name for key in book.keys.every()},
        teams={team.id: team.name for team in book.teams.every()},
    )


def _id(what: str, wanted: str | None, names: "Mapping[str, str]") -> str | None:
    """Give the id of a name or an id; revoked keys have used something, too."""
    if wanted is None or wanted in names:
        return wanted
    found = [name for name, called in names.items() if called == wanted]
    if len(found) > 1:
        raise InvalidRequest(
            f"there are {len(found)} {what}s {wanted!r}; name one by its id: {', '.join(found)}"
        )
    if not found and (what != "key" or wanted not in WITHOUT_ROW):
        raise InvalidRequest(
            f"there is no {what} {wanted!r}; emblem {what}s list shows what there is"
        )
    return found[0] if found else wanted


def _export(book: "Ledger", window: "Window", path: Path, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from emblem.cli.output import print_json
    from emblem.ledger.export import export

    written = export(book.usage, window, path)
    gone = book.usage.pruned_until(window)  # afterwards: pruning may go on meanwhile
    if as_json:
        print_json({"file": str(path), "records": written, "pruned_until": gone})
        return
    typer.echo(f"Wrote {written} record{'' if written == 1 else 's'} to {path}.")
    if gone is not None:
        day = datetime.fromtimestamp(gone, UTC).strftime("%Y-%m-%dT%H:%MZ")
        typer.echo(
            f"Records from before {day} are pruned and not in it; their sums are in emblem usage.",
            err=True,
        )


def _print_table(groups: "tuple[By, ...]", names: _Names, sums: "list[Sum]", total: "Sum") -> None:
    from emblem.cli.output import print_table

    head = [*(one.value for one in groups), *NUMBERS]
    rows = []
    for one in sums:
        called = (names.of(*pair) for pair in zip(groups, one.group, strict=True))
        rows.append([*(_shown(name) or "-" for name in called), *_cells(one)])
    if groups and len(sums) > 1:
        rows.append(["total", *[""] * (len(groups) - 1), *_cells(total)])
    print_table(head, rows, right=" ".join(NUMBERS))


def _cells(one: "Sum") -> list[str]:
    from emblem.cli.ledger import money

    counts = (one.requests, one.errors, one.inputs, one.tokens, one.hits)
    times = (
        ["", "", ""]
        if one.ms is None
        else [f"{ms:.3g}" if ms < 100 else f"{ms:.0f}" for ms in one.ms]
    )
    return [*map(str, counts), money(one.cost), *times]


def _print_json(
    window: "Window", groups: "tuple[By, ...]", names: _Names, sums: "list[Sum]", total: "Sum"
) -> None:
    from emblem.cli.output import print_json

    rows = []
    for one in sums:
        row: dict[str, object] = {}
        for by, value in zip(groups, one.group, strict=True):
            row[by.value] = value
            if by.value in ("key", "team"):
                row[f"{by.value}_name"] = names.of(by, value)
        rows.append(row | _plain(one))
    print_json(
        {
            "since": window.since,
            "until": window.until,
            "by": [one.value for one in groups],
            "usage": rows,
            "total": _plain(total),
        }
    )


def _plain(one: "Sum") -> dict[str, object]:
    """Give a sum as it stands in JSON; money as text, since JSON's numbers are inexact."""
    from emblem.cli.ledger import money

    return {
        "requests": one.requests,
        "errors": one.errors,
        "inputs": one.inputs,
        "tokens": one.tokens,
        "hits": one.hits,
        "cost": money(one.cost),
        "ms": None
        if one.ms is None
        else dict(zip(("p50", "p95", "p99"), (round(ms, 3) for ms in one.ms), strict=True)),
    }
