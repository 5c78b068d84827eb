"""Brings together flags, the environment, ``emblem.toml`` and the defaults, in that order."""

import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from emblem.config.checks import check
from emblem.config.settings import SECRETS, TABLES, Settings
from emblem.config.tables import read_table, refuse_unknown
from emblem.config.values import convert, nearest
from emblem.errors import ConfigError

FILE_NAME = "emblem.toml"
PREFIX = "EMBLEM_"

# Variables of ours that set nothing in Settings.
OTHER_VARIABLES = re.compile(r"EMBLEM_(CONFIG|TORCH_PYTHON|TEST_\w+)")
# What Kubernetes puts into every container beside a Service called "emblem" or "emblem-…".
SERVICE_LINK = re.compile(
    r"EMBLEM_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")

# Settings that name a model, which may be a folder, and how a reference to a folder begins.
MODEL_SETTINGS = ("source", "tokenizer", "default_model", "serve")
FOLDER_STARTS = ("./", "../", "~", "/")

# Settings that name a folder or a file, whatever they begin with.
FILES = ("home", "database_file", "redis_file", "key_file", "console_oidc_secret_file")

Flag = str | bool | Sequence[str] | None

_FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
_SCALARS = {name: field for name, field in _FIELDS.items() if name not in TABLES}


