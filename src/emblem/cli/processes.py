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
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from granian.constants import SSLProtocols
from granian.server.mp import MPServer, WorkerProcess

from emblem.cli.board import Board, worth_replacing
from emblem.errors import ConfigError

log = logging.getLogger(__name__)

# How long a process that is to be replaced goes on answering on the connections that it has, and
# asks clients to come again on others: a client that is at work has done so by then.
LEAVE_S = 2.0
POLL_S = 0.02


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
        super().__init__(
            workers=board.count,
            **options,
        )
        self._read_certificate()

    def _init_shared_socket(self) -> None:
        import socket

        from granian.net import SocketSpec

        self._shd = SocketSpec(self.bind_addr, self.bind_port, self.backlog).build()
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

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        start = partial(self._spawn_worker, target=spawn_target, callback_loader=target_loader)
        while True:
            self.main_loop_interrupt.wait()
            self.main_loop_interrupt.clear()
            if self.interrupt_signal or not self._replaced(start):
                return
            if self.reload_signal:
                self.reload_signal = False
                self._renew(start)

    def _replaced(self, start: Callable[[int], WorkerProcess]) -> bool:
        """Start another process for each that has died. False where that would not help."""
        while self.interrupt_children:
            place = self.interrupt_children[0]
            if not self.wrks[place].is_alive():
                answered = self._board.answering[place] == self.wrks[place].inner.pid
                self._board.answering[place] = 0
                now = time.monotonic()
                self._deaths = [*self._deaths[-2 * len(self.wrks) - 10 :], now]
                if not answered or not worth_replacing(self._deaths, now):
                    return False
                log.error("process %d of %d has died and is replaced", place + 1, len(self.wrks))
                with suppress(ConfigError):  # then it reads what the others have read
                    self._read_certificate()
                self.wrks[place] = start(place)
                self.wrks[place].start()
            self.interrupt_children.pop(0)
        return True

    def _renew(self, start: Callable[[int], WorkerProcess]) -> None:
        """Replace each process by a new one, once that answers."""
        try:
            self._read_certificate()
        except ConfigError as error:
            log.error("nothing is renewed: %s", error)  # noqa: TRY400 - it is no fault of ours
            return
        for place, old in enumerate(self.wrks):
            if not self._handed_over(place, old, start):
                return
        if not self.interrupt_signal:
            log.info("every process has been renewed")

    def _handed_over(
        self, place: int, old: WorkerProcess, start: Callable[[int], WorkerProcess]
    ) -> bool:
        new = start(place)
        new.interrupt_by_parent = True  # until it answers, its end is no reason to do anything
        new.start()
        answers = partial(self._answers, place, new)
        self._wait(lambda: answers() or not new.is_alive())
        if not answers():
            new.kill()
            new.join()
            self._board.failure.value = 0
            if not self.interrupt_signal:
                log.error("nothing more is renewed: process %d does not start again", place + 1)
            return False
        self.wrks[place] = new
        new.interrupt_by_parent = False
        if not new.is_alive():
            self.interrupt_children.append(place)
            self.main_loop_interrupt.set()
        self._send_away(old)
        return True

    def _answers(self, place: int, process: WorkerProcess) -> bool:
        return bool(self._board.answering[place] == process.inner.pid)

    def _send_away(self, old: WorkerProcess) -> None:
        self._board.leaving.value = old.inner.pid
        with suppress(ProcessLookupError):  # it has died meanwhile
            os.kill(old.inner.pid, signal.SIGUSR1)
        ends = time.monotonic() + LEAVE_S
        self._wait(lambda: time.monotonic() > ends)
        old.terminate()
        old.join(self.workers_kill_timeout)
        if old.is_alive():
            old.kill()
            old.join()

    def _wait(self, until: Callable[[], bool]) -> None:
        """Wait until something is so, or the server is to stop."""
        while not self.interrupt_signal and not until():
            time.sleep(POLL_S)

    def _read_certificate(self) -> None:
        """Have new processes use the files as they are now, wherever links to them lead now."""
        cert, key = self._certificate()
        self.build_ssl_context(cert, key, None, SSLProtocols.tls12, None, [], False)


def _at_terminal() -> bool:
    """Tell whether there is a terminal, which one that was closed is no more."""
    return any(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr) if stream)
