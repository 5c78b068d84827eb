"""``emblem doctor``: look at every deployment of every model, and say what is wrong with which."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, JsonOption, home_folder, loaded
from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.cli.doctor_passages import Call
    from emblem.cli.doctor_rounds import Report, Visit
    from emblem.config import Settings

DOCTOR_EPILOG = """
The key of --url is taken from the variable of its preset, or from OPENAI_API_KEY.

Exit code 1: something is not as it must be.

[bold]Examples[/bold]

  [cyan]emblem doctor[/cyan]                        every deployment of emblem.toml

  [cyan]emblem doctor passages --json[/cyan]        those of one model

  [cyan]emblem doctor --url http://127.0.0.1:11434/v1 --model nomic-embed-text --preset ollama[/cyan]
"""

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL]...", help="models of emblem.toml; all by default",
        autocompletion=completion.models,
    ),
]  # fmt: skip
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="look at this server instead")
]
ModelOption = Annotated[
    list[str] | None,
    typer.Option("--model", "-m", metavar="NAME", help="with --url: what it calls the model"),
]
PresetOption = Annotated[
    str,
    typer.Option("--preset", metavar="NAME", help="with --url: whose server it is"),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="for an answer")
]


def doctor(
    names: NamesArgument = None,
    url: UrlOption = None,
    model: ModelOption = None,
    preset: PresetOption = "openai-compatible",
    timeout_s: TimeoutOption = 30.0,
    as_json: JsonOption = False,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> int:
    """Ask each deployment what shows whether its vectors can be relied upon.

    Whether it is there and takes the key, counts right, keeps the order, gives the same twice,
    honours base64 and dimensions, cuts long texts without a word, and gives the vectors of its
    model's space, as a server has it prove at its start. Deployments for chat are asked a short
    question, streamed and not; those for rankings rank three documents.
    """
    from emblem.cli.doctor_passages import calls
    from emblem.cli.output import print_json

    settings = loaded(home, config).settings
    home_folder(settings)
    if url is None:
        visits, passed_on = _visits(names or [], settings), calls(settings, names or [])
    else:
        visits, passed_on = _at(url, model, preset), []
    report = asyncio.run(_report(visits, passed_on, settings, timeout_s))
    print_json(report) if as_json else _print(report)
    return 0 if report.ok else 1


async def _report(
    visits: Sequence[Visit], passed_on: Sequence[Call], settings: Settings, timeout_s: float
) -> Report:
    """Look at what gives vectors, and then at what chats and ranks."""
    from emblem.cli.doctor_passages import called
    from emblem.cli.doctor_rounds import Report, visited

    report = await visited(visits, settings, timeout_s)
    seen = (*report.deployments, *await called(passed_on, settings, timeout_s))
    return Report(all(one.ok for one in seen), seen)


def _visits(names: Sequence[str], settings: Settings) -> list[Visit]:
    """List the deployments of models by name, or of all that are served. Raises InvalidRequest."""
    from emblem.cli.doctor_rounds import Visit
    from emblem.config import ModelSettings, deployments, environment
    from emblem.providers import called, provider

    served = [*settings.models, *(one for one in settings.serve if one not in settings.models)]
    served = served or [settings.default_model]
    every = [*served, *settings.chat, *settings.rerank]
    for name in names:
        if name not in every:
            raise InvalidRequest(f"there is no model {name!r}; there are {', '.join(every)}")
    found = []
    for name in [one for one in names if one in served] if names else served:
        own = settings.models.get(name) or ModelSettings()
        places = deployments(own)
        if not places:
            found.append(Visit(name, "local"))
        for one in places:
            if one.local:
                found.append(Visit(name, "local"))
                continue
            whose = provider(one.upstream, settings, environment())
            visit = Visit(
                name,
                called(one, places, name),
                whose,
                one.model or name,
                own.width,
                own.max_length,
            )
            found.append(visit)
    return found


def _at(url: str, models: Sequence[str] | None, preset_name: str) -> list[Visit]:
    """List the models of a server that is not configured. Raises InvalidRequest or ConfigError."""
    from emblem.cli.doctor_rounds import Visit
    from emblem.config import environment
    from emblem.upstreams.presets import preset
    from emblem.upstreams.provider import Provider

    if not models:
        raise InvalidRequest("--url needs --model, the name that the server has for the model")
    row, variables = preset(preset_name), environment()
    key = variables.get(row.key_variable or "OPENAI_API_KEY") or variables.get("OPENAI_API_KEY")
    whose = Provider("server", row, url, (key,) if key else ())
    return [Visit(name, whose.host, whose, name) for name in models]


def _print(report: Report) -> None:
    from emblem.cli.output import print_table

    words = {True: "ok", False: "WRONG", None: "-"}
    for one in report.deployments:
        typer.echo(f"{one.model} at {one.deployment}" + (f" ({one.space})" if one.space else ""))
        rows = [[check.name, words[check.ok], check.said] for check in one.checks]
        print_table(["check", "is", "what was seen"], rows)
        typer.echo()
    wrong = [one for one in report.deployments if not one.ok]
    if not wrong:
        count = len(report.deployments)
        typer.echo(f"{count} deployment{'s' * (count != 1)}, and nothing is wrong")
    for one in wrong:
        failed = ", ".join(check.name for check in one.checks if check.ok is False)
        typer.echo(f"{one.model} at {one.deployment} is WRONG: {failed}")
