"""Whole answers: which are right, which are none, and what a server cannot slip in beside them."""

import asyncio
import contextlib
import gc
import gzip
import weakref
import zlib

import pytest

from emblem.upstreams.http.heads import MAX_HEAD_BYTES, MAX_HEADERS
from emblem.upstreams.sending import Answer, Bounds, Client, Endless, Lost, Sent
from upstreams.http.spoken import (
    FINE,
    SENT,
    Spoken,
    Talk,
    always,
    and_leave,
    answering,
    asking,
    fine,
)

NONE_OF_HTTP = "what came is no HTTP"
HEAD = b"HTTP/1.1 200 OK\r\n"


async def once(client: Client, spoken: Spoken) -> Answer:
    return await client.send(SENT)


async def twice(client: Client, spoken: Spoken) -> int:
    """Ask twice, and give how many connections that took."""
    for _ in range(2):
        assert (await client.send(SENT)).content == b"{}"
    return len(spoken.talks)


def refused(answer: bytes, error: type[Exception] = Lost) -> str:
    """Give what is said of an answer that is none, which is asked for only once."""

    async def work(client: Client, spoken: Spoken) -> str:
        with pytest.raises(error) as caught:
            await client.send(SENT)
        assert len(spoken.talks) == 1
        return str(caught.value)

    return asking(and_leave(answer), work)


@pytest.mark.parametrize(
    "hints",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\nx-embedding-space: other\r\n\r\n" * 3,
        b"HTTP/1.1 199 x\r\n\r\n",
    ],
)
def test_heads_before_that_of_the_answer_are_passed_over(hints: bytes) -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        for _ in range(2):
            answer = await client.send(SENT)
            assert (answer.status, answer.content) == (200, b"{}")
            assert "x-embedding-space" not in answer.headers
        assert len(spoken.talks) == 1

    asking(always(hints + FINE), work)
    asking(always(hints, FINE), work)


BROKEN = [
    b"HTTP/1.1 103 x\r\n\r\n" * 100 + FINE,
    b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\n\r\n" + FINE,
    b"HTTP/1.1 150 x\r\ncontent-length: 2\r\n\r\n{}" + FINE,
    b"HTTP/1.1 099 x\r\n\r\n" + FINE,
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    b"HTTP/1.10 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    b"{}",
    b"220 mail.example.com ESMTP ready\r\n",
    HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
    HEAD + b"content-length: 2\r\ncontent-length: 2\r\n\r\n{}",
    HEAD + b"content-length: 2, 2\r\n\r\n{}",
    HEAD + b"content-length: -2\r\n\r\n{}",
    HEAD + b"content-length: +2\r\n\r\n{}",
    HEAD + b"content-length: 0x2\r\n\r\n{}",
    HEAD + b"content-length: 2_0\r\n\r\n" + b" " * 20,
    HEAD + b"content-length: 18446744073709551618\r\n\r\n{}",
    HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: identity\r\n\r\n{}",
    HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n",
    HEAD + b"content-length: 2\r\nx : y\r\n\r\n{}",
    HEAD + b"content-length: 2\r\nx\r\n\r\n{}",
    HEAD + b"content-length: 2\r\nx: a\0b\r\n\r\n{}",
    HEAD + b"content-length: 2\r\nx: a\rb\r\n\r\n{}",
    HEAD + b"content-length: 2\r\nx: a\r\n y: b\r\n\r\n{}",
    HEAD + b"".join(b"x-%d: y\r\n" % one for one in range(MAX_HEADERS)) + FINE[17:],
    HEAD + b"x: " + b"y" * MAX_HEAD_BYTES + b"\r\ncontent-length: 2\r\n\r\n{}",
]


@pytest.mark.parametrize("answer", BROKEN, ids=range(len(BROKEN)))
def test_what_breaks_the_rules_is_no_answer(answer: bytes) -> None:
    assert refused(answer) == NONE_OF_HTTP


@pytest.mark.parametrize("begun", [b"", HEAD + FINE[17:-2]], ids=["a head", "trailers"])
def test_what_grows_and_grows_without_being_an_answer_is_given_up(begun: bytes) -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        head = HEAD if not begun else HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n"
        await one.say(head, b"x: ")
        while not one.writer.is_closing():
            await one.say(b"y" * 1000)

    async def work(client: Client, spoken: Spoken) -> None:
        with pytest.raises(Lost, match=NONE_OF_HTTP):
            await client.send(SENT)

    asking(talk, work)


