"""One process of ``emblem serve`` that answers: its start, its signals, and when it ends."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, TextIO

import typer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emblem.cli import streams
from emblem.cli.banner import banner
from emblem.cli.board import MOVES_S, Board
from emblem.cli.listening import stop_listening
from emblem.config import Loaded
from emblem.errors import EmblemError
from emblem.ports import Ledger
from emblem.serving import Plan, bind_spaces
from emblem.wiring import create, first_key

log = logging.getLogger(__name__)

STOPS = (signal.SIGINT, signal.SIGTERM)

# Objects more than were let go before some are looked at. A request leaves no cycle behind, and at
# Python's own 700 every seventh one waits until the garbage of all that is in work is looked for.
GARBAGE_FROM = 10_000


def hold_signals() -> None:
    """Hold back what would stop this process, and the threads that it starts.

    A worker that is told twice to stop before it serves, as Ctrl-C does through its parent and by
    itself, waits for itself in granian for ever.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)


def _take_signals(loop: asyncio.AbstractEventLoop) -> None:
    """Let granian hear of SIGTERM. Ctrl-C reaches the parent, which passes it on as SIGTERM."""
    if hasattr(signal, "pthread_sigmask"):
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def load(planned: Plan, loaded: Loaded, parent: int, board: Board, place: int) -> Any:
    """Build the application, in the worker's process."""
    logging.raiseExceptions = False  # a log that cannot be written is no reason to write of it
    hold_signals()
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it is for the parent
    served = threading.Event()
    follow = partial(_follow, parent, served, planned.settings.shutdown_timeout_s)
    threading.Thread(target=follow, name="emblem-follow", daemon=True).start()
    started = time.monotonic()

    def ready(ledger: Ledger) -> None:
        bind_spaces(ledger, planned.served, time.time())
        look_for_garbage_seldom()
        first = place == 0 and not board.greeted.value
        if first:
            board.greeted.value = 1
            _greet(planned, loaded, ledger)
        once_serving(asyncio.get_running_loop(), partial(serving, first=first))

    def serving(*, first: bool) -> None:
        served.set()
        loop = asyncio.get_running_loop()
        _take_signals(loop)
        if hasattr(signal, "SIGUSR1"):
            # Of metrics, too: they are no longer to be those of the old process.
            ports = planned.settings.port, planned.settings.metrics_port
            loop.add_signal_handler(signal.SIGUSR1, stop_listening, loop, *ports)
        board.answers(place)
        _move(loop, board, place)
        if first:
            say = partial(_say_ready, board, started)
            threading.Thread(target=say, name="emblem-ready", daemon=True).start()

    try:
        return _Starting(create(planned, ready, board.process(place)), board)
    except EmblemError as error:
        _give_up(error, board)


def look_for_garbage_seldom() -> None:
    """Keep what the start made out of the search for garbage, which holds up every request."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_FROM, *gc.get_threshold()[1:])


def once_serving(
    loop: asyncio.AbstractEventLoop, then: Callable[[], None], turns: int = 100
) -> None:
    """Call something once the server listens, from within its start.

    Granian runs the loop until the start is over, begins to listen, and runs it again: so it
    listens when the loop has turned more often than the rest of the start can take.
    """
    if turns:
        loop.call_soon(once_serving, loop, then, turns - 1)
    else:
        then()


def _move(loop: asyncio.AbstractEventLoop, board: Board, place: int) -> None:
    """Show the parent, as long as the event loop turns, that it does."""
    board.moves(place)
    loop.call_later(MOVES_S, _move, loop, board, place)


def _greet(planned: Plan, loaded: Loaded, ledger: Ledger) -> None:
    """Say what a newcomer needs, with the key of the first run where that goes to a terminal."""
    terminal = next((one for one in (sys.stdout, sys.stderr) if one.isatty()), None)
    secret = first_key(ledger, planned.settings) if terminal else None
    keys = [key for key in ledger.keys.every() if key.revoked is None]
    text = banner(planned, loaded, keys, secret)
    _say(text, (secret and terminal) or sys.stdout)


def _say_ready(board: Board, started: float) -> None:
    """Say that the server answers, once all of its processes do."""
    while not board.complete:
        time.sleep(0.01)
    _say(f"Ready in {time.monotonic() - started:.1f} s. Stop with Ctrl-C.", sys.stdout)


def _say(text: str, output: TextIO) -> None:
    """Write a text. Where that cannot be, for a full disk or a reader that has left, others can ask."""
    try:
        typer.echo(text, file=output)
    except (OSError, EmblemError) as error:
        log.warning("not written for anybody to read: %s", error)
        with suppress(OSError, EmblemError):
            streams.flush()  # which gives up what is left, where that cannot be written either


def _give_up(error: EmblemError, board: Board) -> NoReturn:
    """Say in one line why a worker does not start, and have its parent end with 2."""
    board.failure.value = 2
    typer.echo(f"emblem: {' '.join(str(error).split())}", err=True)
    sys.exit(2)


class _Starting:
    """Says in one line why the application does not start, where a traceback would follow.

    While its process is about to leave, it has clients come again on other connections.
    """

    def __init__(self, app: ASGIApp, board: Board) -> None:
        self._app = app
        self._board = board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            if self._board.is_leaving() and scope["http_version"].startswith("1"):
                send = partial(_closing, send)
            await self._app(scope, receive, send)
            return

        async def without_traceback(message: Message) -> None:
            if not message["type"].endswith(".failed"):
                await send(message)

        try:
            await self._app(scope, receive, without_traceback)
        except EmblemError as error:
            _give_up(error, self._board)
        except (SystemExit, KeyboardInterrupt, asyncio.CancelledError):
            raise
        except BaseException:  # a panic of a library is no Exception, and must not leave us hanging
            log.exception("the server cannot start or stop as it should")
            sys.exit(1)


async def _closing(send: Send, message: Message) -> None:
    """Send an answer that says that its connection ends with it."""
    if message["type"] == "http.response.start":
        headers = [*message.get("headers", ()), (b"connection", b"close")]
        message = {**message, "headers": headers}
    await send(message)


def _follow(parent: int, served: threading.Event, shutdown_timeout_s: float) -> None:
    """Stop when the process that started this one has died, so that no port stays taken.

    Before the server answers there is nothing to finish, and SIGTERM ends the process at once.
    """
    while os.getppid() == parent:
        if not served.wait(0.1):
            if hasattr(signal, "sigpending") and signal.SIGTERM in signal.sigpending():
                os._exit(0)
        else:
            time.sleep(1)
    if not served.is_set():
        os._exit(0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(shutdown_timeout_s)
    os.kill(os.getpid(), signal.SIGKILL)
