"""The entry point: what the command line offers, and how whatever goes wrong ends.

Exit codes: 0 done, 1 a fault of Emblem's or a failed check, 2 something given is wrong, 3 finished
but some rows failed, 130 interrupted. Every module that takes long to import is imported by the
command that needs it, so that ``--version`` and ``--help`` answer at once.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any

import typer

from emblem.cli import streams
from emblem.cli.check import CHECK_EPILOG, check
from emblem.cli.completion import COMPLETION_EPILOG, completion
from emblem.cli.db import db
from emblem.cli.doctor import DOCTOR_EPILOG, doctor
from emblem.cli.embed import EMBED_EPILOG, embed
from emblem.cli.env import env, rebind
from emblem.cli.keys import keys
from emblem.cli.merge import merge
from emblem.cli.misbehave import MISBEHAVE_EPILOG, misbehave
from emblem.cli.models import RM_EPILOG, SHOW_EPILOG, list_models, remove, show
from emblem.cli.ps import PS_EPILOG, ps
from emblem.cli.pull import PULL_EPILOG, pull
from emblem.cli.quantize import QUANTIZE_EPILOG, quantize
from emblem.cli.recommend import RECOMMEND_EPILOG, recommend
from emblem.cli.run import run as run_command
from emblem.cli.settings import config
from emblem.cli.similarity import SIMILARITY_EPILOG, similarity
from emblem.cli.teams import teams
from emblem.cli.usage import USAGE_EPILOG, usage
from emblem.cli.verify import VERIFY_EPILOG, verify
from emblem.errors import EmblemError

TRACEBACK = "--traceback"

EXAMPLES = """
[bold]Examples[/bold]

  [cyan]emblem serve[/cyan]                  the default model on 127.0.0.1:8080

  [cyan]emblem serve BAAI/bge-small-en-v1.5 --port 9000[/cyan]

  [cyan]eval "$(emblem env)"[/cyan]          point any OpenAI program here

  [cyan]emblem keys create laptop[/cyan]     a key of its own for each user

  [cyan]emblem config show[/cyan]            what is in force, and why

[bold]Exit codes[/bold]

  0 done; 1 a fault of Emblem's, or a model that failed its check; 2 something given is wrong;
  3 finished, and some rows failed; 130 interrupted
"""

SERVE_EXAMPLES = """
Every flag is also a variable (EMBLEM_PORT=9000) and a line of emblem.toml (port = 9000).

EMBLEM_API_KEY, which has no flag, is a key that is accepted from the start.

[bold]Examples[/bold]

  [cyan]emblem serve all-MiniLM-L6-v2 wordllama-256[/cyan]

  [cyan]emblem serve ./my-model --overflow truncate[/cyan]

  [cyan]emblem serve --no-auth[/cyan]        no keys; this machine only
"""

SERVE_HELP = "Serve embeddings over HTTP until interrupted."


def run(arguments: Sequence[str] | None = None) -> None:
    """Run one command line (that of this process) and exit. The console script calls this."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    streams.prepare()
    code = _attempt(given)
    try:
        streams.flush()
    except BrokenPipeError:  # whoever was reading has left
        code = 1
    except EmblemError as error:
        if code != 2:  # else it has been said
            _complain(str(error))
        code = 2
    sys.exit(code)


def _attempt(given: list[str]) -> int:
    """Run a command line and give its exit code; every failure is one line on stderr."""
    wants_traceback = TRACEBACK in given
    given = [one for one in given if one != TRACEBACK]
    try:
        return int(_app(given)(given, prog_name="emblem", standalone_mode=False) or 0)
    except KeyboardInterrupt:
        return 130
    except (EmblemError, typer.TyperException) as error:
        if wants_traceback:
            raise
        _complain(_said(error))
        return 2
    except Exception as error:
        if wants_traceback:
            raise
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        _complain(f"unexpected {what} (to see where, add {TRACEBACK})")
        return 1


def _complain(message: str) -> None:
    with suppress(OSError):
        typer.echo(f"emblem: {' '.join(message.split())}", err=True)


def _said(error: EmblemError | typer.TyperException) -> str:
    if isinstance(error, EmblemError):
        return str(error)
    context = getattr(error, "ctx", None)  # a wrong command line knows where it went wrong
    hint = f" (see {context.command_path} --help)" if context else ""
    return f"{error.format_message().rstrip('.')}{hint}"


def _app(given: list[str]) -> typer.Typer:
    """Give the commands. Only ``serve`` costs an import of the settings, so only where asked for."""
    app = typer.Typer(
        name="emblem",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(invoke_without_command=True, epilog=EXAMPLES)(_root)
    app.command("serve", help=SERVE_HELP, epilog=SERVE_EXAMPLES)(_serve(given))
    app.command("pull", epilog=PULL_EPILOG)(pull)
    app.command("list")(list_models)
    app.command("show", epilog=SHOW_EPILOG)(show)
    app.command("rm", epilog=RM_EPILOG)(remove)
    app.command("recommend", epilog=RECOMMEND_EPILOG)(recommend)
    app.command("quantize", epilog=QUANTIZE_EPILOG)(quantize)
    app.command("check", epilog=CHECK_EPILOG)(check)
    app.command("run")(run_command)
    app.command("ps", epilog=PS_EPILOG)(ps)
    app.add_typer(keys, name="keys")
    app.add_typer(teams, name="teams")
    app.command("usage", epilog=USAGE_EPILOG)(usage)
    app.command("env")(env)
    app.add_typer(config, name="config")
    app.add_typer(db, name="db")
    app.command("rebind")(rebind)
    app.command("embed", epilog=EMBED_EPILOG)(embed)
    app.command("merge")(merge)
    app.command("similarity", epilog=SIMILARITY_EPILOG)(similarity)
    app.command("doctor", epilog=DOCTOR_EPILOG)(doctor)
    app.command("verify", epilog=VERIFY_EPILOG)(verify)
    app.command("misbehave", epilog=MISBEHAVE_EPILOG)(misbehave)
    app.command("completion", epilog=COMPLETION_EPILOG)(completion)
    return app


def _serve(given: list[str]) -> Callable[..., Any]:
    if given and "serve" not in given:  # without arguments it may be a shell that completes
        return lambda: None
    from emblem.cli.flags import serve_command

    return serve_command()


def _print_version(wanted: bool) -> None:
    if wanted:
        from emblem import __version__

        typer.echo(f"emblem {__version__}")
        raise typer.Exit


VersionOption = Annotated[
    bool,
    typer.Option(
        "--version", "-V", help="print the version", is_eager=True, callback=_print_version
    ),
]
TracebackOption = Annotated[bool, typer.Option(TRACEBACK, help="show where a failure happened")]


def _root(
    context: typer.Context,
    version: VersionOption = False,  # noqa: ARG001 - its callback has answered
    traceback: TracebackOption = False,  # noqa: ARG001 - taken out before, to stand anywhere
) -> None:
    """One OpenAI-compatible embeddings endpoint that you run yourself."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
