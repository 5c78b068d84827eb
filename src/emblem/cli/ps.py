"""``emblem ps``: what a running server has in memory, and what it has to do."""

from typing import TYPE_CHECKING, Annotated

import typer

from emblem.cli.options import (
    ConfigOption,
    HomeOption,
    HostOption,
    JsonOption,
    PortOption,
    loaded,
)
from emblem.errors import ConfigError, DeploymentFailed

if TYPE_CHECKING:
    from emblem.api.running import CacheItem, RunningItem, RunningList, TierItem
    from emblem.config import Settings

TIMEOUT_S = 10.0
OTHERS_KEYS = ("OPENAI_API_KEY",)
OWN_KEYS = ("EMBLEM_API_KEY", *OTHERS_KEYS)  # the first opens one's own server, and no other

PS_EPILOG = """
The server's key is taken from EMBLEM_API_KEY or OPENAI_API_KEY; with --base-url from OPENAI_API_KEY
alone.

[bold]Examples[/bold]

  [cyan]emblem ps[/cyan]

  [cyan]emblem ps --base-url http://gpu.example.org:8080/v1 --json[/cyan]
"""

BaseUrlOption = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="ask this server, not the one of the settings"),
]


def ps(
    base_url: BaseUrlOption = None,
    as_json: JsonOption = False,
    host: HostOption = None,
    port: PortOption = None,
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """List the models of a running server: which are in memory, and what waits for them."""
    from emblem.cli.output import print_json

    settings = loaded(home, config, {"host": host, "port": port}).settings
    found = _running(_address(base_url, settings), settings, own=base_url is None)
    if as_json:
        print_json(found)
    else:
        _show(found)


def _address(base_url: str | None, settings: "Settings") -> str:
    """Give the address of the list, beside the ``/v1`` that clients are given."""
    from emblem.cli.address import base_url as own

    url = (base_url or own(settings.host, settings.port, tls=settings.tls_cert)).rstrip("/")
    return f"{url.removesuffix('/v1')}/ps"


def _running(address: str, settings: "Settings", *, own: bool) -> "RunningList":
    """Ask the server. One's own is asked without whatever proxy the environment names."""
    import httpx2
    import msgspec

    from emblem.api.running import RunningList
    from emblem.cli.tls import trusting

    variable, key = _key(OWN_KEYS if own else OTHERS_KEYS)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    verify = trusting(settings) if own and settings.tls_cert else True
    try:
        with httpx2.Client(timeout=TIMEOUT_S, trust_env=not own, verify=verify) as client:
            answer = client.get(address, headers=headers)
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        raise ConfigError(
            f"--base-url is {address.removesuffix('/ps')!r}; it must be like "
            "http://127.0.0.1:8080/v1"
        ) from None
    except httpx2.RequestError as error:
        raise DeploymentFailed(
            f"no server answers at {address} ({str(error) or type(error).__name__}); start one with "
            "emblem serve, or name another with --base-url or --port"
        ) from None
    if answer.status_code == httpx2.codes.UNAUTHORIZED:
        raise ConfigError(_refused(address, variable, own=own))
    try:
        if answer.status_code == httpx2.codes.OK:
            return msgspec.json.decode(answer.content, type=RunningList)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    raise DeploymentFailed(
        f"{address} answers {answer.status_code}, and not with a list of models: is it Emblem?"
    )


def _key(names: tuple[str, ...]) -> tuple[str, str]:
    """Give the variable that a key is in, and the key; "" where there is none."""
    from emblem.config import environment

    variables = environment()
    name, key = next(((one, variables[one]) for one in names if variables.get(one)), ("", ""))
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{name} has characters that no key has, such as a line break")
    return name, key


def _refused(address: str, variable: str, *, own: bool) -> str:
    made = "emblem keys create NAME makes one"
    if variable:
        return f"{address} refuses the key in {variable}; {made}"
    return f"{address} wants a key: set {' or '.join(OWN_KEYS if own else OTHERS_KEYS)}; {made}"


def _show(found: "RunningList") -> None:
    from emblem.cli.output import print_table

    head = ("name", "state", "memory", "requests", "waiting", "tokens", "tokens/s", "used")
    rows = [_row(one) for one in found.models]
    print_table(head, rows, "memory requests waiting tokens tokens/s")
    for one in found.models:
        if one.problem:
            typer.echo(f"{one.name}: {one.problem}", err=True)
    typer.echo(_memory(found), err=True)
    if found.cache:
        typer.echo(_remembered(found.cache), err=True)
    for tier in found.tiers:
        typer.echo(_beyond(tier), err=True)


def _memory(found: "RunningList") -> str:
    from emblem.cli.output import size

    bound = size(found.max_model_bytes) if found.max_model_bytes < 1 << 60 else "any amount"
    said = f"Loaded: {size(found.loaded_bytes)} of {bound}"
    if found.beyond_bytes:
        said += f", and {size(found.beyond_bytes)} beyond what they account for, which counts, too"
    if found.resident_bytes is not None:
        said += f"; the server takes {size(found.resident_bytes)}"
    if found.base_bytes is not None:
        said += f", {size(found.base_bytes)} of it without any model"
    return f"{said}."


def _remembered(cache: "CacheItem") -> str:
    from emblem.cli.output import size

    asked = cache.hits + cache.misses
    said = f"Remembered: {cache.entries} vectors in {size(cache.bytes)} of {size(cache.max_bytes)}"
    return f"{said}; {cache.hits} of {asked} texts were known." if asked else f"{said}."


def _beyond(tier: "TierItem") -> str:
    """Say what a cache beyond memory did; what went wrong only where anything did."""
    asked = tier.hits + tier.misses
    where = {"disk": "on disk", "redis": "in Redis"}.get(tier.name, f"in {tier.name}")
    said = f"Remembered {where}: {tier.hits} of {asked} texts were known"
    wrong = [
        (tier.corrupt, "were damaged"),
        (tier.dropped, "were not written"),
        (tier.failures, "questions failed"),
    ]
    said = ", ".join([said, *(f"{number} {what}" for number, what in wrong if number)])
    return f"{said}; it does not answer now." if tier.away else f"{said}."


def _row(one: "RunningItem") -> tuple[str, ...]:
    from emblem.cli.output import size

    speed = one.seconds_per_token
    waiting = sum(lane.seconds for lane in one.queue.values())
    return (
        one.name,
        one.state,
        size(one.predicted_bytes),
        str(one.requests),
        f"{waiting:.1f} s",
        str(one.tokens),
        f"{1 / speed:.0f}" if speed else "",
        "never" if one.used_seconds_ago is None else f"{_age(one.used_seconds_ago)} ago",
    )


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
