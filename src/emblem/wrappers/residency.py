"""Residency: which models are in memory, within a budget of bytes.

What a model takes is predicted before it is loaded, and what the process was found to take beyond
its predictions counts, too.

Used on one event loop. Models are loaded one at a time: what loading takes on top for a while is
taken once, and nothing that was promised to one is given to another.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from emblem.core.amount import size
from emblem.core.room import Held, excess, to_close
from emblem.errors import DeploymentFailed, Overloaded
from emblem.ports import Embedder
from emblem.types import Occupancy, Residence

log = logging.getLogger(__name__)

# A loaded model that is used in short requests is idle every now and then.
PATIENCE_S = 2.0
RETRY_AFTER_S = 5.0


class Resident(Protocol):
    """A model that takes memory while it is loaded."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    @property
    def predicted_bytes(self) -> int:
        """What it takes once loaded."""
        ...

    @property
    def held(self) -> Held | None:
        """What it takes now; None while it is not loaded."""
        ...

    def report(self) -> Residence:
        """Say how it stands."""
        ...

    def let_go(self) -> Embedder:
        """Give up what is loaded, at once; whoever calls closes it. Never while it is busy."""
        ...


class Residency:
    """Makes room for a model before it is loaded, by closing idle ones, least recently used first.

    ``measure`` gives the bytes that the process takes, None where the system does not say, and
    ``give_back``, called in a thread of its own before it is asked, frees what closed models left.
    ``patience_s`` is how long a load waits for busy models to fall idle. ``elsewhere`` gives bytes of
    the process that are bounded by others, and count here for nothing.
    """

    def __init__(
        self,
        max_bytes: int,
        measure: Callable[[], int | None] = lambda: None,
        give_back: Callable[[], None] = lambda: None,
        patience_s: float = PATIENCE_S,
        *,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        self.max_bytes = max_bytes
        self._measure = measure
        self._give_back = give_back
        self._patience_s = patience_s
        self._elsewhere = elsewhere
        self._residents: list[Resident] = []
        self._base: int | None = None  # what the process takes without any model
        self._coming: Resident | None = None  # what is being loaded
        self._turn = asyncio.Lock()
        self._fell_idle = asyncio.Event()
        self._closing = False

    def join(self, resident: Resident) -> None:
        """Know of one more model, which is not loaded yet."""
        self._residents.append(resident)

    def report(self) -> Occupancy:
        """Say how every model stands, and what they take."""
        coming = self._coming
        loaded = self._held()
        if coming is not None and coming.held is None:
            loaded += coming.predicted_bytes
        resident = self._measure()
        return Occupancy(
            models=tuple(one.report() for one in self._residents),
            max_model_bytes=self.max_bytes,
            loaded_bytes=loaded,
            beyond_bytes=excess(resident, self._base, loaded + self._elsewhere()),
            resident_bytes=resident,
            base_bytes=self._base,
        )

    def idle(self) -> None:
        """Hear that a model has nothing to do any more."""
        self._fell_idle.set()

    def close(self) -> None:
        """Let nothing more be loaded. The models themselves are closed by whoever made them."""
        self._closing = True

    @asynccontextmanager
    async def room(self, resident: Resident) -> AsyncIterator[None]:
        """Hold room for a model while it is loaded in this block.

        Raises DeploymentFailed where it would not fit if it were alone, Overloaded where those
        that are in the way stay busy.
        """
        needed = resident.predicted_bytes
        if needed > self.max_bytes:
            raise DeploymentFailed(too_large(resident.name, needed, self.max_bytes))
        async with self._turn:
            if self._closing:
                raise DeploymentFailed(f"{resident.name} is shutting down")
            while leaving := await self._leaving(resident, await self._beyond()):
                await self._close(leaving)  # and see how much that gave back
            self._coming = resident
            try:
                yield
            finally:
                self._coming = None

    async def _beyond(self) -> int:
        """Give back what is free, and say what is taken then beyond the models that are loaded."""
        await asyncio.to_thread(self._give_back)
        resident = self._measure()
        if self._base is None:
            self._base = resident  # nothing was loaded yet
        return excess(resident, self._base, self._held() + self._elsewhere())

    async def _leaving(self, resident: Resident, beyond: int) -> list[Resident]:
        """Wait until idle models can make room and give those that have to leave."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._idle_enough(resident.predicted_bytes, beyond)
        except TimeoutError:
            raise Overloaded(
                f"{resident.name} is not loaded, and there is no memory for it while other "
                "models are busy. Please try again later.",
                RETRY_AFTER_S,
            ) from None

    async def _idle_enough(self, needed: int, beyond: int) -> list[Resident]:
        while True:
            loaded = [(one, held) for one in self._residents if (held := one.held)]
            places = to_close([held for _, held in loaded], needed, self.max_bytes, beyond)
            if places is not None:
                return [loaded[place][0] for place in places]
            self._fell_idle.clear()
            await self._fell_idle.wait()

    def _held(self) -> int:
        return sum(held.bytes for one in self._residents if (held := one.held))

    async def _close(self, leaving: list[Resident]) -> None:
        """Close idle models. None of them is used meanwhile, for all are let go of at once."""
        log.info("%s: unloaded to make room", ", ".join(one.name for one in leaving))
        closing = [one.let_go().aclose() for one in leaving]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(outcome, BaseException):
                log.error("a model could not be closed", exc_info=outcome)


def too_large(name: str, needed: int, max_bytes: int) -> str:
    """Say that a model fits into no budget of that size."""
    return (
        f"{name} takes about {size(needed)} of memory once it is loaded, and no more than "
        f"{size(max_bytes)} is allowed (max_model_bytes = {max_bytes})"
    )