@pytest.mark.parametrize(
    "more",
    [fine(b"[]"), b"HTTP/1.1 200 OK\r\n\r\n", b"x", b"H", b"\r\n\r\nHTTP/1.1 100 x\r\n\r\n", b"\0"],
)
def test_what_follows_an_answer_is_the_answer_to_no_request(more: bytes) -> None:
    assert asking(always(FINE + more), twice) == 2


def test_line_breaks_between_two_answers_do_no_harm() -> None:
    assert asking(always(FINE + b"\r\n\r\n"), twice) == 1


def test_an_answer_that_came_before_it_was_read_is_not_taken_for_that_of_the_next_request() -> None:
    """The bytes are there when the next request is to be sent, and the loop had no turn to see."""

    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(FINE)
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        await client.send(SENT)
        unread = spoken.talks[0].writer.get_extra_info("socket")
        import os

        os.write(unread.fileno(), fine(b"[1]"))
        assert (await client.send(SENT)).content == b"{}"
        assert len(spoken.talks) == 2

    asking(talk, work)


def test_an_answer_to_half_a_request_ends_its_connection() -> None:
    """What follows of the request might be read as another one, whose answer nobody asked for."""
    sent = Sent(b"x" * (32 << 20), {}, 1000, 10.0)

    async def talk(one: Talk) -> None:
        await one.reader.readuntil(b"\r\n\r\n")
        await one.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        for _ in range(2):
            assert (await client.send(sent)).status == 413
        assert len(spoken.talks) == 2

    asking(talk, work)


def test_a_large_request_arrives_whole_and_its_connection_is_kept() -> None:
    body = bytes(range(256)) * (1 << 15)
    came = []

    async def talk(one: Talk) -> None:
        while True:
            came.append((await one.asked())[1])
            await one.say(FINE)

    async def work(client: Client, spoken: Spoken) -> int:
        for _ in range(2):
            await client.send(Sent(body, {}, 1000, 10.0))
        return len(spoken.talks)

    assert asking(talk, work) == 1
    assert came == [body, body]


def test_a_large_answer_comes_whole_however_it_is_cut() -> None:
    body = bytes(range(256)) * (1 << 14)
    sent = Sent(b"{}", {}, len(body), 10.0)
    chunks = [body[at : at + 70_001] for at in range(0, len(body), 70_001)]
    chunked = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(one), one) for one in chunks)
    whole = HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunked + b"0\r\nx-trailer: y\r\n\r\n"

    async def work(client: Client, spoken: Spoken) -> None:
        for _ in range(2):
            answer = await client.send(sent)
            assert answer.content == body
            assert "x-trailer" not in answer.headers
        assert len(spoken.talks) == 1

    asking(always(*(whole[at : at + 99_991] for at in range(0, len(whole), 99_991))), work)
    asking(always(fine(body)), work)


def test_an_answer_may_come_byte_by_byte() -> None:
    answer = HEAD + b"transfer-encoding: chunked\r\nx: y\r\n\r\n2\r\n{}\r\n0\r\nz: t\r\n\r\n"
    assert asking(always(*(answer[at : at + 1] for at in range(len(answer)))), twice) == 1


def test_trailers_are_no_headers_of_the_next_answer() -> None:
    first = HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nretry-after: 9\r\n\r\n"

    async def work(client: Client, spoken: Spoken) -> list[set[str]]:
        return [set((await client.send(SENT)).headers) for _ in range(2)]

    found = asking(answering(first, FINE), work)
    assert found == [{"transfer-encoding"}, {"content-length"}]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends_with_its_head(status: int) -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        for _ in range(2):
            answer = await client.send(SENT)
            assert (answer.status, answer.content) == (status, b"")
        assert len(spoken.talks) == 1

    asking(always(b"HTTP/1.1 %d x\r\n\r\n" % status), work)
    asking(always(b"HTTP/1.1 %d x\r\ncontent-encoding: br\r\n\r\n" % status), work)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        for number in (1, 2):
            assert (await client.send(SENT)).content == b"{}"
            assert len(spoken.talks) == number

    asking(and_leave(HEAD + b"connection: keep-alive\r\n\r\n", b"{", b"}"), work)
    asking(and_leave(b"HTTP/1.0 200 OK\r\n\r\n{}"), work)


