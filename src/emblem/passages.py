"""Opens the ways to models elsewhere that give no vectors, as they are configured."""

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from emblem.api.passed import Directory, Elsewhere, Task
from emblem.config import (
    ChatSettings,
    DeploymentSettings,
    RerankSettings,
    Settings,
    environment,
    passed_to,
)
from emblem.errors import ConfigError
from emblem.names import Served
from emblem.ports import Passage
from emblem.providers import called, provider
from emblem.upstreams.provider import Provider
from emblem.wrappers.passage_pool import PassagePool, Way

if TYPE_CHECKING:
    from emblem.upstreams.passing import HttpPassage

Around = Callable[[Passage, Task], Passage]


def tasks(settings: Settings) -> dict[str, Task]:
    """Give what each model is for that requests are passed on to, by its name."""
    chat = dict.fromkeys(settings.chat, Task.CHAT)
    return chat | dict.fromkeys(settings.rerank, Task.RERANK)


def open_directory(
    settings: Settings, served: tuple[Served, ...], around: Around = lambda passage, _: passage
) -> Directory:
    """Open every way; whoever asked for it closes each of them. Nothing is sent yet.

    ``around`` is given each way, and gives what is used in its place. Raises ConfigError, also for
    a name that gives vectors already.
    """
    taken = {one.name for one in served}
    for name, task in tasks(settings).items():
        if name in taken:
            raise ConfigError(
                f"[{task}.{name}] has the name of a model that gives vectors; give it another"
            )
    return Directory(_each(settings, around))


def _each(settings: Settings, around: Around) -> Iterator[Elsewhere]:
    now = int(time.time())
    for name, own in settings.chat.items():
        pool = _pool(name, Task.CHAT, own, settings, around)
        yield Elsewhere(name, Task.CHAT, pool, now, ask_for_usage=own.ask_for_usage)
    for name, ranker in settings.rerank.items():
        pool = _pool(name, Task.RERANK, ranker, settings, around)
        yield Elsewhere(name, Task.RERANK, pool, now, dialect=ranker.dialect)


def _pool(
    name: str, task: Task, own: ChatSettings | RerankSettings, settings: Settings, around: Around
) -> PassagePool:
    ways = []
    for one in passed_to(own):
        whose = whose_is(one, name, task, settings)
        way = around(open_way(one, whose, name, own), task)
        ways.append(Way(way, one.weight, one.max_requests, whose.preset.name))
    return PassagePool(name, ways, own.timeout_s)


def whose_is(one: DeploymentSettings, name: str, task: Task, settings: Settings) -> Provider:
    """Give whose a deployment is. Raises ConfigError, also for a model that gives vectors."""
    try:
        whose = provider(one.upstream, settings, environment())
    except ConfigError as error:
        raise ConfigError(f"[{task}.{name}] {error}") from None
    model = one.model or name
    if whose.preset.known(model) is not None:
        raise ConfigError(
            f"[{task}.{name}] {model!r} of {one.upstream} gives vectors; [models.{name}] is for that"
        )
    return whose


def open_way(
    one: DeploymentSettings, whose: Provider, name: str, own: ChatSettings | RerankSettings
) -> "HttpPassage":
    """Open the way to a deployment of a model. Raises ConfigError."""
    # The client for this is imported only where something is passed on.
    from emblem.upstreams.passing import (
        CHAT,
        RERANK,
        Bounds,
        Destination,
        HttpPassage,
        at_root,
        beside,
    )

    model, among = one.model or name, passed_to(own)
    if isinstance(own, ChatSettings):
        url = beside(whose, model, CHAT)
        bounds = Bounds(own.first_byte_timeout_s, own.idle_timeout_s)
    else:
        url = at_root(whose, RERANK) if own.dialect == "tei" else beside(whose, model, RERANK)
        part_s = own.timeout_s / len(among)  # so that there is time to ask another
        bounds = Bounds(part_s, part_s)
    where = Destination(called(one, among, name), url, model)
    return HttpPassage(whose, where, bounds)
