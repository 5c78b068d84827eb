"""``emblem misbehave``: a server that answers wrongly on purpose, to test what relies on one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, loaded
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.config import Settings
    from emblem.ports import Embedder
    from emblem.types import Vectors
    from emblem.upstreams.misbehaving import Manners, Script, Truth
    from emblem.upstreams.misbehaving.dialects import Dialect

MISBEHAVE_EPILOG = """
Faults are taken in their order, one for each request for vectors or chat; after the last one answers
are right. A request with the header x-fault gets that fault. PUT /faults takes {"faults": ["reset*2"]},
GET /seen says what came.

[bold]Examples[/bold]

  [cyan]emblem misbehave --list[/cyan]                             what there is

  [cyan]emblem misbehave --fault reorder --loop[/cyan]             every answer

  [cyan]emblem misbehave --fault 'ok*100' --fault other-space[/cyan]

  [cyan]emblem misbehave --random --rate 0.2 --seed 7[/cyan]       any fault, now and then
"""

HostOption = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="where it listens")]
PortOption = Annotated[
    int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0: any that is free")
]
AsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--as",
        metavar="WORD",
        help="speak only this: openai, tei or cohere; may be repeated",
        autocompletion=completion.words("openai", "tei", "cohere"),
    ),
]
FaultOption = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="NAME[*N]", help="the next fault, N times; may be repeated"),
]
LoopOption = Annotated[bool, typer.Option("--loop", help="begin again after the last fault")]
RandomOption = Annotated[
    bool, typer.Option("--random", help="draw from the faults, or from all where none is named")
]
RateOption = Annotated[
    float, typer.Option("--rate", metavar="SHARE", min=0, max=1, help="how many, with --random")
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", help="the dice of --random")]
WidthOption = Annotated[
    int, typer.Option("--width", metavar="N", min=1, max=65536, help="numbers in a vector")
]
LengthOption = Annotated[
    int | None,
    typer.Option("--length", metavar="WORDS", min=1, help="refuse texts of more words"),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="give this model's vectors where they are right",
        autocompletion=completion.models,
    ),
]
ListOption = Annotated[bool, typer.Option("--list", help="print the faults, and end")]


def misbehave(
    host: HostOption = "127.0.0.1",
    port: PortOption = 9100,
    speak: AsOption = None,
    faults: FaultOption = None,
    loop: LoopOption = False,
    at_random: RandomOption = False,
    rate: RateOption = 0.3,
    seed: SeedOption = 0,
    width: WidthOption = 384,
    length: LengthOption = None,
    model: ModelOption = None,
    show: ListOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Serve embeddings that are wrong on purpose, until interrupted.

    It is for tests of gateways and clients: it reorders, drops, hangs, resets and lies. Right
    vectors come from a digest of the text, or from a model.
    """
    from emblem.upstreams.misbehaving import Hashed, Manners

    if show:
        _print_faults()
        return
    manners = Manners(host, port, model or "truth", length=length, dialects=_dialects(speak))
    script = _script(faults or [], loop=loop, at_random=(rate, seed) if at_random else None)
    settings = loaded(home, config).settings
    asyncio.run(_serve(script, manners, Hashed(width) if model is None else None, settings))


def _script(words: list[str], *, loop: bool, at_random: tuple[float, int] | None) -> Script:
    from emblem.upstreams.misbehaving import Fault, script

    found = script.from_words(words)
    if at_random is None:
        return script.in_turn(found, loop=loop)
    every = tuple(one for one in Fault if one is not Fault.OK)
    return script.at_random(found or every, rate=at_random[0], seed=at_random[1])


def _dialects(words: list[str] | None) -> tuple[Dialect, ...]:
    from emblem.upstreams.misbehaving.dialects import Dialect

    try:
        return tuple(Dialect(one) for one in words) if words else tuple(Dialect)
    except ValueError:
        allowed = ", ".join(Dialect)
        raise InvalidRequest(f"--as is {' '.join(words or [])!r}; it must be {allowed}") from None


async def _serve(script: Script, manners: Manners, truth: Truth | None, settings: Settings) -> None:
    from emblem.upstreams.misbehaving import Misbehaving

    model = truth or await _opened(manners.model, settings)
    async with Misbehaving(script, manners, model) as server:
        typer.echo(f"misbehaving at {server.base_url} with vectors of {model.width} numbers")
        await _interrupted()


async def _interrupted() -> None:
    """Wait for Ctrl-C, or to be told to end."""
    import signal

    stop = asyncio.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # on Windows Ctrl-C raises KeyboardInterrupt
            asyncio.get_running_loop().add_signal_handler(one, stop.set)
    await stop.wait()


async def _opened(reference: str, settings: Settings) -> Truth:
    from emblem import opening, serving
    from emblem.cli.progress import bars

    with bars() as progress:
        found = await asyncio.to_thread(serving.model, reference, settings, progress)
    return _OfModel(await asyncio.to_thread(opening.open_engine, found, settings))


class _OfModel:
    """Takes right vectors from a model in this process, which ends with it."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._embedder.space.width

    async def vectors(self, texts: Sequence[str]) -> Vectors:
        """Give the vector of each text: (n, width) float32."""
        from emblem.types import EmbedRequest

        return (await self._embedder.embed(EmbedRequest(tuple(texts)))).vectors


def _print_faults() -> None:
    from emblem.cli.output import print_table
    from emblem.upstreams.misbehaving.faults import FAULTS

    rows = [[str(name), about.notice, about.does] for name, about in FAULTS.items()]
    print_table(["fault", "is", "what it does"], rows)
