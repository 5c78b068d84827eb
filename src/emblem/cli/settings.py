"""``emblem config``: what is in force, and where each value came from."""

import json
import re
from typing import TYPE_CHECKING, Any

import typer

from emblem.cli.options import ConfigOption, HomeOption, JsonOption, loaded

if TYPE_CHECKING:
    from emblem.config import Loaded

MASK = "********"

config = typer.Typer(help="Show the configuration.")


@config.callback()
def _group() -> None:
    """Show the configuration."""


@config.command("show")
def show(as_json: JsonOption = False, home: HomeOption = None, config: ConfigOption = None) -> None:
    """Print every setting in force, as emblem.toml has it, and where it came from."""
    found = loaded(home, config)
    if as_json:
        typer.echo(json.dumps(_tree(found), indent=2, ensure_ascii=False))
    else:
        typer.echo("\n".join(_lines(found)))


def _values(found: "Loaded") -> dict[str, Any]:
    """Every setting as plain JSON values, the secret one masked."""
    import msgspec

    from emblem.config import SECRETS

    values: dict[str, Any] = msgspec.to_builtins(found.settings)
    values |= {name: MASK for name in SECRETS if values[name]}
    for upstream in values["upstreams"].values():
        for header in upstream.get("headers", {}).values():
            header |= {"value": MASK} if "value" in header else {}
    return values


def _tables(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Take what stands in tables out of all values: that of names, and the prices."""
    from emblem.config import TABLES

    prices = values.pop("prices")
    return {kind: values.pop(kind) for kind in TABLES if kind in values}, prices


def _tree(found: "Loaded") -> dict[str, Any]:
    values = _values(found)
    tables, prices = _tables(values)
    tree = {name: {"value": value, "from": found.origins[name]} for name, value in values.items()}
    for kind, table in tables.items():
        tree[kind] = {
            name: {"value": entry, "from": found.origins[f"{kind}.{name}"]}
            for name, entry in table.items()
        }
    tree["prices"] = {
        name: {"value": price, "from": found.origins[f"prices.{name}"]}
        for name, price in prices.items()
    }
    return tree


def _lines(found: "Loaded") -> list[str]:
    values = _values(found)
    tables, prices = _tables(values)
    pairs = [(f"{name} = {_toml(value)}", found.origins[name]) for name, value in values.items()]
    width = max(len(left) for left, _ in pairs if len(left) <= 60)
    lines = [f"{left.ljust(width)}  # {origin}" for left, origin in pairs]
    for kind, table in tables.items():
        for name, entry in table.items():
            lines += ["", f"[{kind}.{_name(name)}]  # {found.origins[f'{kind}.{name}']}"]
            lines += [f"{field} = {_toml(value)}" for field, value in entry.items()]
    if prices:
        lines += ["", "[prices]"]
    for name, price in prices.items():
        lines.append(f"{_name(name)} = {_toml(price)}  # {found.origins[f'prices.{name}']}")
    return lines


def _name(name: str) -> str:
    from emblem.config import written

    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else written(name)


def _toml(value: Any) -> str:
    from emblem.config import written

    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_name(name)} = {_toml(one)}' for name, one in value.items())} }}"
    return written(tuple(value) if isinstance(value, list) else value)
