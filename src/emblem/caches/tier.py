"""Tier: a shelf as those who answer requests see it, which never fails and never keeps them long."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from emblem.caches.ports import Away, Shelf
from emblem.core.breaker import Breaker, Stance, Trip
from emblem.core.reuse import Entry
from emblem.core.seal import sealed, unsealed
from emblem.types import TierState

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_S = 0.25  # that a request waits for a tier at most, for each so many texts
TEXTS_PER_TIMEOUT = 256
WRITE_TIMEOUT_S = 5.0
FLUSH_S = 2.0  # for what is not written yet when the server ends
UNDER_WAY = 2  # questions; whoever comes meanwhile is asked for together with all who do
MAX_TOGETHER = 4096  # names in one question
WRITTEN_AT_ONCE = 256
MAX_QUEUED_BYTES = 32 << 20
SEALS_ON_THE_LOOP = 256  # are a millisecond's work; others get their turn in between
TRIP = Trip(in_a_row=2, open_s=1.0, longest_s=30.0)


@dataclass(slots=True, eq=False)
class _Asked:
    names: Sequence[bytes]
    answer: "asyncio.Future[Mapping[bytes, bytes]]"


class _Way:
    """One of the two ways to a shelf: whether it is open, and what is said when that changes."""

    def __init__(self, shelf: str, doing: str, clock: Callable[[], float]) -> None:
        self._shelf = shelf
        self._doing = doing
        self._clock = clock
        self._breaker = Breaker(TRIP)
        self.failures = 0
        self.away = False

    @property
    def shut(self) -> bool:
        """Tell whether nobody is to be asked now."""
        return self._breaker.wait_s(self._clock()) > 0

    def begin(self) -> int:
        """Begin to ask, and give the ticket that ``end`` takes."""
        return self._breaker.begin(self._clock())

    def leave(self, ticket: int) -> None:
        """Forget a question that nobody waits for."""
        self._breaker.leave(ticket)

    def end(self, ticket: int, error: BaseException | None) -> None:
        """Note how that went, and say once that it went wrong, and once that it is well again."""
        now = self._clock()
        self._breaker.end(ticket, now, failed=error is not None)
        if error is not None:
            self.failures += 1
        away = self._breaker.stance(now) is not Stance.CLOSED
        if away and not self.away:
            why = error if isinstance(error, Away) else Away.because(error or TimeoutError())
            log.warning(
                "the cache in %s cannot be %s (%s): until it can, answers do without it",
                self._shelf,
                self._doing,
                why,
            )
        elif self.away and not away:
            log.warning("the cache in %s can be %s again", self._shelf, self._doing)
        self.away = away


class Tier:
    """Finds entries on a shelf within ``timeout_s`` for each 256 of them, and writes them there some time later.

    What is not what was written (``core.seal``) is not found, and is written anew once it was
    computed. While the shelf fails it is left alone but for a question now and then. What is to be
    written waits in memory within a bound; beyond that it is dropped. Used on one event loop.
    """

    def __init__(
        self,
        shelf: Shelf,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shelf = shelf
        self._timeout_s = timeout_s
        self._reads = _Way(shelf.name, "read", clock)
        self._writes = _Way(shelf.name, "written", clock)
        self._waiting: list[_Asked] = []
        self._reading: set[asyncio.Task[None]] = set()
        self._queue: dict[bytes, Entry] = {}
        self._queued_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._hits = self._misses = self._corrupt = self._dropped = 0
        self._closed = False

    def report(self) -> TierState:
        """Say what it was asked for, and what went wrong."""
        return TierState(
            name=self._shelf.name,
            hits=self._hits,
            misses=self._misses,
            corrupt=self._corrupt,
            failures=self._reads.failures + self._writes.failures,
            dropped=self._dropped,
            away=self._reads.away or self._writes.away,
        )

    async def find(self, names: Sequence[bytes], width: int) -> list[Entry | None]:
        """Give the entry of each name; None where none is known in time."""
        contents = await self._contents(names)
        found: list[Entry | None] = []
        for place, name in enumerate(names):
            if place and place % SEALS_ON_THE_LOOP == 0:
                await asyncio.sleep(0)
            content = contents.get(name)
            entry = None if content is None else unsealed(name, content, width)
            self._corrupt += content is not None and entry is None
            found.append(entry)
        missing = found.count(None)
        self._misses += missing
        self._hits += len(found) - missing
        return found

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Have entries written soon. Never waits."""
        if self._closed or self._writes.shut:
            self._dropped += len(entries)
            return
        for name, entry in entries.items():
            if self._queued_bytes + len(entry) > MAX_QUEUED_BYTES:
                self._dropped += 1
            elif name not in self._queue:
                self._queued_bytes += len(entry)
                self._queue[name] = entry
            else:  # it was computed anew: of one width, so of the same size
                self._queue[name] = entry
        if self._queue and (self._writer is None or self._writer.done()):
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def aclose(self) -> None:
        """Write what waits, within a bound of time, and close the shelf."""
        self._closed = True
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=FLUSH_S)
            self._writer.cancel()
        for task in self._reading:
            task.cancel()
        tasks = [*self._reading, *([self._writer] if self._writer else [])]
        await asyncio.gather(*tasks, return_exceptions=True)
        self._dropped += len(self._queue)
        await self._shelf.aclose()

    async def _contents(self, names: Sequence[bytes]) -> Mapping[bytes, bytes]:
        """Ask for contents, with others who ask now; nothing where there is no answer in time."""
        if self._closed or self._reads.shut:
            return {}
        asked = _Asked(names, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        self._ask()
        try:
            done, _ = await asyncio.wait([asked.answer], timeout=self._patience(names))
            return asked.answer.result() if done else {}
        finally:
            asked.answer.cancel()

    def _patience(self, names: Sequence[bytes]) -> float:
        """Give the seconds that so many contents are waited for."""
        return self._timeout_s * max(1.0, len(names) / TEXTS_PER_TIMEOUT)

    def _ask(self) -> None:
        """Begin to ask for those who wait, unless enough is under way."""
        self._waiting = [asked for asked in self._waiting if not asked.answer.done()]
        while self._waiting and len(self._reading) < UNDER_WAY:
            together: list[_Asked] = []
            size = 0
            while self._waiting and (
                not size or size + len(self._waiting[0].names) <= MAX_TOGETHER
            ):
                together.append(self._waiting.pop(0))
                size += len(together[-1].names)
            task = asyncio.get_running_loop().create_task(self._answer(together))
            self._reading.add(task)
            task.add_done_callback(self._answered)

    def _answered(self, task: "asyncio.Task[None]") -> None:
        self._reading.discard(task)
        if not self._closed:
            self._ask()

    async def _answer(self, together: Sequence[_Asked]) -> None:
        wanted = list(dict.fromkeys(name for asked in together for name in asked.names))
        found: Mapping[bytes, bytes] = {}
        if not self._reads.shut:
            get = self._shelf.get(wanted)
            found = await self._tried(self._reads, get, self._patience(wanted)) or {}
        for asked in together:
            if not asked.answer.done():
                asked.answer.set_result(found)

    async def _write(self) -> None:
        """Write what is queued, in turns, until nothing is or the shelf fails."""
        while self._queue:
            taken = dict(islice(self._queue.items(), WRITTEN_AT_ONCE))
            for name, entry in taken.items():
                del self._queue[name]
                self._queued_bytes -= len(entry)
            contents = {name: sealed(name, entry) for name, entry in taken.items()}
            put = self._shelf.put(contents)
            if not await self._tried(self._writes, _said(put), WRITE_TIMEOUT_S):
                self._dropped += len(taken)
            if self._writes.shut:
                self._dropped += len(self._queue)
                self._queue.clear()
                self._queued_bytes = 0

    async def _tried(self, way: _Way, work: Coroutine[Any, Any, T], seconds: float) -> T | None:
        """Do what may fail or take too long; None where it does."""
        ticket = way.begin()
        try:
            async with asyncio.timeout(seconds):
                given = await work
        except asyncio.CancelledError:
            way.leave(ticket)
            raise
        except TimeoutError:
            way.end(ticket, Away(f"no answer within {seconds:g} s"))
        except Away as error:
            way.end(ticket, error)
        except Exception as error:
            log.exception("the cache in %s failed", self._shelf.name)
            way.end(ticket, error)
        else:
            way.end(ticket, None)
            return given
        return None


async def _said(work: Awaitable[None]) -> bool:
    """Say that something was done."""
    await work
    return True
