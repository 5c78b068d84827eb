"""Engine: an Embedder over one Backend. Tokenise, queue, run rows, hand back.

Threads: ``embed`` runs on the event loop and tokenises in a small pool of threads. Each stream of
the backend has one thread of its own, the only one that touches it. They meet in the queue. What
takes less time than handing it to a thread is done on the loop at once: reading a short text, and
running it on a backend that is ``Instant``.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

import numpy as np

from emblem.core.head import Head, Layer
from emblem.core.pack import Waiting
from emblem.core.plan import (
    Charges,
    Plan,
    assemble,
    charges,
    estimated_longest,
    estimated_tokens,
    plan,
    problems,
    read_tokens,
    refuse_unread,
    slices,
)
from emblem.core.pool import unit
from emblem.core.tokenize import Reading, TextTokenizer, Window
from emblem.engine.queue import Job, Queue, QueueLimits, Share
from emblem.engine.readers import PER_TEXT, Readers
from emblem.errors import DeploymentFailed, InvalidInput, InvalidRequest, ModelError, TooManyTokens
from emblem.model import Model, Modules
from emblem.ports import Backend, Instant, Spare, Stream
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Lane, Overflow, Row, Tokens, Vectors, Work

log = logging.getLogger(__name__)

# Texts of so many tokens, as they are guessed, are read on the event loop: about 0.1 ms.
SMALL_TOKENS = 128

P = ParamSpec("P")
R = TypeVar("R")


class Engine:
    """Embeds texts with one model on one backend.

    ``embed`` may be called any number of times at once. What else is in the queue changes when a
    result comes, and of its vectors no bit where the graph was built here, elsewhere no more than
    rounding. ``clock`` is the monotonic clock, in seconds; ``layers`` are the model's dense layers,
    all of them. Raises ModelError where the numbers that come out are not as many as the space has.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: TextTokenizer,
        backend: Backend,
        limits: QueueLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        layers: tuple[Layer, ...] = (),
    ) -> None:
        self._head = _head(model, layers, backend)
        self._model = model
        self._space = model.space
        self._tokenizer = tokenizer
        self._backend = backend
        self._clock = clock
        self._queue = Queue(
            model.name,
            backend.row_tokens,
            limits or QueueLimits(),
            clock,
            streams=backend.streams,
        )
        self._panics = _Panics(model.name)
        self._closing = False
        self._lost: list[str] = []  # the streams that have ended, by their threads' names
        self._instant_tokens = backend.instant_tokens if isinstance(backend, Instant) else 0
        self._instant = backend.stream() if self._instant_tokens else None
        self._readers = Readers()
        self._counting = threading.Lock()
        self._running = 0  # rows
        self._shared = self._counted = clock()
        self._streams = [
            threading.Thread(
                target=self._serve,
                args=(backend.stream, self._queue.next_row),
                name=f"emblem-stream-{n}",
                daemon=True,
            )
            for n in range(backend.streams)
        ]
        if isinstance(backend, Spare) and backend.streams > 1:
            overtake = (backend.spare, self._queue.overtaking_row)
            self._streams.append(
                threading.Thread(
                    target=self._serve, args=overtake, name="emblem-overtaking", daemon=True
                )
            )
        for thread in self._streams:
            thread.start()

    @property
    def space(self) -> Space:
        """The space of the model."""
        return self._space

    def problem(self) -> str | None:
        """Say whether the engine is closing or a stream's thread has died."""
        if self._closing:
            return "is shutting down"
        return f"has lost {', '.join(self._lost)}" if self._lost else None

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed every text of the request; see ``ports.Embedder``."""
        unread, small = self._admitted(request)
        if small:
            with self._panics:
                planned = self._planned(request)
        else:
            planned = await self._plan(request, unread)
        windows = self._at_once(planned)
        if windows is None:
            windows = await self._in_turn(planned, request)
        normalised, dimensions = self._space.normalised, request.dimensions
        made = partial(assemble, windows, planned, normalised=normalised, dimensions=dimensions)
        if small and len(windows) == len(request.inputs):
            vectors = made()
        else:
            vectors = await self._do(PER_TEXT * len(windows), made)
        return EmbedResult(
            vectors, planned.tokens, planned.overflowed, self._model.name, planned.uncut
        )

    async def count(self, request: EmbedRequest) -> tuple[EmbedRequest, Tokens]:
        """Read every text, and say what it will cost; see ``ports.Counting``."""
        unread, small = self._admitted(request)
        if small:
            with self._panics:
                read = self._small(request)
                charged = charges(read, self._tokenizer.frame, request, self._rule(request))
                _refuse_more(charged, request)
        else:
            read = await self._read(request, unread)
            size, frame = PER_TEXT * len(read), self._tokenizer.frame
            charged = await self._do(size, charges, read, frame, request, self._rule(request))
        return request.with_readings(tuple(read)), charged.tokens

    async def examine(self, request: EmbedRequest, wrong: Mapping[int, str]) -> None:
        """Say what is wrong with the inputs; see ``ports.Examining``."""
        await self._plan(request, {**refuse_unread(request), **wrong})

    def work(self) -> Work:
        """Say what waits and what has run; see ``ports.Working``."""
        return self._queue.work()

    async def aclose(self) -> None:
        """Stop the streams after their present rows, hand those back, and fail what waits."""
        self._closing = True
        self._queue.close(f"{self._model.name} is shutting down")
        for thread in self._streams:
            await asyncio.to_thread(thread.join)
        self._readers.close()
        self._backend.close()

    # -- on the event loop --------------------------------------------------------------------

    def _admitted(self, request: EmbedRequest) -> tuple[dict[int, str], bool]:
        """Refuse what cannot be embedded, now or ever, as far as that shows before it is read.

        Gives the inputs that are not to be read, with the reason, and whether all is to be read and
        little enough for the event loop.
        """
        if problem := self.problem():
            raise DeploymentFailed(f"{self._model.name} {problem}")
        if wrong := self._model.shortening_problem(request.dimensions):
            raise InvalidRequest(wrong, param="dimensions")
        unread = refuse_unread(request)
        guess = estimated_tokens(request)
        if not unread and guess > self._instant_tokens:
            # What is too large is read only to say all that is wrong with it.
            longest = estimated_longest(request, self._tokenizer.frame.max_length)
            held = self._bytes(guess, len(request.inputs), longest)
            self._queue.admit(request.lane, guess, held, share=request.fair_share)
        return unread, guess <= SMALL_TOKENS and not unread

    def _rule(self, request: EmbedRequest) -> Overflow:
        return request.overflow or self._space.overflow

    def _planned(self, request: EmbedRequest) -> Plan:
        """Tokenise what is small, unless ``count`` has, and cut it into windows."""
        known = _known(request)
        read = known or self._small(request)
        planned = plan(read, self._tokenizer.frame, request, self._rule(request))
        if known is None:
            _refuse_more(planned, request)
        return planned

    async def _plan(self, request: EmbedRequest, unread: Mapping[int, str]) -> Plan:
        """Tokenise, unless ``count`` has, and cut into windows. Off the loop."""
        read = _known(request) or await self._read(request, unread)
        size, frame = PER_TEXT * len(read), self._tokenizer.frame
        return await self._do(size, plan, read, frame, request, self._rule(request))

    def _small(self, request: EmbedRequest) -> list[Reading]:
        """Tokenise what is small."""
        prompt = self._model.prompts.of(request.kind)
        return self._tokenizer.readings(request.inputs, prompt, request.max_input_tokens)

    async def _read(self, request: EmbedRequest, unread: Mapping[int, str]) -> list[Reading]:
        """Tokenise, slice by slice, off the loop.

        ``unread`` has the inputs that are not to be tokenised, and why, which stands in the place
        of their readings. Where there are any the rest is read only to say what is wrong with that,
        too.
        """
        prompt = self._model.prompts.of(request.kind)
        readings: list[Reading] = []
        total = 0
        most = request.max_total_tokens
        for part in slices(request.inputs, unread):
            size = sum(map(len, part)) + PER_TEXT * len(part)
            each = request.max_input_tokens
            read = await self._do(size, self._tokenizer.readings, part, prompt, each)
            readings += read
            total += read_tokens(read, self._tokenizer.frame)
            if most is not None and total > most:
                # A text that no request may hold comes first: sending fewer would not help it.
                if wrong := {**dict(self._problems(readings, request)), **unread}:
                    raise InvalidInput(sorted(wrong.items()))
                counted_all = len(readings) == len(request.inputs)
                raise TooManyTokens(str(total) if counted_all else f"more than {total}", most)
        for index, why in unread.items():
            readings[index] = why
        return readings

    def _problems(self, readings: list[Reading], request: EmbedRequest) -> list[tuple[int, str]]:
        return problems(readings, self._tokenizer.frame, request, self._rule(request))

    async def _do(
        self, characters: int, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Do work that is as much as reading so many characters: in a reader's thread, if any."""
        with self._panics:
            if not characters:
                return work(*args, **kwargs)
            done = self._submitted(characters, partial(work, *args, **kwargs))
            return await asyncio.wrap_future(done)

    def _submitted(self, characters: int, work: Callable[[], R]) -> Future[R]:
        try:
            return self._readers.submit(characters, work)
        except RuntimeError:
            raise DeploymentFailed(f"{self._model.name} is shutting down") from None

    def _at_once(self, planned: Plan) -> Vectors | None:
        """Run what is small enough for that on an instant backend; None where it has to wait."""
        if self._instant is None or len(planned.windows) > self._instant_tokens:
            return None
        tokens = sum([len(window.ids) for window in planned.windows])
        if tokens > self._instant_tokens:
            return None
        if self._closing:
            raise DeploymentFailed(f"{self._model.name} is shutting down")
        started = self._clock()
        try:
            vectors = self._vectors(planned.windows, self._instant)
        except BaseException:
            log.exception("%s failed to run a row", self._model.name)
            raise DeploymentFailed(f"{self._model.name} failed to run") from None
        self._queue.ran(tokens, self._clock() - started)
        return vectors

    async def _in_turn(self, planned: Plan, request: EmbedRequest) -> Vectors:
        """Queue the windows and wait until all have run: (windows, width)."""
        job = self._job(planned, request)
        self._queue.put(job, request.lane)
        try:
            await job.finished
        except asyncio.CancelledError:
            self._queue.leave(job)
            raise
        return job.vectors

    def _job(self, planned: Plan, request: EmbedRequest) -> Job:
        sizes = planned.lengths
        tokens = sum(sizes)
        return Job(
            plan=planned,
            waiting=Waiting.of(sizes, request.deadline, request.fair_share),
            vectors=np.empty((len(sizes), self._space.width), dtype=np.float32),
            bytes=self._bytes(tokens, len(sizes), max(sizes)),
            finished=asyncio.get_running_loop().create_future(),
            tokens=tokens,
            remaining=len(sizes),
        )

    def _bytes(self, tokens: int, windows: int, longest: int) -> int:
        """Predict what a request holds until it is done: token ids, vectors, and a row's working memory."""
        return 4 * (tokens + windows * self._space.width) + self._backend.row_bytes(longest)

    # -- in the streams' threads --------------------------------------------------------------

    def _serve(
        self,
        opened: Callable[[], Stream],
        next_row: Callable[[], list[Share] | None],
    ) -> None:
        """Run rows until the engine closes. It must not end otherwise; if it does, all fails."""
        try:
            stream = opened()
            while (row := next_row()) is not None:
                self._run(stream, row)
                del row  # or the last requests would be kept until the next one comes
        except Exception:
            log.exception("%s has lost a stream", self._model.name)
        finally:
            self._lost.append(threading.current_thread().name)
            self._queue.close(f"{self._model.name} has lost a stream")

    def _run(self, stream: Stream, row: list[Share]) -> None:
        """Run one row and hand its vectors back."""
        began = self._shared_time(1)
        try:
            self._fill(row, stream)
        except BaseException:  # whatever a backend raises fails this row only
            log.exception("%s failed to run a row", self._model.name)
            self._queue.fail(row, DeploymentFailed(f"{self._model.name} failed to run"))
        else:
            self._queue.done(row, self._shared_time(0) - began)
        finally:
            self._shared_time(-1)

    def _shared_time(self, more: int) -> float:
        """Read a clock that runs n times slower while n rows run, and count so many more or fewer.

        What it showed meanwhile is what a row cost: its time, shared with those beside it.
        """
        with self._counting:
            now = self._clock()
            self._shared += (now - self._counted) / max(1, self._running)
            self._counted = now
            self._running += more
            return self._shared

    def _fill(self, row: list[Share], stream: Stream) -> None:
        """Give each job of a row its part of the vectors."""
        windows = [share.job.plan.windows[index] for share in row for index in share.windows]
        vectors = self._vectors(windows, stream, bulk=row[0].lane is Lane.BULK)
        start = 0
        for share in row:
            stop = start + len(share.windows)
            share.job.vectors[share.windows] = vectors[start:stop]
            start = stop

    def _vectors(self, windows: list[Window], stream: Stream, *, bulk: bool = False) -> Vectors:
        """Run one row and make its vectors: (windows, width) float32."""
        lengths = np.array([len(window.ids) for window in windows], dtype=np.int32)
        skips = [window.skip for window in windows]
        skip = np.array(skips, dtype=np.int32) if any(skips) else None
        row = Row(np.concatenate([window.ids for window in windows]), lengths, skip, bulk)
        given = stream.run(row)
        vectors = given if self._head is None else self._head.vectors(given, row)
        if vectors.shape != (len(windows), self._space.width):
            raise ValueError(f"{vectors.shape[1]} numbers, and the space has {self._space.width}")
        return unit(vectors) if self._head is None and self._model.normalise else vectors


