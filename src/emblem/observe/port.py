"""``/metrics`` on a port of its own, without a key: for a Prometheus that stands beside the server."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, SOCK_STREAM, getaddrinfo

from emblem.errors import ConfigError
from emblem.observe.metrics import Page, Scraped

log = logging.getLogger(__name__)

ANSWER_S = 10.0  # for a scrape to be answered
POLL_S = 0.2  # between two looks at whether to end
CLIENT_S = 10.0  # for a client to send its headers, or to read


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Of several processes each answers for all, and so do an old and a new one for a while.
    allow_reuse_port = True
    scraped: Scraped
    loop: asyncio.AbstractEventLoop

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - socketserver's own
        """Leave a client that has gone alone."""
        log.debug("a scrape broke off", exc_info=True)


class _Server6(_Server):
    address_family = AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_S
    server_version = "emblem"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a scrape. The values are read on the event loop, whose they are."""
        if self.path.partition("?")[0].rstrip("/") not in ("", "/metrics"):
            self._answer(HTTPStatus.NOT_FOUND, Page("text/plain", b"only /metrics is here\n"))
            return
        asked = self.server.scraped.page(self.headers.get("Accept", ""))
        try:
            coming = asyncio.run_coroutine_threadsafe(asked, self.server.loop)
        except RuntimeError:  # the loop has closed
            asked.close()
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, Page("text/plain", b"shutting down\n"))
            return
        try:
            page = coming.result(ANSWER_S)
        except TimeoutError:
            coming.cancel()
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, Page("text/plain", b"busy\n"))
            return
        self._answer(HTTPStatus.OK, page)

    def _answer(self, status: HTTPStatus, page: Page) -> None:
        self.send_response(status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.content)))
        self.end_headers()
        self.wfile.write(page.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own
        """Say nothing: whoever scrapes does so for ever."""


@contextmanager
def metrics_port(
    scraped: Scraped, host: str, port: int, loop: asyncio.AbstractEventLoop
) -> Iterator[int]:
    """Answer scrapes on a port of its own for as long as this lasts; gives the port.

    Port 0 is any that is free. Raises ConfigError where it cannot be listened on.
    """
    server = _listening(host, port)
    server.scraped, server.loop = scraped, loop
    thread = threading.Thread(
        target=server.serve_forever, args=(POLL_S,), name="emblem-metrics", daemon=True
    )
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def check_port(host: str, port: int) -> None:
    """Raise ConfigError where the port for metrics cannot be listened on, or another server does."""
    with _listening(host, port, alone=True):
        pass


def _begun(server: _Server) -> _Server:
    try:
        server.server_bind()
        server.server_activate()
    except BaseException:
        server.server_close()
        raise
    return server


def _listening(host: str, port: int, *, alone: bool = False) -> _Server:
    try:
        infos = getaddrinfo(host, port, type=SOCK_STREAM)
        family, *_, address = min(infos, key=lambda info: info[0] != AF_INET)
        make = _Server6 if family == AF_INET6 else _Server
        server = make((str(address[0]), port), _Handler, bind_and_activate=False)
        server.allow_reuse_port = not alone
        return _begun(server)
    except (OSError, UnicodeError) as error:
        why = (isinstance(error, OSError) and error.strerror) or error
        raise ConfigError(
            f"cannot listen on {host}:{port} for metrics: {why}; choose others with --metrics-host "
            "and --metrics-port"
        ) from None
