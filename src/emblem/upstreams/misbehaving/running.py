"""The misbehaving server on an event loop in a thread of its own, for tests without one."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from emblem.upstreams.misbehaving.script import Script
from emblem.upstreams.misbehaving.server import Manners, Misbehaving, Seen
from emblem.upstreams.misbehaving.truth import Truth


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers, in another thread."""

    server: Misbehaving
    _loop: asyncio.AbstractEventLoop = field(repr=False)

    @property
    def root(self) -> str:
        """Where it is, without a path."""
        return self.server.root

    @property
    def base_url(self) -> str:
        """What OpenAI's clients call ``base_url``."""
        return self.server.base_url

    def play(self, script: Script) -> None:
        """Take another script, from its first fault on."""
        self.server.play(script)

    def seen(self) -> Seen:
        """Say what was seen so far."""

        async def ask() -> Seen:
            return self.server.seen()

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result()


@contextmanager
def running(
    script: Script | None = None, manners: Manners | None = None, truth: Truth | None = None
) -> Iterator[Running]:
    """Start a misbehaving server, and stop it at the end of the block. Raises ConfigError."""
    server = Misbehaving(script, manners, truth)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="emblem-misbehaving", daemon=True)
    thread.start()

    async def close() -> None:
        await server.__aexit__(None, None, None)

    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        try:
            yield Running(server, loop)
        finally:
            asyncio.run_coroutine_threadsafe(close(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
