"""``emblem verify``: are stored vectors those that a model gives, and if not, why not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded
from emblem.errors import EmblemError, InvalidRequest

if TYPE_CHECKING:
    from emblem.cli.verify_explained import Band, Finding, Numbers, Way
    from emblem.cli.verify_stored import Stored, Wanted
    from emblem.cli.verify_trying import Embedded, Opened
    from emblem.config import Settings
    from emblem.types import Kind, Overflow, Tokens

LEAST = 0.999
MOST = 0.5  # the share of vectors that tells whose they are
MAX_PROBLEMS = 5  # rows left out that are told of one by one

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


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen of ``compared`` rows out of ``rows``, None where nobody counted those.

    ``least`` is the lowest cosine, None where nothing could be compared; ``as_asked`` says how texts
    were embedded.
    """

    source: str
    model: str
    space: str
    as_asked: str
    ok: bool
    rows: int | None
    compared: int
    least: float | None
    bands: tuple[Band, ...]
    findings: tuple[Finding, ...]
    left_out: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Given:
    """A command line."""

    source: str | None
    model: str | None
    base_url: str | None
    against: str | None
    against_model: str | None
    table: str | None
    least: float
    wanted: Wanted
    way: Way
    settings: Settings


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
    from emblem.cli.verify_explained import Way
    from emblem.cli.verify_stored import Wanted

    if source is None and against is None:
        raise InvalidRequest("give a file or database to verify, or a server with --against")
    given = _Given(
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
    report = asyncio.run(_examined(given))
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


async def _examined(given: _Given) -> Report:
    from emblem.cli.verify_explained import bands, compared, moved, notes

    stored = await asyncio.to_thread(_stored, given)
    async with _opened(given) as opened:
        if stored is None or given.against is not None:
            stored = await _of_server(given, opened, stored)
        stored, mine = await _embedded(given, opened, stored)
        normalised = opened.normalised
        cosines = compared(stored.vectors, mine.vectors, normalised=normalised)
        found = notes(stored.vectors, mine.vectors.shape[1], normalised=normalised)
        ok = cosines is not None and bool(cosines.min() >= given.least)
        if not ok:
            moved_rows = moved(stored.vectors, mine.vectors, given.least, normalised=normalised)
            found += [moved_rows] if moved_rows else []
            if moved_rows is None or not moved_rows.whole:
                found += await _why(given, opened, stored, mine.tokens, cosines)
    told = () if cosines is None else bands(cosines, mine.tokens, opened.longest, given.least)
    return Report(
        source=given.against or given.table or given.source or "",  # never a database's address
        model=opened.name,
        space=str(opened.embedder.space),
        as_asked=str(given.way),
        ok=ok,
        rows=stored.rows,
        compared=len(stored.texts),
        least=None if cosines is None else round(float(cosines.min()), 6),
        bands=told,
        findings=tuple(found),
        left_out=len(stored.problems),
        problems=stored.problems[:MAX_PROBLEMS],
    )


async def _embedded(given: _Given, opened: Opened, stored: Stored) -> tuple[Stored, Embedded]:
    """Embed the texts, leaving out those that the model does not embed."""
    from emblem.cli.verify_stored import without
    from emblem.cli.verify_trying import embed
    from emblem.errors import InvalidInput

    while True:
        try:
            return stored, await embed(opened, stored.texts, given.way)
        except InvalidInput as error:
            stored = without(stored, dict(error.problems), given.table or given.source or "")


def _stored(given: _Given) -> Stored | None:
    from emblem.cli import verify_pgvector, verify_stored

    if given.source is None:
        return None
    if verify_pgvector.is_address(given.source):
        return verify_pgvector.of_table(given.source, given.table, given.wanted)
    if given.table is not None:
        raise InvalidRequest("--table is for a database, postgresql://…")
    return verify_stored.of_file(given.source, given.wanted)


async def _of_server(given: _Given, opened: Opened, stored: Stored | None) -> Stored:
    """Give the vectors of the other server, of the texts that are stored or of our own."""
    import numpy as np

    from emblem import wiring
    from emblem.cli import canaries, verify_stored
    from emblem.cli.verify_explained import Way
    from emblem.cli.verify_trying import Opened, embed
    from emblem.config import environment

    texts: Sequence[str]
    if stored is None:
        texts = [*canaries.SHORT, canaries.LONG, *canaries.overlong(opened.longest)]
    else:
        texts = stored.texts
    variables = environment()
    key = variables.get("AGAINST_API_KEY")
    if given.base_url is None:
        key = key or variables.get("OPENAI_API_KEY")
    name = given.against_model or opened.name
    other = await wiring.open_upstream(given.against or "", name, key or None)
    try:
        found = await embed(Opened(other, name), texts, Way())
    finally:
        await other.aclose()
    places = [f"text {number + 1}" for number in range(len(texts))]
    rows = stored.rows if stored else len(texts)
    vectors = found.vectors.astype(np.float64)
    return verify_stored.Stored(tuple(texts), vectors, tuple(places), rows, ())


async def _why(
    given: _Given,
    opened: Opened,
    stored: Stored,
    tokens: Tokens,
    cosines: Numbers | None,
) -> list[Finding]:
    """Try what else may have given the stored vectors: other ways, then other models."""
    from emblem.cli.verify_explained import ways
    from emblem.cli.verify_trying import tried

    found = []
    breaks = any("\n" in one for one in stored.texts)
    if cosines is not None:
        longest = opened.longest is not None and int(tokens.max()) > opened.longest
        others = ways(
            given.way,
            prompts=opened.prompts,
            rules=opened.rules,
            longest=longest,
            breaks=breaks,
        )
        one = await tried(opened, stored.texts, stored.vectors, cosines, others, given.least)
        found += [one] if one else []
    # Where most vectors are this model's, the rest is hardly another's.
    most = cosines is not None and float((cosines >= given.least).mean()) >= MOST
    if not most and not any(one.whole for one in found):
        found += await _other_models(given, opened.name, stored, breaks=breaks)
    return found


async def _other_models(given: _Given, name: str, stored: Stored, *, breaks: bool) -> list[Finding]:
    """Try the other models that are here."""
    from emblem.cli.verify_explained import Finding, Way, ways
    from emblem.cli.verify_trying import tried
    from emblem.serving import open_library

    library = open_library(given.settings)
    for other in library.installed():
        if other == name:
            continue
        try:
            async with _here(other, given.settings) as opened:
                if opened.embedder.space.width < stored.vectors.shape[1]:
                    continue
                more = [
                    Way(),
                    *ways(
                        Way(),
                        prompts=opened.prompts,
                        rules=opened.rules,
                        longest=True,
                        breaks=breaks,
                    ),
                ]
                one = await tried(opened, stored.texts, stored.vectors, None, more, given.least)
        except EmblemError:
            continue  # one that cannot be opened explains nothing
        if one is not None and one.whole:
            return [Finding("model", f"{one.said}, by the model {other}", True)]
    return []


@asynccontextmanager
async def _opened(given: _Given) -> AsyncIterator[Opened]:
    from emblem import wiring
    from emblem.cli.verify_trying import Opened
    from emblem.config import environment
    from emblem.hosting import is_hosted

    reference = given.model or given.settings.default_model
    if given.base_url is None:
        own = given.settings.models.get(reference)
        where = _hosted if own is not None and is_hosted(own) else _here
        async with where(reference, given.settings) as opened:
            yield opened
        return
    key = environment().get("OPENAI_API_KEY") or None
    embedder = await wiring.open_upstream(given.base_url, reference, key)
    try:
        yield Opened(embedder, reference)
    finally:
        await embedder.aclose()


@asynccontextmanager
async def _hosted(name: str, settings: Settings) -> AsyncIterator[Opened]:
    """Open a model with deployments elsewhere, and here too, where it has one."""
    from emblem import serving, wiring
    from emblem.cli import hosted_model
    from emblem.cli.verify_trying import Opened
    from emblem.hosting import is_local
    from emblem.types import Kind

    local = None
    if is_local(settings.models[name]):
        model = await asyncio.to_thread(serving.model, name, settings)
        local = await asyncio.to_thread(wiring.open_engine, model, settings)
    async with hosted_model.opened(name, settings, local) as found:
        offer = found.offer
        prompts = tuple(Kind) if offer.kinds else ()
        yield Opened(found.embedder, name, prompts, offer.max_length)


@asynccontextmanager
async def _here(reference: str, settings: Settings) -> AsyncIterator[Opened]:
    from emblem import serving, wiring
    from emblem.cli.progress import bars
    from emblem.cli.verify_trying import Opened
    from emblem.types import Kind, Overflow

    with bars() as progress:
        model = await asyncio.to_thread(serving.model, reference, settings, progress)
    embedder = await asyncio.to_thread(wiring.open_engine, model, settings)
    longest = model.tokenization.max_length
    rules = (Overflow.MEAN, Overflow.TRUNCATE) if longest else ()
    prompts = tuple(kind for kind in Kind if model.prompts.of(kind))
    try:
        yield Opened(embedder, model.name, prompts, longest, rules)
    finally:
        await embedder.aclose()


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