@pytest.mark.parametrize(
    "begun",
    [
        HEAD + b"\r\n{",
        HEAD + b"content-length: 2\r\n\r\n{",
        HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
def test_a_body_that_breaks_off_is_none_and_is_not_asked_for_again(begun: bytes) -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(begun)
        await asyncio.sleep(0.01)
        one.writer.transport.abort()

    async def reset(one: Talk) -> None:
        import socket
        import struct

        await one.asked()
        await one.say(begun)
        await asyncio.sleep(0.01)
        raw = one.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.writer.transport.abort()

    async def work(client: Client, spoken: Spoken) -> None:
        with pytest.raises(Lost, match="closed before the answer ended"):
            await client.send(SENT)
        assert len(spoken.talks) == 1

    asking(reset, work)
    if b"\r\n\r\n{" not in begun or b"length" in begun:  # else that is its end
        asking(talk, work)


@pytest.mark.parametrize(
    ("head", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\n", 2),
        (b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\n", 2),
        (b"HTTP/1.0 200 OK\r\n", 2),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n", 1),
    ],
)
def test_a_connection_is_kept_where_the_server_keeps_it(head: bytes, connections: int) -> None:
    assert asking(always(head + b"content-length: 2\r\n\r\n{}"), twice) == connections


def test_headers_are_found_in_any_case_and_the_first_of_several() -> None:
    answer = fine(b"{}", "X-One: a ", "x-one: b", "y: é")

    async def work(client: Client, spoken: Spoken) -> None:
        headers = (await client.send(SENT)).headers
        assert headers["X-ONE"] == headers["x-one"] == "a"
        assert (headers.get("Y"), headers.get("z"), len(headers)) == ("é", None, 3)

    asking(always(answer), work)


def test_bytes_that_are_no_text_in_a_header_do_no_harm() -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        assert (await client.send(SENT)).headers["x"] == "\N{REPLACEMENT CHARACTER}"

    asking(always(HEAD + b"x: \xff\r\n" + FINE[17:]), work)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nx-other: b"),
        ("x", "a\nb"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x", "é"),
        ("x\r\ny", "a"),
        ("x: y\r\nz", "a"),
        ("x y", "a"),
        ("", "a"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("Host", "elsewhere"),
        ("connection", "upgrade"),
    ],
)
def test_nothing_can_be_slipped_into_a_head(name: str, value: str) -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        with pytest.raises(ValueError, match="header") as caught:
            await client.send(Sent(b"{}", {name: value}, 1000, 5.0))
        assert value == "a" or value not in str(caught.value)
        assert spoken.talks == []
        await client.send(SENT)

    asking(always(FINE), work)


def test_a_request_without_a_body_says_nothing_of_one() -> None:
    heads = []

    async def talk(one: Talk) -> None:
        heads.append((await one.asked())[0])
        await one.say(FINE)

    async def work(client: Client, spoken: Spoken) -> None:
        await client.send(Sent(b"", {}, 1000, 5.0))

    asking(talk, work, method="GET")
    asking(talk, work)
    assert heads[0].startswith(b"GET /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Content" not in heads[0]
    assert b"\r\nContent-Length: 0\r\n" in heads[1]


BODY = b'{"a": [1, 2, 3]}'
ZIPPED = gzip.compress(BODY, mtime=0)
TWICE = gzip.compress(ZIPPED, mtime=0)
MEMBERS = b"".join(gzip.compress(one, mtime=0) for one in (BODY[:5], b"", BODY[5:]))
BARE = zlib.compressobj(wbits=-zlib.MAX_WBITS)


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", ZIPPED),
        ("X-GZIP", ZIPPED),
        ("gzip", MEMBERS),
        ("deflate", zlib.compress(BODY)),
        ("deflate", BARE.compress(BODY) + BARE.flush()),
        ("identity", BODY),
        ("identity, gzip", ZIPPED),
        ("", BODY),
    ],
)
def test_what_came_packed_is_unpacked(coding: str, packed: bytes) -> None:
    answer = fine(packed, f"content-encoding: {coding}")
    assert asking(always(answer), once).content == BODY
    chunks = b"".join(b"1\r\n%c\r\n" % one for one in packed)
    head = HEAD + f"content-encoding: {coding}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    assert asking(always(head + chunks + b"0\r\n\r\n"), once).content == BODY


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", BODY),
        ("gzip", ZIPPED[:-1]),
        ("gzip", ZIPPED[:-5] + b"\0\0\0\0\0"),
        ("gzip", ZIPPED + b"x"),
        ("deflate", zlib.compress(BODY) + b"x"),
        ("deflate", zlib.compress(BODY)[:-1]),
        ("deflate", b"\xff"),
        ("br", BODY),
        ("sk-secret", BODY),
        ("gzip, gzip", TWICE),
    ],
)
def test_what_cannot_be_unpacked_is_said_to_be_so(coding: str, packed: bytes) -> None:
    said = refused(fine(packed, f"content-encoding: {coding}"), Endless)
    assert said.startswith("an answer that cannot be unpacked")
    assert "sk-secret" not in said


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_unpacks_to_too_much_is_not_unpacked_to_its_end(coding: str) -> None:
    much = b" " * (64 << 20)
    packed = gzip.compress(much, 1) if coding == "gzip" else zlib.compress(much, 1)

    async def work(client: Client, spoken: Spoken) -> None:
        with pytest.raises(Endless, match=r"does not end after 1,000,000 bytes"):
            await client.send(Sent(b"{}", {}, 1_000_000, 10.0))

    asking(and_leave(fine(packed, f"content-encoding: {coding}")), work)


