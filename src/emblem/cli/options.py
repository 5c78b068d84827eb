"""Flags that every command has, and the settings behind them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emblem.errors import ConfigError

if TYPE_CHECKING:
    from emblem.config import Loaded, Settings
    from emblem.config.loading import Flag

HomeOption = Annotated[
    str | None, typer.Option("--home", metavar="FOLDER", help="folder for models, keys and state")
]
HostOption = Annotated[
    str | None, typer.Option("--host", metavar="ADDRESS", help="address the server listens on")
]
PortOption = Annotated[
    str | None, typer.Option("--port", metavar="PORT", help="port the server listens on")
]
CONFIG_HELP = "read this file and no other emblem.toml"
ConfigOption = Annotated[str | None, typer.Option("--config", metavar="FILE", help=CONFIG_HELP)]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON, for programs")]


def loaded(home: str | None, config: str | None, flags: Mapping[str, Flag] | None = None) -> Loaded:
    """Read the settings as this command line asks for them; raises ConfigError."""
    from emblem.config import load

    found = load(
        flags={"home": home, **(flags or {})}, config_file=Path(config) if config else None
    )
    folder = Path(found.settings.home)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"the home {folder} is a file, and must be a folder")
    return found


def home_folder(settings: Settings) -> Path:
    """Give the home folder, made for its owner alone where there is none; raises ConfigError."""
    home = Path(settings.home)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the home folder {home} cannot be made: {error.strerror}") from error
    return home
