"""The processes of a server: granian's, on one listening socket, replaced one after the other.

Granian on Linux has each of its processes listen by itself, so that connections which wait for one
that ends are reset unless the kernel moves them (net.ipv4.tcp_migrate_req, off by default). Here all
accept from one socket, as granian does elsewhere: what waits there is taken by whoever is left, also
while none is. And granian ends an old process some seconds after it has started a new one, whether
that answers or not; here the old one waits for the new one. Source: granian/server/common.py and
mp.py of 2.8, whose methods these are.
"""

# mypy: disable-error-code="no-untyped-call, override, attr-defined, assignment"
# Granian's methods have no types.

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from granian.constants import SSLProtocols
from granian.net import SocketSpec
from granian.server.mp import MPServer, WorkerProcess

from emblem.cli.board import HUNG_S, Board, watched_since, worth_replacing
from emblem.errors import ConfigError

log = logging.getLogger(__name__)

# How long a process that is to be replaced goes on answering on the connections that it has, and
# asks clients to come again on others: a client that is at work has done so by then.
LEAVE_S = 2.0
POLL_S = 0.02
LOOK_S = 1.0  # between two looks at who hangs
KILLED_S = 5.0  # for a process that was killed to be gone
AGAIN_S = (
    0.5  # from which on a second Ctrl-C is one: programs pass on the first that others saw, too
)
LONG_S = 1.0  # for a stop, after which it is said what it waits for


class _HopelessError(Exception):
    """A process has died, and another would fare no better."""


