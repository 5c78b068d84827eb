"""``emblem serve``: have the models, say what a newcomer needs, run the server until it is told to stop."""

import errno
import gc
import logging.config
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from emblem.cli.board import Board
from emblem.cli.progress import bars
from emblem.cli.tls import certificate
from emblem.cli.worker import STOPS, hold_signals, load
from emblem.config import Loaded, Settings, check_serving, secrets_of
from emblem.errors import ConfigError, EmblemError
from emblem.ledger.opening import open_ledger
from emblem.observe.port import check_port
from emblem.serving import Plan, check_spaces, plan

log = logging.getLogger(__name__)

# Connections, not requests, and far more than a server is meant to have: requests are bounded by
# ``max_requests``, which answers instead of leaving clients waiting.
MAX_CONNECTIONS = 8192

_FORMATTERS = {"console": "emblem.api.logs.LineFormatter", "json": "emblem.api.logs.JsonFormatter"}


def serve(loaded: Loaded) -> int:
    """Serve until SIGTERM or SIGINT and give the exit code. Raises EmblemError before that."""
    settings = loaded.settings
    check_serving(settings, loaded.origins)
    certificate(settings)
    logging.config.dictConfig(log_config(settings))
    logging.raiseExceptions = False  # a log that cannot be written is no reason to write of it
    with _port(settings) as address:
        if settings.metrics_port:
            check_port(settings.metrics_host, settings.metrics_port)
        with bars() as progress:
            planned = plan(settings, progress)
        check_processes(planned)
        with closing(open_ledger(settings)) as ledger:
            check_spaces(ledger, planned.served)
        with _shared(settings) as shared:
            # A worker that is not forked gets its arguments pickled, and the origins cannot be.
            return _run(
                planned,
                replace(loaded, origins=dict(loaded.origins)),
                address,
                Board(settings.processes, shared),
            )


def log_config(settings: Settings) -> dict[str, Any]:
    """Give logging's own configuration: one line an event, on stderr."""
    level = settings.log_level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": _FORMATTERS[settings.log_format],
                "fmt": "%(asctime)s %(levelname)s %(name)s: %(message)s",
                "secrets": secrets_of(settings),
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "emblem": {"level": level},
            "_granian": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
        },
    }


@contextmanager
def _port(settings: Settings) -> Iterator[str]:
    """Make sure of the port, and give the address to listen on.

    Two servers of one user could share a port, each answering by chance.
    """
    lock = FileLock(_lock_file(settings.port))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _taken(settings) from None
    except OSError as error:  # no folder for temporary files: only starts in one instant collide
        log.debug("port %d has no lock: %s", settings.port, error)
    try:
        yield _address(settings)
    finally:
        lock.release()


def _address(settings: Settings) -> str:
    """Give the IP address of the host, once its port has proven free. Raises ConfigError."""
    try:
        infos = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        # "localhost" is both, and what listens on ::1 only is not found at 127.0.0.1.
        family, kind, protocol, _, address = min(infos, key=lambda info: info[0] != socket.AF_INET)
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except (OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise _taken(settings) from None
        why = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigError(
            f"cannot listen on {settings.host}:{settings.port}: {why}; "
            "choose others with --host and --port"
        ) from None
    return str(address[0])


def _lock_file(port: int) -> Path:
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"emblem-{owner}-{port}.lock"


def _taken(settings: Settings) -> EmblemError:
    return ConfigError(
        f"port {settings.port} is taken by another program; choose another with --port, "
        f"such as --port {settings.port % 65535 + 1}"
    )


def check_processes(planned: Plan) -> None:
    """Raise ConfigError where several processes would each hold what one of them should."""
    settings = planned.settings
    if settings.processes == 1:
        return
    if sys.platform == "win32":
        raise ConfigError("several processes cannot share a port on Windows; processes = 1 can")
    held = [one.model.name for one in planned.deployed if one.model.encoder is not None]
    if held:
        raise ConfigError(
            f"processes = {settings.processes} is for static models, of which {', '.join(held)} "
            "is none: each process would hold it and compute on the same CPUs. One process computes "
            "on all of them; streams says how many rows at once. Or name the static models to serve"
        )


@contextmanager
def _shared(settings: Settings) -> Iterator[Path | None]:
    """Give a folder in which several processes add up what they count."""
    if settings.processes == 1:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="emblem-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _run(planned: Plan, loaded: Loaded, address: str, board: Board) -> int:
    """Run granian's processes, each of which opens the models."""
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    from emblem.cli.http1 import worker
    from emblem.cli.processes import Processes

    settings = planned.settings
    _stop_gently()
    _share_memory(planned)
    server = Processes(
        board,
        partial(certificate, settings),
        target="emblem.wiring:create",
        # Whatever else is installed: uvloop tries no two addresses of a name side by side, and was
        # not found to be faster (benchmarks/RESULTS.md).
        loop=Loops.asyncio,
        address=address,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.auto if settings.http2 else HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=int(1000 * settings.header_timeout_s)),
        websockets=False,
        backlog=MAX_CONNECTIONS,
        backpressure=MAX_CONNECTIONS,
        workers_kill_timeout=max(1, round(settings.shutdown_timeout_s)),
        log_level=LogLevels.warning,
        log_dictconfig=log_config(settings),
    )
    # A worker that has said why it cannot start is not to be called unexpected.
    logging.getLogger("_granian").addFilter(lambda _: not board.failure.value)
    loader = partial(load, planned, loaded, os.getpid(), board)
    try:
        server.serve(None if settings.http2 else worker, loader, wrap_loader=False)
    except SystemExit as stop:
        if server.interrupt_signal:
            return 0
        return board.failure.value or (stop.code if isinstance(stop.code, int) else 1)
    return 0


def _stop_gently() -> None:
    """Have SIGTERM end the process with 0 from here on, whenever it comes.

    Granian's own handlers come later. A worker is made with the signals held back.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=hold_signals,
            after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, STOPS),
        )


def _share_memory(planned: Plan) -> None:
    """Have workers that are forked share what is in memory by then, and that with what they need.

    Collecting garbage writes to every object that it looks at, and each page that is written to is
    there twice. Measured of the packages alone: 85 MB in two processes, and 57 so.
    """
    if not hasattr(os, "register_at_fork"):
        return
    if planned.hosted:
        from emblem.upstreams.http.connecting import trust

        trust()
    os.register_at_fork(before=_leave_to_workers)


def _leave_to_workers() -> None:
    gc.collect()
    gc.freeze()
