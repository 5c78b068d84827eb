"""``emblem merge``: one output of all shards of a job."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.options import JsonOption

if TYPE_CHECKING:
    from emblem.files.ports import Layout, Sink

OutArgument = Annotated[str, typer.Argument(metavar="OUT", help="the file to write")]
ShardsArgument = Annotated[
    list[str], typer.Argument(metavar="SHARD...", help="the outputs of all shards, in any order")
]
ForceOption = Annotated[bool, typer.Option("--force", help="put OUT in the place of an older one")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="no summary")]


def merge(
    out: OutArgument,
    shards: ShardsArgument,
    force: ForceOption = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> int:
    """Make one file of the shards of a job, as if it had never been cut.

    Exit code 3: done, and some rows of the shards had failed.
    """
    import json

    from emblem.cli.embed_report import many
    from emblem.errors import InvalidRequest
    from emblem.job import merge as merged

    try:
        tally = merged(Path(out), [Path(one) for one in shards], _sink, force=force)
    except OSError as error:
        raise InvalidRequest(f"{error.filename or out}: {error.strerror or error}") from error
    if as_json:
        document = {
            "output": out,
            "rows": tally.rows,
            "vectors": tally.vectors,
            "failed": tally.failed,
            "overflowed": tally.overflowed,
        }
        typer.echo(json.dumps(document, ensure_ascii=False))
    elif not quiet:
        failed = f"; {many(tally.failed, 'row')} failed" if tally.failed else ""
        typer.echo(f"{out}: {many(tally.vectors, 'vector')}{failed}", err=True)
    return 3 if tally.failed else 0


def _sink(out: Path, layout: "Layout") -> "Sink":
    from emblem.files import formats

    sink: Sink = formats.sink(out)(layout)
    return sink
