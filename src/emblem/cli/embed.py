"""``emblem embed``: texts, a pipe, files or a folder in; vectors out."""

from typing import Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption

EMBED_EPILOG = """
[bold]Examples[/bold]

  [cyan]emblem embed "a text" "another"[/cyan]

  [cyan]cat lines.txt | emblem embed[/cyan]                         JSON lines on stdout

  [cyan]emblem embed passages.jsonl -o vectors.parquet[/cyan]       columns are kept

  [cyan]emblem embed notes/ -o notes.jsonl --model wordllama-256[/cyan]

  [cyan]emblem embed huge.csv -o huge.parquet --column body --estimate[/cyan]

  [cyan]emblem embed huge.csv -o huge.parquet --column body --shard 1/4[/cyan]

The same command again goes on where a job was killed. Exit code 3: finished, some rows failed.
"""

InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TEXT|FILE|FOLDER|-]...", help="texts, or what holds them; - is stdin"),
]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="OUT", help="a file to write: .jsonl, .parquet, .npy or .lance"
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
ColumnOption = Annotated[
    str | None, typer.Option("--column", metavar="NAME", help="the column that is embedded (text)")
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="WORD",
        help="of the input: txt, jsonl, csv, tsv, parquet",
        autocompletion=completion.words("txt", "jsonl", "csv", "tsv", "parquet"),
    ),
]
DelimiterOption = Annotated[
    str | None,
    typer.Option("--delimiter", metavar="C", help="what stands between the fields of CSV"),
]
DtypeOption = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="WORD",
        help="float32, float16, int8, uint8, binary or ubinary",
        autocompletion=completion.words("float32", "float16", "int8", "uint8", "binary", "ubinary"),
    ),
]
DimensionsOption = Annotated[
    int | None, typer.Option("--dimensions", metavar="N", min=1, help="keep the first N numbers")
]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        "--input-type",
        metavar="WORD",
        help="query or document",
        autocompletion=completion.words("query", "document"),
    ),
]
OverflowOption = Annotated[
    str | None,
    typer.Option(
        "--overflow",
        metavar="WORD",
        help="texts longer than the model reads: mean, truncate or error",
        autocompletion=completion.words("mean", "truncate", "error"),
    ),
]
VectorColumnOption = Annotated[
    str, typer.Option("--vector-column", metavar="NAME", help="what the vectors' column is called")
]
OverflowColumnOption = Annotated[
    str,
    typer.Option("--overflow-column", metavar="NAME", help="what tells of texts too long"),
]
ErrorsOption = Annotated[
    str | None,
    typer.Option("--errors", metavar="FILE", help="for rows that failed (OUT.errors.jsonl)"),
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="only this part of the rows, as 2/8")
]
EstimateOption = Annotated[
    bool, typer.Option("--estimate", help="sample some rows and say what all would take")
]
RestartOption = Annotated[
    bool, typer.Option("--restart", help="throw away what a job that was killed has done")
]
ForceOption = Annotated[bool, typer.Option("--force", help="put OUT in the place of an older one")]
BaseUrlOption = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="ask this server; its key is in OPENAI_API_KEY",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="no progress and no summary")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="print one JSON document: answer, summary or estimate")
]


def embed(
    inputs: InputsArgument = None,
    output: OutputOption = None,
    model: ModelOption = None,
    column: ColumnOption = None,
    input_format: FormatOption = None,
    delimiter: DelimiterOption = None,
    dtype: DtypeOption = "float32",
    dimensions: DimensionsOption = None,
    kind: KindOption = None,
    overflow: OverflowOption = None,
    vector_column: VectorColumnOption = "embedding",
    overflow_column: OverflowColumnOption = "overflow",
    errors: ErrorsOption = None,
    shard: ShardOption = None,
    estimate: EstimateOption = False,
    restart: RestartOption = False,
    force: ForceOption = False,
    base_url: BaseUrlOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> int:
    """Embed texts: as arguments, from a pipe, or from files into a file, resumable."""
    from emblem.cli import embed_file, embed_print
    from emblem.cli.embed_asked import Asked, choices
    from emblem.cli.options import loaded

    asked = Asked(
        inputs=tuple(inputs or ()),
        out=output,
        column=column,
        input_format=input_format,
        delimiter=delimiter,
        choices=choices(kind, dimensions, overflow, dtype, (vector_column, overflow_column)),
        shard=shard,
        errors=errors,
        model=model,
        base_url=base_url,
        settings=loaded(home, config).settings,
        restart=restart,
        force=force,
        quiet=quiet,
        as_json=as_json,
    )
    if estimate:
        return embed_file.estimate(asked)
    return embed_print.embed(asked) if output is None else embed_file.embed(asked)