@dataclass(frozen=True, slots=True)
class Loaded:
    """The settings in force, and where each came from.

    ``origins`` has one entry for each setting, and one ``models.NAME`` or ``aliases.NAME`` for
    each table: "default", the path of the file, a variable's name or a flag. ``file`` is the
    ``emblem.toml`` that was read, if there was one.
    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


@dataclass(frozen=True, slots=True)
class _Value:
    value: Any
    origin: str


_Values = dict[str, _Value]


def environment() -> Mapping[str, str]:
    """Give the environment of this process."""
    return os.environ


def load(
    *,
    flags: Mapping[str, Flag],
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
    config_file: Path | None = None,
) -> Loaded:
    """Read every source once; a flag beats a variable, a variable the file, the file the default.

    ``flags`` has the settings' own names; None means that a flag was not given. Without
    ``config_file`` the file is the one that ``EMBLEM_CONFIG`` names, else ``emblem.toml`` in
    ``directory`` (the current one), else the one in the home folder. An empty flag or variable
    counts as not set. Raises ConfigError, one line, for the first thing that is wrong.
    """
    environ = environment() if environ is None else environ
    directory = Path.cwd() if directory is None else directory
    outer = _variables(environ, directory) | _flags(flags, directory, environ)
    home = outer.get("home") or _default_home(environ, directory)
    file = _file(config_file, environ, directory, Path(home.value))
    inner, tables = _read(file, environ) if file else ({}, {})
    defaults = {name: _Value(field.default, "default") for name, field in _SCALARS.items()}
    chosen = defaults | {"home": home} | inner | outer
    settings = Settings(**{name: one.value for name, one in chosen.items()}, **_plain(tables))
    origins = {name: one.origin for name, one in chosen.items()}
    origins |= {f"{table}.{name}": str(file) for table in tables for name in tables[table]}
    check(settings, origins)
    return Loaded(settings=settings, origins=MappingProxyType(origins), file=file)


def _plain(tables: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {table: tables.get(table, {}) for table in TABLES}


def _flags(flags: Mapping[str, Flag], directory: Path, environ: Mapping[str, str]) -> _Values:
    """Check the flags that were given. ``serve`` has none of its own: it is the arguments."""
    found = {}
    for name, value in flags.items():
        if name not in _SCALARS:
            raise ConfigError(f"{_flag(name)} is not a setting{nearest(name, _SCALARS)}")
        if value is None or value in ("", []):
            continue
        label = "MODELS" if name == "serve" else _flag(name)
        if isinstance(value, bool) and not value:
            label = label.replace("--", "--no-", 1)
        right = _checked(name, value, label, text=isinstance(value, str))
        found[name] = _Value(_placed(name, right, directory, environ), label)
    return found


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variables(environ: Mapping[str, str], directory: Path) -> _Values:
    found = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or _is_other(variable, text):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in TABLES:
            table = f"[{name}]" if name == "prices" else f"[{name}.NAME]"
            raise ConfigError(f"{variable} cannot be set; {table} belongs into {FILE_NAME}")
        if name not in _SCALARS or variable != variable.upper():
            near = nearest(variable.upper(), (PREFIX + one.upper() for one in _SCALARS))
            raise ConfigError(f"{variable} is not a setting of Emblem{near}")
        if text.strip():
            right = _checked(name, text, variable, text=True)
            found[name] = _Value(_placed(name, right, directory, environ), variable)
    return found


def _is_other(variable: str, text: str) -> bool:
    if OTHER_VARIABLES.fullmatch(variable) or SERVICE_LINK.fullmatch(variable):
        return True
    return SERVICE_LINK_VALUE.match(text) is not None


def _checked(name: str, value: Any, where: str, *, text: bool) -> Any:
    right = convert(value, _SCALARS[name].type, where=where, text=text, secret=name in SECRETS)
    if name == "home" and "\0" in right:
        raise ConfigError(f"{where} is {right!r}; it must be a folder")
    return right


def _placed(name: str, value: Any, base: Path, environ: Mapping[str, str]) -> Any:
    """Give folders as absolute paths, seen from ``base``; everything else as it is."""
    if name in FILES and value:
        return _absolute(value, base, environ)
    if name in MODEL_SETTINGS and isinstance(value, str):
        return _absolute(value, base, environ) if value.startswith(FOLDER_STARTS) else value
    if name in MODEL_SETTINGS:
        return tuple(_placed("source", one, base, environ) for one in value)
    return value


def _absolute(path: str, base: Path, environ: Mapping[str, str]) -> str:
    return str(Path(os.path.normpath(base / _expanded(path, environ))))


def _expanded(path: str, environ: Mapping[str, str]) -> Path:
    first, *rest = Path(path).parts or ("",)
    return _user_home(environ).joinpath(*rest) if first == "~" else Path(path)


def _user_home(environ: Mapping[str, str]) -> Path:
    home = environ.get("USERPROFILE" if sys.platform == "win32" else "HOME")
    if home:
        return Path(home)
    try:
        return Path.home()
    except RuntimeError:
        raise ConfigError("no home folder is known here; set EMBLEM_HOME") from None


def _default_home(environ: Mapping[str, str], directory: Path) -> _Value:
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_DATA_HOME"
    given = Path(environ.get(variable, ""))
    if given.is_absolute():  # the XDG specification: a relative path counts as not set
        return _Value(str(given / "emblem"), variable)
    data = ("AppData", "Local") if sys.platform == "win32" else (".local", "share")
    home = _user_home(environ).joinpath(*data, "emblem")
    return _Value(str(directory / home), "default")


def _file(
    asked: Path | None, environ: Mapping[str, str], directory: Path, home: Path
) -> Path | None:
    named = asked or environ.get("EMBLEM_CONFIG")
    if named:
        return directory / _expanded(str(named), environ)
    candidates = (directory / FILE_NAME, home / FILE_NAME)
    return next((path for path in candidates if path.is_file()), None)


def _read(file: Path, environ: Mapping[str, str]) -> tuple[_Values, dict[str, dict[str, Any]]]:
    """Read and check one file: its settings, and its tables by kind and name."""
    content = _toml(file)
    refuse_unknown(content, _FIELDS, file)
    found = {}
    for name in content.keys() & _SCALARS.keys():
        right = _checked(name, content[name], f"{file}: {name}", text=False)
        found[name] = _Value(_placed(name, right, file.parent, environ), str(file))

    def placed(name: str, value: Any) -> Any:
        return _placed(name, value, file.parent, environ)

    tables = {
        name: read_table(name, content[name], file, placed) for name in TABLES if name in content
    }
    return {name: one for name, one in found.items() if one.value != "" or name != "home"}, tables


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist") from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}") from None
