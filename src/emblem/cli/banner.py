"""What ``emblem serve`` says when it starts."""

import json
import shlex
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from emblem import __version__
from emblem.accounts import Key
from emblem.cli.address import base_url
from emblem.config import Loaded, Settings
from emblem.names import OPENAI_WIDTHS, Served
from emblem.serving import Plan
from emblem.types import Overflow

MAX_KEYS = 10  # that are named

LONGER = {
    Overflow.MEAN: "longer texts are read in windows whose vectors are averaged",
    Overflow.TRUNCATE: "longer texts are cut, and the answer says so",
    Overflow.ERROR: "longer texts are refused",
}


def banner(plan: Plan, loaded: Loaded, keys: list[Key], secret: str | None) -> str:
    """Give the whole text. ``secret`` is the key of the first run, which is shown only here."""
    settings = plan.settings
    url = base_url(settings.host, settings.port, tls=settings.tls_cert)
    models = [one for one in plan.served if one.alias_of is None]
    names = [*(one.name for one in models), *(one.name for one in plan.awaited)]
    lines = [
        _where(url.removesuffix("/v1"), settings),
        "",
        *(line for one in models for line in _model(one, plan.on_first_use)),
        *(f"  {one.name}: not there yet, and served once it is" for one in plan.awaited),
        *_aliases(plan.served),
        *_keys(loaded, keys, secret),
        *_use(url, names[0], loaded, secret),
    ]
    return "\n".join(lines)


def _where(root: str, settings: Settings) -> str:
    pages = [f"its API: {root}/docs"]
    if settings.console:
        pages.append(f"its console: {settings.console_url.rstrip('/') or root}/console")
    return f"Emblem {__version__} on {root} ({', '.join(pages)})"


def _model(one: Served, on_first_use: Collection[str]) -> list[str]:
    model = one.model
    languages = ", ".join(model.languages) or "languages unknown"
    length = model.max_length
    reads = (
        f"reads {length} tokens at once; {LONGER[model.space.overflow]}"
        if length
        else "reads texts of any length"
    )
    later = "; loaded on first use" if model.name in on_first_use else ""
    return [
        f"  {one.name}: {model.width} numbers; {languages}; {reads}",
        f"    space {model.space}{later}",
    ]


def _aliases(served: tuple[Served, ...]) -> list[str]:
    others: dict[str, list[str]] = {}
    for one in served:
        if one.alias_of is not None and not _is_openai(one):
            others.setdefault(one.alias_of, []).append(one.name)
    lines = [
        f"  {', '.join(names)} {'stands' if len(names) == 1 else 'stand'} for {model}"
        for model, names in others.items()
    ]
    openai = [one for one in served if _is_openai(one)]
    if openai:
        names = ", ".join(one.name for one in openai)
        lines += [
            f"  {names} stand for {openai[0].alias_of}, so that existing code runs.",
            "  WARNING: they are not OpenAI's vectors. Never mix them with an index that OpenAI filled.",
        ]
    return [*lines, ""]


def _is_openai(one: Served) -> bool:
    return one.name in OPENAI_WIDTHS and one.alias_of is not None


def _keys(loaded: Loaded, keys: list[Key], secret: str | None) -> list[str]:
    command = f"{command_line()} keys create NAME{_flags(loaded, 'home')}"
    if not loaded.settings.auth:
        return ["No key is asked for (--no-auth), and only this machine is answered.", ""]
    if secret is not None:
        return [
            f"Your key, shown this once: {secret}",
            f"Make another with: {command}",
            "",
        ]
    names = [_named(key) for key in keys[:MAX_KEYS]]
    if len(keys) > MAX_KEYS:
        names.append(f"{len(keys) - MAX_KEYS} more")
    if loaded.settings.api_key:
        names.append("the one in EMBLEM_API_KEY")
    have = f"Keys: {', '.join(names)}." if names else "There is no key yet."
    return [f"{have} Make one with: {command}", ""]


def _named(key: Key) -> str:
    return f"{key.terms.name} (…{key.secrets[-1].last_four if key.secrets else ''})"


def _use(url: str, model: str, loaded: Loaded, secret: str | None) -> list[str]:
    """Give the lines to paste. Without a key at hand one is made by the line that exports it."""
    auth = loaded.settings.auth
    if secret is not None or not auth:
        exports = [
            f"  export OPENAI_BASE_URL={url}",
            f"  export OPENAI_API_KEY={secret or 'none'}",
        ]
    else:
        exports = [
            f"  export OPENAI_BASE_URL={url} OPENAI_API_KEY=sk-…",
            f'  or, with a new key:  eval "$({command_line()} env{_flags(loaded, "home", "host", "port")})"',
        ]
    header = f" -H 'Authorization: Bearer {secret}'" if secret else ""
    if auth and not secret:
        header = ' -H "Authorization: Bearer $OPENAI_API_KEY"'
    body = json.dumps({"model": model, "input": "An emblem stands for a meaning."})
    return [
        "For any OpenAI program:",
        *exports,
        "Try it:",
        f"  curl {url}/embeddings{header} -H 'Content-Type: application/json' -d {shlex.quote(body)}",
        "",
    ]


def _flags(loaded: Loaded, *names: str) -> str:
    """Give the flags that make another command see what this one was told by flags."""
    given = [
        f" --{name} {shlex.quote(str(getattr(loaded.settings, name)))}"
        for name in names
        if loaded.origins[name] == f"--{name}"
    ]
    return "".join(given)


def command_line() -> str:
    """Give what the user types for this program: its name, or its path where no PATH has it."""
    program = Path(sys.argv[0])
    found = shutil.which("emblem")
    if program.name != "emblem" or (found and Path(found).samefile(program)):
        return "emblem"
    try:
        return str(program.relative_to(Path.cwd()))
    except ValueError:
        return str(program)
