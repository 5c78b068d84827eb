"""Opens the ways to models elsewhere that give no vectors, as they are configured."""

import time
from collections.abc import Iterator

from emblem.api.passed import Directory, Elsewhere, Task
from emblem.config import Settings, environment
from emblem.errors import ConfigError
from emblem.names import Served
from emblem.providers import provider


def open_directory(settings: Settings, served: tuple[Served, ...]) -> Directory:
    """Open every way; whoever asked for it closes each of them. Nothing is sent yet.

    Raises ConfigError, also for a name that gives vectors already.
    """
    taken = {one.name for one in served}
    found: list[Elsewhere] = []
    for one in _each(settings):
        if one.name in taken:
            raise ConfigError(
                f"[{one.task}.{one.name}] has the name of a model that gives vectors; give it another"
            )
        found.append(one)
    return Directory(found)


def _each(settings: Settings) -> Iterator[Elsewhere]:
    if not settings.chat and not settings.rerank:
        return
    # The client for this is imported only where something is passed on.
    from emblem.upstreams.passing import CHAT, RERANK, Bounds, HttpPassage, at_root, beside

    environ, now = environment(), int(time.time())
    for name, own in settings.chat.items():
        whose, model = provider(own.upstream, settings, environ), own.model or name
        bounds = Bounds(
            own.first_byte_timeout_s, own.idle_timeout_s, own.timeout_s, own.max_requests
        )
        way = HttpPassage(whose, beside(whose, model, CHAT), model, bounds)
        yield Elsewhere(name, Task.CHAT, way, now, ask_for_usage=own.ask_for_usage)
    for name, ranker in settings.rerank.items():
        whose, model = provider(ranker.upstream, settings, environ), ranker.model or name
        at = at_root(whose, RERANK) if ranker.dialect == "tei" else beside(whose, model, RERANK)
        seconds = ranker.timeout_s
        bounds = Bounds(seconds, seconds, seconds, ranker.max_requests)
        way = HttpPassage(whose, at, model, bounds)
        yield Elsewhere(name, Task.RERANK, way, now, dialect=ranker.dialect)