def test_an_answer_that_says_it_is_too_long_is_not_read() -> None:
    head = HEAD + b"content-length: 10001\r\n\r\n"
    assert refused(head, Endless) == "an answer that does not end after 10,000 bytes"
    chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n2711\r\n" + b" " * 10_001
    assert refused(chunked, Endless) == "an answer that does not end after 10,000 bytes"
    assert len(asking(always(fine(b" " * 10_000)), once).content) == 10_000


def test_a_wait_between_two_parts_is_bounded_and_so_is_all_of_it() -> None:
    bounds = Bounds(5.0, 0.15, 4)

    async def talk(one: Talk) -> None:
        while True:
            _, ending = await one.asked()
            for byte in FINE.removesuffix(ending):
                await one.say(bytes([byte]))
                await asyncio.sleep(0.005)

    async def work(client: Client, spoken: Spoken) -> None:
        whole = Sent(b"-", {}, 1000, 5.0)
        assert (await client.send(whole)).content == b"{}"  # each wait is short
        with pytest.raises(TimeoutError):
            await client.send(Sent(b"}", {}, 1000, 5.0))  # the last one is not
        with pytest.raises(TimeoutError):
            await client.send(Sent(b"-", {}, 1000, 0.1))  # all of them together

    asking(talk, work, bounds)


def test_a_server_that_does_not_read_has_as_long_as_for_all_of_it() -> None:
    """The wait for an answer begins when all of the request is sent."""
    bounds = Bounds(5.0, 0.1, 4)
    sent = Sent(b"x" * (32 << 20), {}, 1000, 0.5)

    async def work(client: Client, spoken: Spoken) -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await client.send(sent)
        return asyncio.get_running_loop().time() - began

    async def never(one: Talk) -> None:
        await one.reader.readuntil(b"\r\n\r\n")
        one.writer.transport.pause_reading()
        await asyncio.sleep(0.7)
        one.writer.transport.resume_reading()
        await one.gone()

    assert asking(never, work, bounds) >= 0.45


def test_a_server_that_reads_slowly_gets_all_of_it() -> None:
    bounds = Bounds(5.0, 0.1, 4)
    body = b"x" * (16 << 20)

    async def slow(one: Talk) -> None:
        head = await one.reader.readuntil(b"\r\n\r\n")
        assert b"%d" % len(body) in head
        left = len(body)
        while left:
            left -= len(await one.reader.read(1 << 20))
            await asyncio.sleep(0.02)
        await one.say(FINE)
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> Answer:
        return await client.send(Sent(body, {}, 1000, 10.0))

    assert asking(slow, work, bounds).content == b"{}"


class Said(dict[str, str]):
    """Headers that can be watched, as a plain dictionary cannot."""


@pytest.mark.parametrize(
    "answer", [FINE, FINE[:-1], b"", b"garbage", fine(b" " * 20_000)], ids=range(5)
)
def test_nothing_of_a_request_waits_for_the_garbage_collector(answer: bytes) -> None:
    """Whatever becomes of it: an error has a traceback, and that what it was raised in."""

    async def work(client: Client, spoken: Spoken) -> None:
        gc.disable()
        try:
            said = Said(x="y")
            watched = weakref.ref(said)
            with contextlib.suppress(Lost, Endless):
                await client.send(Sent(b"{}", said, 10_000, 5.0))
            del said
            await asyncio.sleep(0)  # until then it is what woke this task
            assert watched() is None
        finally:
            gc.enable()

    asking(and_leave(answer), work)
