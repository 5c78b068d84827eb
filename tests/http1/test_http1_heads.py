"""What begins a request: what is read, what is refused, and that nothing is read into two requests."""

import json
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from emblem.http1.connection import MAX_AHEAD
from emblem.http1.request import MAX_HEAD_BYTES, MAX_HEADERS
from http1.listening import Listening, echo, head, listening, posted, read, respond

CHUNKED = "Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def echoing() -> Iterator[Listening]:
    with listening(echo) as served:
        yield served


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what the application is told of a request."""
    body = await read(receive)
    told = {
        "body": (body or b"").decode(),
        "headers": [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]],
        **{name: scope[name] for name in ("method", "path", "http_version", "scheme", "root_path")},
        **{name: scope[name].decode() for name in ("raw_path", "query_string")},
        "client": scope["client"],
        "server": scope["server"],
    }
    await respond(send, json.dumps(told).encode())


@pytest.fixture(scope="module")
def telling() -> Iterator[Listening]:
    with listening(tell) as served:
        yield served


def test_an_application_is_told_what_came(telling: Listening) -> None:
    client = telling.connect()
    client.send(posted("/a%20b/%E4%B8%AD?c=%20d", b"body", "X-Y:  z ", "x-y: 2", "Empty:"))
    told = json.loads(client.reply().body)
    assert told == {
        "body": "body",
        "headers": [
            *(["host", "x"], ["content-length", "4"], ["x-y", "z"], ["x-y", "2"], ["empty", ""])
        ],
        "method": "POST",
        "path": "/a b/中",
        "raw_path": "/a%20b/%E4%B8%AD",
        "query_string": "c=%20d",
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "client": list(client.sock.getsockname()),
        "server": list(telling.address),
    }


@pytest.mark.parametrize(
    ("asked", "path", "query"),
    [
        ("http://name:80/a?b", "/a", "b"),
        ("http://name", "/", ""),
        ("http://name?b", "/", "b"),
        ("//name/a", "//name/a", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/%ff%2F%", "/\ufffd/%", ""),
        ("/%00", "/\0", ""),
    ],
)
def test_an_address_is_read_in_each_of_its_forms(
    telling: Listening, asked: str, path: str, query: str
) -> None:
    told = json.loads(telling.connect().send(head("GET", asked)).reply().body)
    assert (told["path"], told["query_string"]) == (path, query)


def test_a_server_may_be_asked_for_its_options_as_a_whole(telling: Listening) -> None:
    told = json.loads(telling.connect().send(head("OPTIONS", "*")).reply().body)
    assert (told["method"], told["path"]) == ("OPTIONS", "*")


R = b"POST /first HTTP/1.1\r\nHost: x\r\n"
C = R + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: x\r\n\r\n"
NO_REQUESTS = {
    "length and chunks": R + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": R + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": R + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "the same length twice": R + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": R + b"Content-Length: 3, 3\r\n\r\nabc",
    "a length with a sign": R + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": R + b"Content-Length: -3\r\n\r\nabc",
    "a huge length": R + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "no length": R + b"Content-Length:\r\n\r\nabc",
    "a hexadecimal length": R + b"Content-Length: 0x3\r\n\r\nabc",
    "a coding like chunked": R + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "another coding": R + b"Transfer-Encoding: identity\r\n\r\nabc",
    "a coding after chunked": R + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": R + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "a coding in quotes": R + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a coding behind a control": R + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a header of two lines": R + b"X: a\r\n b\r\n\r\n",
    "a coding on a second line": R + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "lines without CR": b"GET /first HTTP/1.1\nHost: x\n\n",
    "a header without CR": b"GET /first HTTP/1.1\r\nHost: x\nY: z\r\n\r\n",
    "a CR in a header": b"GET /first HTTP/1.1\r\nHost: x\rY: z\r\n\r\n",
    "an end without CR": b"GET /first HTTP/1.1\r\nHost: x\r\n\n",
    "a space before the colon": R + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a space before a name": b"GET /first HTTP/1.1\r\n Host: x\r\n\r\n",
    "a header without a name": R + b": x\r\n\r\n",
    "NUL in a header": R + b"X: a\0b\r\n\r\n",
    "NUL in a name": R + b"X\0: a\r\n\r\n",
    "a chunk with a sign": C + b"-3\r\nabc\r\n0\r\n\r\n",
    "a chunk of 0x": C + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk too large": C + b"fffffffffffffffff\r\nabc",
    "a space behind a size": C + b"3 \r\nabc\r\n0\r\n\r\n",
    "a size without CR": C + b"3\nabc\r\n0\r\n\r\n",
    "an extension without CR": C + b"3;a\nabc\r\n0\r\n\r\n",
    "a chunk without an end": C + b"3\r\nabcdef\r\n0\r\n\r\n",
    "a chunk that ends without CR": C + b"3\r\nabc\n0\r\n\r\n",
    "a length behind chunks": C + b"0\r\nContent-Length: 9\r\n\r\n",
    "another version": b"GET /first HTTP/2.0\r\nHost: x\r\n\r\n",
    "an old version": b"GET /first HTTP/0.9\r\nHost: x\r\n\r\n",
    "no version": b"GET /first\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a strange version": b"GET /first HTTP/1.9\r\nHost: x\r\n\r\n",
    "a small method": b"get /first HTTP/1.1\r\nHost: x\r\n\r\n",
    "no address": b"GET first HTTP/1.1\r\nHost: x\r\n\r\n",
    "an address without a host": b"GET http:///x HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in an address": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "a control in an address": b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "no HTTP at all": b"what is this?\r\n\r\n",
}


@pytest.mark.parametrize("sent", NO_REQUESTS.values(), ids=NO_REQUESTS.keys())
def test_what_is_no_request_is_refused_and_nothing_after_it_is_read(
    echoing: Listening, sent: bytes
) -> None:
    client = echoing.connect().send(sent + SECOND)
    reply = client.reply()
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["type"] == "invalid_request_error"
    assert reply.headers["connection"] == "close"
    assert client.ended()


@pytest.mark.parametrize("sent", NO_REQUESTS.values(), ids=NO_REQUESTS.keys())
def test_what_came_before_it_has_its_answer_and_the_connection_ends(
    echoing: Listening, sent: bytes
) -> None:
    client = echoing.connect().send(posted("/zeroth", b"ABC") + sent + SECOND)
    assert client.reply().body == b"POST /zeroth ABC"
    assert client.ended()


def test_no_application_hears_of_a_request_that_cannot_be_read() -> None:
    heard = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(scope["path"])
        await respond(send, b"")

    with listening(app) as served:
        for sent in NO_REQUESTS.values():
            assert served.connect().send(sent).reply().status == 400
        assert heard == []


def test_a_head_of_as_much_as_may_be_is_read_and_one_of_more_refused(echoing: Listening) -> None:
    spare = MAX_HEAD_BYTES - len("/aHost: x\r\nX: \r\n")
    client = echoing.connect()
    assert client.send(head("GET", "/a", f"X: {'y' * spare}")).reply().status == 200
    refused = client.send(head("GET", "/a", f"X: {'y' * (spare + 1)}")).reply()
    assert refused.status == 431
    assert json.loads(refused.body)["error"]["code"] == "headers_too_large"
    assert client.ended()


@pytest.mark.parametrize("begin", [b"GET /", b"GET /a HTTP/1.1\r\nX: ", b"GET /a HTTP/1.1\r\nX"])
def test_a_head_that_does_not_end_is_refused(echoing: Listening, begin: bytes) -> None:
    client = echoing.connect().send(begin)
    refused = client.send(b"y" * 2 * MAX_HEAD_BYTES).reply()
    assert refused.status == 431
    assert client.ended()


def test_a_hundred_headers_are_read_and_one_more_is_refused(echoing: Listening) -> None:
    client = echoing.connect()
    many = [f"x-{n}: y" for n in range(MAX_HEADERS - 1)]
    assert client.send(head("GET", "/a", *many)).reply().status == 200
    assert client.send(head("GET", "/a", *many, "one: more")).reply().status == 431
    assert client.ended()


@pytest.mark.parametrize("endless", [b"1;", b"0\r\nX: "])
def test_what_stands_around_a_body_is_bounded_as_a_head_is(
    echoing: Listening, endless: bytes
) -> None:
    client = echoing.connect().send(head("POST", "/a", CHUNKED) + endless)
    assert client.send(b"y" * 2 * MAX_HEAD_BYTES).reply().status == 431
    assert client.ended()


def test_headers_after_a_body_are_no_headers_of_the_request(telling: Listening) -> None:
    client = telling.connect()
    trailers = b"Authorization: x\r\nX-Late: y\r\n"
    client.send(head("POST", "/a", CHUNKED) + b"3;ext=1\r\nabc\r\n0;last\r\n" + trailers + b"\r\n")
    told = json.loads(client.reply().body)
    assert told["body"] == "abc"
    assert told["headers"] == [["host", "x"], ["transfer-encoding", "chunked"]]
    told = json.loads(client.send(SECOND).reply().body)
    assert told["headers"] == [["host", "x"]]


OFFERS = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")


def test_an_offer_of_another_protocol_is_passed_over(telling: Listening) -> None:
    client = telling.connect()
    one = posted("/a", b"body", "Connection: keep-alive, Upgrade", *OFFERS, "X: y")
    for sent in ([one + one + SECOND], [one[n : n + 1] for n in range(len(one))] + [one + SECOND]):
        client.send(*sent)
        for _ in range(2):
            told = json.loads(client.reply().body)
            assert (told["path"], told["body"]) == ("/a", "body")
            said = [name for name, _ in told["headers"]]
            assert said == ["host", "content-length", "connection", "connection", "x"]
        assert json.loads(client.reply().body)["path"] == "/second"


def test_an_offer_of_an_old_client_leaves_it_an_old_client(telling: Listening) -> None:
    client = telling.connect().send(head("GET", "/a", *OFFERS).replace(b"/1.1", b"/1.0"))
    reply = client.reply()
    assert json.loads(reply.body)["http_version"] == "1.0"
    assert reply.headers["connection"] == "close"
    assert client.ended()


def test_an_offer_with_a_large_body_loses_none_of_it(echoing: Listening) -> None:
    body = bytes(range(256)) * 4096
    client = echoing.connect().send(posted("/a", body, *OFFERS))
    assert client.reply().body == b"POST /a " + body


def test_empty_lines_before_a_request_are_passed_over(echoing: Listening) -> None:
    client = echoing.connect()
    assert client.send(b"\r\n\r\n" + SECOND + b"\r\n").reply().body == b"GET /second "
    assert client.send(SECOND).reply().body == b"GET /second "


def test_more_requests_than_may_wait_at_a_time_are_not_held(echoing: Listening) -> None:
    client = echoing.connect()
    client.send(b"".join(head("GET", f"/{n}") for n in range(10 * MAX_AHEAD)))
    for n in range(MAX_AHEAD):
        assert client.reply().body == f"GET /{n} ".encode()
    assert client.ended()
