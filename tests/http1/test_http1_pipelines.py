"""Whatever comes in whatever packets: each answer is that of its request, and they are in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from http1.listening import Listening, Reply, head, listening, read, respond

OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
GARBAGE = b"GET / HTTP/1.1\nno: header\n\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. ``way`` is how it is answered, ``chunks`` the sizes in which its body comes."""

    way: str
    method: str = "POST"
    body: bytes = b""
    chunks: tuple[int, ...] = ()
    offers: bool = False
    closes: bool = False
    old: bool = False

    def sent(self, number: int) -> bytes:
        said = [f"X-Number: {number}", *(OFFER if self.offers else ())]
        said += ["Connection: close"] if self.closes else []
        said.append(
            "Transfer-Encoding: chunked" if self.chunks else f"Content-Length: {len(self.body)}"
        )
        begin = head(self.method, f"/{self.way}/{number}", *said)
        return (begin.replace(b"/1.1", b"/1.0") if self.old else begin) + self._framed()

    def _framed(self) -> bytes:
        if not self.chunks:
            return self.body
        parts, left = [], self.body
        while left:
            size = self.chunks[len(parts) % len(self.chunks)]
            parts.append(b"%x;e=1\r\n%b\r\n" % (len(left[:size]), left[:size]))
            left = left[size:]
        return b"".join(parts) + b"0\r\nX-Late: x\r\n\r\n"

    @property
    def last(self) -> bool:
        """Whether the connection ends with the answer."""
        return self.closes or self.old or self.way in ("fails", "stays", "closes")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer in the way that the path says; every answer says to what request it is."""
    _, way, number = scope["path"].split("/")
    assert (b"x-number", number.encode()) in scope["headers"]
    if way == "fails":
        raise LookupError
    if way == "stays":
        return
    body = b"" if way == "early" else await read(receive)
    assert body is not None
    said = f"{scope['method']} {way} {number} ".encode() + body
    if way == "parts":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for one in (said[:5], b"", said[5:]):
            await send({"type": "http.response.body", "body": one, "more_body": True})
        await send({"type": "http.response.body"})
    else:
        await respond(send, said, headers=[(b"connection", b"close")] if way == "closes" else ())


# What looks like requests and chunks is in bodies, so that reading on in the wrong place is seen.
BODIES = st.one_of(
    st.binary(max_size=50),
    st.sampled_from([head("GET", "/echo/666", "X-Number: 666"), b"0\r\n\r\n", GARBAGE]),
    st.integers(0, 150_000).map(lambda size: (b"0123456789abcdef" * (size // 16 + 1))[:size]),
)
ASKED = st.builds(
    Asked,
    way=st.sampled_from(
        ["echo"] * 6 + ["parts"] * 3 + ["early"] * 3 + ["fails", "stays", "closes"]
    ),
    method=st.sampled_from(["POST", "PUT", "GET", "HEAD"]),
    body=BODIES,
    chunks=st.one_of(
        st.just(()), st.lists(st.integers(1, 5000), min_size=1, max_size=3).map(tuple)
    ),
    offers=st.booleans(),
    closes=st.sampled_from([False] * 9 + [True]),
    old=st.sampled_from([False] * 9 + [True]),
)


@pytest.fixture(scope="module")
def served() -> Iterator[Listening]:
    with listening(app) as one:
        yield one


def is_answer(reply: Reply, asked: Asked, number: int) -> bool:
    if asked.way in ("fails", "stays"):
        return reply.status == 500
    body = b"" if asked.way == "early" else asked.body
    said = f"{asked.method} {asked.way} {number} ".encode() + body
    return reply.status == 200 and reply.body == (b"" if asked.method == "HEAD" else said)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    asked=st.lists(ASKED, min_size=1, max_size=8),
    cuts=st.lists(st.floats(0, 1), max_size=12),
    garbage=st.booleans(),
)
def test_every_answer_is_that_of_its_request(
    served: Listening, asked: list[Asked], cuts: list[float], garbage: bool
) -> None:
    sent = b"".join(one.sent(number) for number, one in enumerate(asked))
    sent += GARBAGE if garbage else b""
    at = [0, *sorted(round(cut * len(sent)) for cut in cuts), len(sent)]
    client = served.connect()
    try:
        for begin, end in pairwise(at):
            try:
                client.send(sent[begin:end])
            except OSError:  # it has been closed, which is seen below to be right
                break
            served.call(lambda: None)
        for number, one in enumerate(asked):
            reply = client.reply(to=one.method)
            assert is_answer(reply, one, number), (one, reply)
            if one.last:
                assert reply.headers["connection"] == "close"
                assert client.ended()
                return
        if garbage:
            refused = client.rest()
            assert refused == b"" or refused.startswith(b"HTTP/1.1 400 ")
        else:
            closing = head("GET", "/echo/99", "X-Number: 99", "Connection: close")
            assert client.send(closing).reply().body == b"GET echo 99 "
            assert client.ended()
    finally:
        client.close()
        served.clients.clear()
