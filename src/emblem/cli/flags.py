"""``emblem serve``: one flag for each setting, made from the settings themselves."""

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer

from emblem.cli.completion import models as offered
from emblem.cli.completion import words
from emblem.cli.options import CONFIG_HELP, loaded
from emblem.config import SECRETS, Setting, Shape, describe

ARGUMENT = "serve"  # the setting that is given as arguments: emblem serve MODELS…

# Help shows the settings in panels; each begins with the setting named here.
PANELS = {
    "host": "Address and keys",
    "default_model": "Models",
    "threads": "Engine",
    "max_inputs": "Requests",
    "log_level": "Logs and metrics",
}


def serve_command() -> Callable[..., int]:
    """Make the function that typer turns into the command, with a parameter for each setting."""

    def serve(**given: Any) -> int:
        models, config, home = (given.pop(name) for name in ("models", "config", "home"))
        found = loaded(home, config, {**given, ARGUMENT: models})
        from emblem.cli.serve import serve as start

        return start(found)

    # typer reads the signature; mypy knows no such attribute of a function.
    serve.__signature__ = Signature(_parameters())  # type: ignore[attr-defined]
    return serve


def _parameters() -> list[Parameter]:
    models = typer.Argument(
        metavar="MODELS", help="names, hub repositories or folders", autocompletion=offered
    )
    settings = describe()
    panel = PANELS[settings[0].name]
    config = typer.Option("--config", metavar="FILE", help=CONFIG_HELP, rich_help_panel=panel)
    parameters = [
        _parameter("models", Annotated[list[str] | None, models]),
        _parameter("config", Annotated[str | None, config]),
    ]
    for setting in settings:
        panel = PANELS.get(setting.name, panel)
        if setting.name not in (ARGUMENT, *SECRETS):
            parameters.append(_parameter(setting.name, _flag(setting, panel)))
    return parameters


def _flag(setting: Setting, panel: str) -> Any:
    """Give the type of a parameter. Values come as text: the settings check them, not typer."""
    flag = f"--{setting.name.replace('_', '-')}"
    help_text = setting.help + _default(setting)
    if setting.shape is Shape.SWITCH:
        both = f"{flag}/{flag.replace('--', '--no-', 1)}"
        return Annotated[bool | None, typer.Option(both, help=help_text, rich_help_panel=panel)]
    one_of = setting.placeholder.split("|") if "|" in setting.placeholder else []
    option = typer.Option(
        flag,
        metavar="WORD" if one_of else setting.placeholder,
        help=help_text,
        rich_help_panel=panel,
        autocompletion=words(*one_of) if one_of else None,
    )
    if setting.shape is Shape.LIST:
        return Annotated[list[str] | None, option]
    return Annotated[str | None, option]


def _default(setting: Setting) -> str:
    """Write the default behind the help, in round brackets: square ones would be markup."""
    plain = setting.default.translate(str.maketrans("", "", '"[]'))
    return f" ({plain})" if plain else ""


def _parameter(name: str, annotation: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
