"""``emblem run``: a kind answer to a habit from chat models."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli import completion
from emblem.cli.options import ConfigOption, HomeOption, loaded

if TYPE_CHECKING:
    from emblem.config import Settings

ModelArgument = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="an embedding model", autocompletion=completion.models),
]
TextsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[TEXT]...", help="what was to be said to it")
]


def run(
    model: ModelArgument,
    texts: TextsArgument = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Say what to type instead: embedding models turn texts into numbers, and don't chat."""
    settings = loaded(home, config).settings
    from emblem.cli.address import base_url

    server = base_url(settings.host, settings.port, tls=settings.tls_cert)
    known = _known(model)
    instead = model if known else settings.default_model
    typer.echo(_what(model, known))
    typer.echo("What you can type instead:\n")
    if not _here(instead, settings):
        typer.echo(f"  emblem pull {shlex.quote(instead)}")
    for line in advice(instead, " ".join(texts or ["A text"]), server):
        typer.echo(f"  {line}")


def advice(model: str, text: str, server: str) -> list[str]:
    """Give the lines that can be typed; ``server`` ends in ``/v1``."""
    name, quoted = shlex.quote(model), shlex.quote(text)
    body = json.dumps({"model": model, "input": text}, ensure_ascii=False)
    request = (
        f'curl {server}/embeddings -H "Authorization: Bearer $OPENAI_API_KEY" '
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
    return [
        f"emblem embed --model {name} {quoted}",
        f"emblem similarity --model {name} {quoted} 'Another text'",
        f"emblem serve {name}",
        request,
    ]


def _what(model: str, known: bool) -> str:
    if known:
        return (
            f"{model} is an embedding model: it turns texts into vectors that can be compared and "
            "searched, and it doesn't chat."
        )
    return (
        f"Emblem runs embedding models, which don't chat, and {model} is none that it knows. They "
        "turn texts into vectors that can be compared and searched."
    )


def _here(model: str, settings: Settings) -> bool:
    """Tell whether a model was pulled, or is a folder."""
    from emblem.models.identity import identify
    from emblem.serving import open_library

    return bool(identify(model).folder or open_library(settings).known(model))


def _known(model: str) -> bool:
    """Tell whether a name may well be an embedding model's: the catalogue's, a repository's, a folder."""
    from emblem.errors import ModelError
    from emblem.models.identity import identify

    try:
        identify(model)
    except ModelError:
        return False
    return True