def _known(request: EmbedRequest) -> list[Reading] | None:
    """Give what ``count`` read of a request; None where it is not all there."""
    if len(request.readings) == len(request.inputs) and None not in request.readings:
        return cast("list[Reading]", [*request.readings])
    return None


def _refuse_more(found: Charges | Plan, request: EmbedRequest) -> None:
    """Raise TooManyTokens where all texts together have more tokens than the request may have."""
    most = request.max_total_tokens
    tokens = found.tokens if found.uncut is None else found.uncut
    if most is not None and (total := sum(tokens.tolist())) > most:
        raise TooManyTokens(str(total), most)


class _Panics:
    """Makes a library's panic, which is no Exception and which nobody else catches, a failure."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, (Exception, asyncio.CancelledError)):
            what = f"{self._model} failed to read a text: {kind.__name__}"
            raise DeploymentFailed(what) from None


def _head(model: Model, layers: tuple[Layer, ...], backend: Backend) -> Head | None:
    """Give what makes vectors of states; None where the backend pools by itself."""
    if isinstance(model.encoder, Modules):
        head, width = None, backend.width
    else:
        if len(layers) != len(model.dense):
            raise ModelError(
                f"{model.name} has {len(model.dense)} dense layers, and {len(layers)} were opened"
            )
        head = Head(model.pooling, layers, model.normalise)
        try:
            width = head.width(backend.width)
        except ValueError as error:
            raise ModelError(f"{model.name}: {error}") from None
    if width != model.width:
        raise ModelError(f"{model.name} has {model.width} numbers and its backend gives {width}")
    return head
