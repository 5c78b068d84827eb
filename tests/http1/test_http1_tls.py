"""The same over TLS, where asyncio can neither end one side of a connection nor close it twice."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from http1.listening import PATIENCE_S, Listening, echo, head, listening, posted
from serve.test_tls import certificate

NEXT = head("GET", "/next")
Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Contexts:
    """Give what the server has, and what a client that trusts it has."""
    cert, key = certificate(tmp_path_factory.mktemp("tls"), "http1")
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(cert, key)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.load_verify_locations(cert)
    return ours, theirs


@pytest.fixture
def secure(contexts: Contexts) -> Iterator[Listening]:
    with listening(echo, tls=contexts[0]) as served:
        yield served


def test_large_bodies_go_both_ways(secure: Listening, contexts: Contexts) -> None:
    body = bytes(range(256)) * 4 * 8192
    # In one thread: a client that reads and writes in two at once now and then sees an end that is none.
    client = secure.connect(tls=contexts[1]).send(posted("/a", body) + NEXT)
    assert client.reply().body == b"POST /a " + body
    assert client.reply().body == b"GET /next "


def test_a_client_that_reads_only_once_it_has_sent_all_reads_its_early_answer(
    secure: Listening, contexts: Contexts
) -> None:
    client = secure.connect(tls=contexts[1])
    client.send(head("POST", "/early", f"Content-Length: {8 << 20}"))
    for _ in range(8):
        client.send(bytes(1 << 20))
    assert client.reply().body == b"POST /early "


def test_garbage_is_refused(secure: Listening, contexts: Contexts) -> None:
    client = secure.connect(tls=contexts[1]).send(NEXT + b"garbage\r\n")
    assert client.reply().body == b"GET /next "
    client = secure.connect(tls=contexts[1]).send(b"garbage\r\n")
    assert client.reply().status == 400


@pytest.mark.parametrize("sent", [NEXT, b"what is this?\r\n\r\n", bytes(1000)])
def test_a_client_that_speaks_no_tls_is_let_go(secure: Listening, sent: bytes) -> None:
    assert not secure.connect().send(sent).rest().startswith(b"HTTP")


def test_a_stop_waits_for_no_client_that_is_idle(secure: Listening, contexts: Contexts) -> None:
    client = secure.connect(tls=contexts[1])
    assert client.send(NEXT).reply().status == 200
    begun = time.monotonic()
    secure.run(secure.stop())  # though the client does not listen, and says no farewell
    assert time.monotonic() - begun < 10  # asyncio by itself waits for 30 s
    assert client.ended()


def test_a_stop_lets_a_client_read_what_it_was_sent(secure: Listening, contexts: Contexts) -> None:
    client = secure.connect(tls=contexts[1], receives=4096).send(posted("/a", bytes(3_000_000)))
    assert client.line() == b"HTTP/1.1 200 OK"
    stopping = secure.start(secure.stop())
    while client.line():
        pass
    assert client.rest_of(3_000_008) == b"POST /a " + bytes(3_000_000)
    client.close()
    stopping.result(PATIENCE_S)


def test_a_client_that_says_farewell_amid_everything_breaks_nothing(
    secure: Listening, contexts: Contexts, caplog: pytest.LogCaptureFixture
) -> None:
    for sent in (
        b"",
        b"GET",
        NEXT,
        NEXT * 20,
        b"garbage\r\n",
        head("POST", "/early", "Content-Length: 9"),
    ):
        client = secure.connect(tls=contexts[1]).send(sent)
        assert isinstance(client.sock, ssl.SSLSocket)
        client.sock.settimeout(PATIENCE_S)
        client.sock.unwrap() if not sent else client.sock.shutdown(socket.SHUT_WR)
        client.close()
    secure.run(asyncio.wait_for(secure.listener._gone.wait(), PATIENCE_S))
    client = secure.connect(tls=contexts[1])
    assert client.send(NEXT).reply().status == 200
    assert not caplog.records
