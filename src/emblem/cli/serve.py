"""``emblem serve``: have the models, say what a newcomer needs, run the server until it is told to stop."""

import logging.config
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import typer
from filelock import FileLock, Timeout

from emblem.cli.banner import banner
from emblem.cli.progress import bars
from emblem.config import Loaded, Settings
from emblem.errors import ConfigError, EmblemError
from emblem.wiring import Plan, bind_spaces, create, first_key, open_ledger, plan

# Connections, not requests, and far more than a server is meant to have: requests are bounded by
# ``max_requests``, which answers instead of leaving clients waiting.
MAX_CONNECTIONS = 8192


def serve(loaded: Loaded) -> int:
    """Serve until SIGTERM or SIGINT and give the exit code. Raises EmblemError before that."""
    settings = loaded.settings
    logging.config.dictConfig(log_config(settings))
    with _port(settings):
        with bars() as progress:
            planned = plan(settings, progress)
        with open_ledger(settings) as ledger:
            bind_spaces(ledger, planned.served, time.time())
            terminal = next((one for one in (sys.stdout, sys.stderr) if one.isatty()), None)
            secret = first_key(ledger, settings) if terminal else None
            keys = [key for key in ledger.keys() if key.revoked is None]  # noqa: SIM118
            text = banner(planned, loaded, keys, secret)
        typer.echo(text, file=terminal if secret else sys.stdout)
        return _run(planned)


def log_config(settings: Settings) -> dict[str, Any]:
    """Give logging's own configuration: one line an event, on stderr."""
    level = settings.log_level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            "emblem": {"level": level},
            "_granian": {"level": "WARNING", "handlers": ["stderr"], "propagate": False},
        },
    }


@contextmanager
def _port(settings: Settings) -> Iterator[None]:
    """Make sure of the port. Two servers of one user could share it, each answering by chance."""
    lock = FileLock(_lock_file(settings.port))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _taken(settings) from None
    with lock:
        try:
            infos = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, address = infos[0]
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
        except OSError as error:
            if "in use" in str(error):
                raise _taken(settings) from None
            raise ConfigError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
                "choose others with --host and --port"
            ) from None
        yield


def _lock_file(port: int) -> Path:
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"emblem-{owner}-{port}.lock"


def _taken(settings: Settings) -> EmblemError:
    return ConfigError(
        f"port {settings.port} is taken by another program; choose another with --port, "
        f"such as --port {settings.port % 65535 + 1}"
    )


def _run(planned: Plan) -> int:
    """Run granian with one worker, which opens the models."""
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.log import LogLevels
    from granian.server import Server

    settings = planned.settings
    failure = multiprocessing.Value("i", 0)
    server = Server(
        "emblem.wiring:create",
        address=settings.host,
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
    loader = partial(_load, planned, os.getpid(), failure)
    try:
        server.serve(target_loader=loader, wrap_loader=False)
    except SystemExit as stop:
        return failure.value or (stop.code if isinstance(stop.code, int) else 1)
    return 0


def _load(planned: Plan, parent: int, failure: Any) -> Any:
    """Build the application, in the worker's process."""
    threading.Thread(target=_follow, args=(parent,), name="emblem-follow", daemon=True).start()
    started = time.monotonic()

    def ready() -> None:
        typer.echo(f"Ready in {time.monotonic() - started:.1f} s. Stop with Ctrl-C.")

    try:
        return _Failing(create(planned, ready), failure)
    except EmblemError as error:
        failure.value = 2
        sys.exit(f"emblem: {error}")


class _Failing:
    """Says in one line why the application does not start, where a traceback would follow."""

    def __init__(self, app: Any, failure: Any) -> None:
        self._app = app
        self._failure = failure

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except EmblemError as error:
            self._failure.value = 2
            typer.echo(f"emblem: {error}", err=True)
            sys.exit(2)


def _follow(parent: int) -> None:
    """Stop when the process that started this one has died, so that no port stays taken."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
