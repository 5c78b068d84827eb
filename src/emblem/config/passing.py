"""Models that give no vectors and are served elsewhere: for chat, and for ranking documents."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from emblem.config.numbers import Positive, Seconds
from emblem.config.upstreams import DeploymentSettings

AT_ONCE = 256  # requests to the deployment of a model that has one


class ChatSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[chat.NAME]``: a model for chat, which requests are passed on to.

    ``upstream``, with ``model`` and ``max_requests``, is short for one of ``deployments``.
    """

    upstream: str = ""  # an [upstreams.NAME], or a preset that needs none
    model: str = ""  # what the upstream calls it; "" is NAME
    first_byte_timeout_s: Seconds = (
        300.0  # until an answer begins; without streaming, until its end
    )
    idle_timeout_s: Seconds = 60.0  # between two parts of a streamed answer
    timeout_s: Seconds = 600.0  # for a whole answer
    max_requests: Positive = AT_ONCE  # that are passed on at once, by each process
    ask_for_usage: bool = True  # whether a streamed answer is asked to say its tokens at the end
    deployments: tuple[DeploymentSettings, ...] = ()  # where it is, in several places


class RerankSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[rerank.NAME]``: a model that says how well documents answer a query, as for chat."""

    upstream: str = ""
    model: str = ""
    dialect: Annotated[str, Meta(pattern="^(cohere|tei)$")] = "cohere"  # how it is asked
    timeout_s: Seconds = 60.0
    max_requests: Positive = AT_ONCE
    deployments: tuple[DeploymentSettings, ...] = ()


PassedSettings = ChatSettings | RerankSettings


def passed_to(own: PassedSettings) -> tuple[DeploymentSettings, ...]:
    """Give where requests for a model are passed on to, at least one."""
    if own.deployments:
        return own.deployments
    return (DeploymentSettings(own.upstream, own.model, max_requests=own.max_requests),)


def passing_problem(own: PassedSettings, name: str) -> str | None:
    """Say why a table cannot be meant, None where it can; ``name`` is the model's."""
    if not own.deployments:
        return None if own.upstream else "needs 'upstream', or 'deployments'"
    for field, given in (
        ("upstream", own.upstream),
        ("model", own.model),
        ("max_requests", own.max_requests != AT_ONCE),
    ):
        if given:
            return f"has {field} and deployments; each deployment has its own"
    seen: dict[tuple[str, str], int] = {}
    for place, one in enumerate(own.deployments):
        if one.local:
            return f"deployments[{place}] is local, and models that are here give vectors only"
        if not one.upstream:
            return f'deployments[{place}] needs upstream = "…"'
        before = seen.setdefault((one.upstream, one.model or name), place)
        if before != place:
            return f"deployments[{place}] is deployments[{before}] once more"
    return None


def twice_named(tables: Mapping[str, Mapping[str, object]]) -> tuple[str, str, str] | None:
    """Find a name that two tables have: (the name, the first table, the second); None for none."""
    seen: dict[str, str] = {}
    for table, names in tables.items():
        for name in names:
            if name in seen:
                return name, seen[name], table
            seen[name] = table
    return None
