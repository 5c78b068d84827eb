"""``emblem verify``: are stored vectors those that a model gives, and if not, why not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.cli.verify_asked import Report
    from emblem.types import Kind, Overflow

LEAST = 0.999

VERIFY_EPILOG = """
The key of --base-url is taken from OPENAI_API_KEY, that of --against from AGAINST_API_KEY, or from
OPENAI_API_KEY where there is no --base-url. A database's password is best in PGPASSWORD or ~/.pgpass.

Exit code 1: a cosine is below --least.

[bold]Examples[/bold]

  [cyan]emblem verify vectors.parquet --model all-MiniLM-L6-v2[/cyan]

  [cyan]emblem verify postgresql://me@db/app --table passages --vector-column vec[/cyan]

  [cyan]emblem verify --model all-MiniLM-L6-v2 --against http://old.example.org/v1[/cyan]
"""

SourceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE|DATABASE]", help="what has texts and vectors: a file or postgresql://…"
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="a name, hub repository or folder",
        autocompletion=completion.models,
    ),
]
BaseUrlOption = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="ask this server for the model"),
]
AgainstOption = Annotated[
    str | None,
    typer.Option("--against", metavar="URL", help="compare with the vectors of this server"),
]
AgainstModelOption = Annotated[
    str | None,
    typer.Option("--against-model", metavar="NAME", help="what that server calls the model"),
]
ColumnOption = Annotated[
    str | None, typer.Option("--column", metavar="NAME", help="the column of texts (text)")
]
VectorColumnOption = Annotated[
    str | None,
    typer.Option("--vector-column", metavar="NAME", help="the column of vectors (embedding)"),
]
TableOption = Annotated[
    str | None, typer.Option("--table", metavar="NAME", help="of a database: its table")
]
SampleOption = Annotated[
    int, typer.Option("--sample", metavar="N", min=1, max=100_000, help="rows that are drawn")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="draws other rows")]
LeastOption = Annotated[
    float, typer.Option("--least", metavar="COSINE", min=-1, max=1, help="the least good cosine")
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        "--input-type",
        metavar="WORD",
        help="what the texts were embedded as: query or document",
        autocompletion=completion.words("query", "document"),
    ),
]
OverflowOption = Annotated[
    str | None,
    typer.Option(
        "--overflow",
        metavar="WORD",
        help="what was done with long texts: mean or truncate",
        autocompletion=completion.words("mean", "truncate"),
    ),
]


def verify(
    source: SourceArgument = None,
    model: ModelOption = None,
    against: AgainstOption = None,
    against_model: AgainstModelOption = None,
    base_url: BaseUrlOption = None,
    column: ColumnOption = None,
    vector_column: VectorColumnOption = None,
    table: TableOption = None,
    sample: SampleOption = 200,
    seed: SeedOption = 0,
    least: LeastOption = LEAST,
    kind: KindOption = None,
    overflow: OverflowOption = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> int:
    """Embed a sample of stored texts again, and compare with the vectors stored beside them.

    Says by length of text how alike they are, and where they are not, what explains it: another
    prompt, rule for long texts, number of dimensions, normalisation, order of rows or model.
    """
    from emblem.cli.output import print_json
    from emblem.cli.verify_asked import Asked
    from emblem.cli.verify_examined import examined
    from emblem.cli.verify_explained import Way
    from emblem.cli.verify_stored import Wanted

    if source is None and against is None:
        raise InvalidRequest("give a file or database to verify, or a server with --against")
    given = Asked(
        source,
        model,
        base_url,
        against,
        against_model,
        table,
        least,
        Wanted(sample, seed, column, vector_column, texts_only=against is not None),
        Way(_kind(kind), _rule(overflow)),
        loaded(home, config).settings,
    )
    report = asyncio.run(examined(given))
    print_json(report) if as_json else _print(report)
    return 0 if report.ok else 1


def _kind(given: str | None) -> Kind | None:
    from emblem.types import Kind

    if given not in (None, *Kind):
        raise InvalidRequest(f"--kind is {given!r}; it must be {', '.join(Kind)}")
    return None if given is None else Kind(given)


def _rule(given: str | None) -> Overflow | None:
    from emblem.types import Overflow

    rules = (Overflow.MEAN, Overflow.TRUNCATE)
    if given not in (None, *rules):
        raise InvalidRequest(f"--overflow is {given!r}; it must be {', '.join(rules)}")
    return None if given is None else Overflow(given)


def _print(report: Report) -> None:
    from emblem.cli.output import print_facts, print_table

    of = "" if report.rows is None else f" of {report.rows:,}"
    facts = [
        ("source", report.source),
        ("model", f"{report.model} ({report.space}), each text {report.as_asked}"),
        ("compared", f"{report.compared:,}{of} rows"),
        ("left out", _left_out(report)),
    ]
    print_facts(facts)
    if report.bands:
        typer.echo()
        rows = [
            [
                one.tokens,
                str(one.texts),
                *(f"{value:.6f}" for value in (one.least, one.tenth, one.median)),
                f"{one.alike:.0%}",
            ]
            for one in report.bands
        ]
        head = ["tokens", "texts", "least", "tenth", "median", "alike"]
        print_table(head, rows, right="texts least tenth median alike")
    typer.echo()
    print_facts([*((one.cause, one.said) for one in report.findings), ("result", _result(report))])


def _left_out(report: Report) -> str:
    more = report.left_out - len(report.problems)
    lines = [*report.problems, f"and {more} more" if more > 0 else ""]
    return "\n".join(one for one in lines if one)


def _result(report: Report) -> str:
    if report.ok:
        return f"the same vectors: the least cosine is {report.least:.6f}"
    whole = [one for one in report.findings if one.whole]
    if report.least is None:
        said = "not the vectors of this model: their widths differ"
    else:
        said = f"NOT the same vectors: the least cosine is {report.least:.6f}"
    return said if whole else f"{said}, and nothing that was tried explains it"