class Processes(MPServer):
    """Runs the processes of a server until SIGTERM or SIGINT; SIGHUP renews them one by one.

    ``certificate`` gives the files of a certificate and its key, both None for plain HTTP, and
    raises ConfigError where they cannot be used. ``options`` are those of granian's own server.
    """

    def __init__(
        self, board: Board, certificate: Callable[[], Sequence[Path | None]], **options: Any
    ) -> None:
        self._board = board
        self._certificate = certificate
        self._deaths: list[float] = []
        self._had_terminal = _at_terminal()
        self._told = self._looked = self._since = time.monotonic()
        self._renewing: int | None = None  # the place whose next process is being started
        self._beside: WorkerProcess | None = None  # one that has no place yet, or none any more
        super().__init__(
            workers=board.count,
            **options,
        )
        self._read_certificate()

    def _init_shared_socket(self) -> None:
        try:
            self._shd = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
        except RuntimeError as error:  # it was free when the command began; models take a while
            why = str(error).partition("\n")[0]
            raise ConfigError(
                f"cannot listen on {self.bind_addr}:{self.bind_port}: {why}"
            ) from None
        self._sso = socket.socket(fileno=self._shd.get_fd())
        self._sso.set_inheritable(True)

    def _spawn_worker(
        self, idx: int, target: Callable[..., None], callback_loader: Callable[..., Any]
    ) -> WorkerProcess:
        return super()._spawn_worker(idx, target, partial(callback_loader, idx))

    def signal_handler_reload(self, *_: Any, **__: Any) -> None:
        """Renew the processes; or end, where the signal says that the terminal was closed."""
        if self._had_terminal and not _at_terminal():
            self.signal_handler_interrupt()
        else:
            super().signal_handler_reload()

    def signal_handler_interrupt(self, number: int = 0, *_: Any) -> None:
        """Stop; at Ctrl-C once more, without waiting for what still runs."""
        now = time.monotonic()
        if not self.interrupt_signal:
            self._told = now
        elif number == signal.SIGINT and now - self._told > AGAIN_S:
            for one in self._all():
                one.kill()
        super().signal_handler_interrupt()

    def shutdown(self, exit_code: int = 0) -> None:
        """Stop every process, and say what that waits for where it takes a while."""
        say = "what runs is finished first, for up to %d s; Ctrl-C once more cuts it off"
        patience = threading.Timer(LONG_S, log.info, (say, self.workers_kill_timeout))
        patience.daemon = True
        patience.start()
        try:
            super().shutdown(exit_code)
        finally:
            patience.cancel()

    def _stop_workers(self) -> None:
        self.wrks = self._all()
        super()._stop_workers()

    def _all(self) -> list[WorkerProcess]:
        return [*self.wrks, *([self._beside] if self._beside else [])]

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        start = partial(self._spawn_worker, target=spawn_target, callback_loader=target_loader)
        with suppress(_HopelessError):
            while True:
                self.main_loop_interrupt.wait(LOOK_S)
                self.main_loop_interrupt.clear()
                if self.interrupt_signal:
                    return
                self._look_after_all(start)
                if self.reload_signal:
                    self.reload_signal = False
                    self._renew(start)

    def _look_after_all(self, start: Callable[[int], WorkerProcess]) -> None:
        """Kill who hangs, and replace who has died. Raises _HopelessError where that is no help."""
        for place in self._hung():
            log.error(
                "process %d of %d has not moved for %d s and is killed",
                *(place + 1, len(self.wrks), HUNG_S),
            )
            self.wrks[place].inner.kill()
            self.wrks[place].join(KILLED_S)
        for place in list(self.interrupt_children):
            if not self.wrks[place].is_alive():
                if place == self._renewing:  # the next one is on its way
                    continue
                self._replace(place, start)
            self.interrupt_children.remove(place)

    def _hung(self) -> list[int]:
        """Say in which places the process hangs."""
        now = time.monotonic()
        self._since, self._looked = watched_since(self._since, self._looked, now), now
        hung = self._board.hung(self._since, now)
        return [place for place in hung if self._answers(place, self.wrks[place])]

    def _replace(self, place: int, start: Callable[[int], WorkerProcess]) -> None:
        answered = self._answers(place, self.wrks[place])
        self._board.answering[place] = 0
        now = time.monotonic()
        self._deaths = [*self._deaths[-2 * len(self.wrks) - 10 :], now]
        if not answered or not worth_replacing(self._deaths, now):
            raise _HopelessError
        log.error("process %d of %d has died and is replaced", place + 1, len(self.wrks))
        try:
            self._read_certificate()
        except ConfigError as error:  # it reads what the others have read, if that is still there
            log.error("%s", error)  # noqa: TRY400 - it is no fault of ours
        new = start(place)
        new.start()
        self.wrks[place] = new

    def _renew(self, start: Callable[[int], WorkerProcess]) -> None:
        """Replace each process by a new one, once that answers."""
        try:
            self._read_certificate()
        except ConfigError as error:
            log.error("nothing is renewed: %s", error)  # noqa: TRY400 - it is no fault of ours
            return
        for place in range(len(self.wrks)):
            if not self._handed_over(place, start):
                return
        if not self.interrupt_signal:
            log.info("every process has been renewed")

    def _handed_over(self, place: int, start: Callable[[int], WorkerProcess]) -> bool:
        new = start(place)
        new.interrupt_by_parent = True  # until it answers, its end is no reason to do anything
        new.start()
        self._beside, self._renewing = new, place
        answers = partial(self._answers, place, new)
        self._wait(lambda: answers() or not new.is_alive(), start)
        self._renewing = None
        if not answers():
            new.kill()
            new.join()
            self._beside = None
            self._board.failure.value = 0
            if not self.interrupt_signal:
                log.error("nothing more is renewed: process %d does not start again", place + 1)
            return False
        self._beside, self.wrks[place] = self.wrks[place], new
        new.interrupt_by_parent = False
        if not new.is_alive():
            self.interrupt_children.append(place)
        self._send_away(self._beside, start)
        return True

    def _answers(self, place: int, process: WorkerProcess) -> bool:
        return bool(self._board.answering[place] == process.inner.pid)

    def _send_away(self, old: WorkerProcess, start: Callable[[int], WorkerProcess]) -> None:
        self._board.leaving.value = old.inner.pid
        with suppress(ProcessLookupError):  # it has died meanwhile
            os.kill(old.inner.pid, signal.SIGUSR1)
        self._wait(_passed(LEAVE_S), start)
        old.terminate()
        too_long = _passed(self.workers_kill_timeout or 0)
        self._wait(lambda: not old.is_alive() or too_long(), start)
        if self.interrupt_signal:
            return  # it ends along with the others
        if old.is_alive():
            old.kill()
        old.join()
        self._beside = None

    def _wait(self, until: Callable[[], bool], start: Callable[[int], WorkerProcess]) -> None:
        """Wait until something is so, or the server is to stop, and look after all meanwhile."""
        while not self.interrupt_signal and not until():
            time.sleep(POLL_S)
            self._look_after_all(start)

    def _read_certificate(self) -> None:
        """Have new processes use the files as they are now, wherever links to them lead now."""
        cert, key = self._certificate()
        self.build_ssl_context(cert, key, None, SSLProtocols.tls12, None, [], False)


def _passed(seconds: float) -> Callable[[], bool]:
    """Give what tells whether some seconds have passed from now on."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def _at_terminal() -> bool:
    """Tell whether there is a terminal, which one that was closed is no more."""
    return any(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr) if stream)
