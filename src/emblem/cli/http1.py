"""A process of granian's that speaks HTTP/1.1 in the event loop of the application itself."""

# mypy: disable-error-code="no-untyped-call"
# Granian's methods have no types.

import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

from granian.asgi import LifespanProtocol
from granian.http import HTTP1Settings
from granian.server.mp import WorkerProcess
from starlette.types import ASGIApp

from emblem.http1.listener import Listener

log = logging.getLogger(__name__)


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
def worker(
    _worker_id: int,
    app: ASGIApp,
    sock: Any,
    _ipc: Any,
    loop: asyncio.AbstractEventLoop,
    _runtime_mode: Any,
    _runtime_threads: int,
    _runtime_blocking_threads: int | None,
    _blocking_threads: int,
    _blocking_threads_idle_timeout: int,
    backpressure: int,
    _task_impl: Any,
    _http_mode: Any,
    http1_settings: HTTP1Settings,
    _http2_settings: Any,
    _websockets: bool,
    _static_path: Any,
    _log_access_fmt: str | None,
    ssl_ctx: Any,
    *_: Any,
) -> None:
    """Serve until SIGTERM. The arguments are those of granian's own targets."""
    listening = _taken((sock[0] or sock[1]).get_fd())
    tls = _tls(ssl_ctx[1], ssl_ctx[2]) if ssl_ctx[0] else None
    late_s = http1_settings.header_read_timeout / 1000
    loop.run_until_complete(_serve(app, backpressure, late_s, listening, tls))


def _taken(number: int) -> socket.socket:
    """Give the socket of a number that others hold, too, for one's own: closing it closes it.

    They close the number in the end, so it stays, and is that of nothing.
    """
    listening = socket.socket(fileno=socket.dup(number))
    if sys.platform != "win32":  # where it is no number of a file
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), number, inheritable=False)
    return listening


def _tls(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except OSError as error:
        # The parent has read them before, and has said so where it could not do so again.
        log.error("tls_cert %s and tls_key %s cannot be used: %s", cert, key, error)  # noqa: TRY400
        sys.exit(1)
    return context


async def _serve(
    app: ASGIApp, most: int, head_s: float, listening: socket.socket, tls: ssl.SSLContext | None
) -> None:
    """Start the application, answer until the process is told to stop, and finish what runs.

    The parent kills a process that takes too long over that.
    """
    stop = asyncio.Event()
    _hear(asyncio.get_running_loop(), stop)
    lifespan = LifespanProtocol(app)
    await lifespan.startup()
    if lifespan.interrupt:
        sys.exit(1)
    listener = Listener(app, most, head_s)
    server = await listener.listen(listening, tls)
    await stop.wait()
    server.close()
    await listener.drain()
    await lifespan.shutdown()


def _hear(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Have the signals that end a process set an event."""
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # on Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
