"""Connections: how many, for how long, and whose turn it is."""

import asyncio
import time
from collections.abc import Callable

import pytest

from emblem.upstreams import sending
from emblem.upstreams.sending import Bounds, Client, Lost, Sent, Unreached
from server import free_port
from upstreams.http.spoken import (
    FINE,
    PATIENCE_S,
    SENT,
    Spoken,
    Talk,
    always,
    asking,
    fine,
    run,
    speaking,
)

ONE = Bounds(5.0, 5.0, 1)


def sent(body: bytes, timeout_s: float = PATIENCE_S) -> Sent:
    return Sent(body, {}, 10_000, timeout_s)


async def echo(one: Talk) -> None:
    while True:
        await one.say(fine((await one.asked())[1]))


async def silent(one: Talk) -> None:
    await one.gone()


async def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def test_who_waits_for_a_connection_gets_it_in_turn() -> None:
    async def work(client: Client, spoken: Spoken) -> list[bytes]:
        done: list[bytes] = []

        async def ask(number: int) -> None:
            body = b"%d" % number
            answer = await client.send(sent(body))
            assert answer.content == body
            done.append(body)

        await asyncio.gather(*(ask(number) for number in range(30)))
        assert spoken.most == 1
        return done

    assert asking(echo, work, ONE) == [b"%d" % number for number in range(30)]


def test_who_waits_in_vain_leaves_in_time_and_his_turn_is_the_next_ones() -> None:
    begin = asyncio.Event()

    async def talk(one: Talk) -> None:
        await one.asked()
        begin.set()
        await asyncio.sleep(0.3)
        await one.say(FINE)
        await echo(one)

    async def work(client: Client, spoken: Spoken) -> None:
        first = asyncio.create_task(client.send(SENT))
        await begin.wait()
        late = asyncio.create_task(client.send(sent(b"late", 0.05)))
        gone = asyncio.create_task(client.send(sent(b"gone")))
        last = asyncio.create_task(client.send(sent(b"last")))
        with pytest.raises(TimeoutError):
            await late
        gone.cancel()
        assert (await first).content == b"{}"
        assert (await last).content == b"last"
        assert len(spoken.talks) == 1

    asking(talk, work, ONE)


def test_who_leaves_just_when_it_is_his_turn_leaves_it_to_the_next() -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        first = asyncio.create_task(client.send(sent(b"first")))
        await until(lambda: bool(spoken.talks))
        second = asyncio.create_task(client.send(sent(b"second")))
        third = asyncio.create_task(client.send(sent(b"third")))
        await asyncio.sleep(0)
        first.add_done_callback(lambda _: second.cancel())
        assert (await third).content == b"third"
        assert second.cancelled()

    asking(echo, work, ONE)


def test_a_place_is_given_on_where_a_connection_ends() -> None:
    async def talk(one: Talk) -> None:
        body = (await one.asked())[1]
        if body != b"2":
            await one.say(fine(body, "connection: close"))

    async def work(client: Client, spoken: Spoken) -> list[object]:
        bodies = [b"%d" % number for number in range(8)]
        found = await asyncio.gather(
            *(client.send(sent(body)) for body in bodies), return_exceptions=True
        )
        assert spoken.most == 1
        return [one if isinstance(one, BaseException) else one.content for one in found]

    found = asking(talk, work, ONE)
    assert isinstance(found.pop(2), Lost)
    assert found == [b"%d" % number for number in range(8) if number != 2]


def test_a_place_is_given_on_where_there_is_nobody() -> None:
    client = Client(f"http://127.0.0.1:{free_port()}/v1", ONE)

    async def work() -> None:
        for one in await asyncio.gather(
            *(client.send(SENT) for _ in range(5)), return_exceptions=True
        ):
            assert isinstance(one, Unreached)
            assert str(one) == "Connection refused"
        await client.aclose()

    run(work())


def test_nobody_waits_for_a_connection_beyond_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes the connection out of the queue of a port that is listened on."""
    import socket

    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)

        async def work() -> None:
            client = Client(url, Bounds(0.1, 5.0, 4))
            with pytest.raises(Unreached, match="it did not answer in time"):
                await client.send(SENT)
            with pytest.raises(TimeoutError):
                await client.send(sent(b"", 0.05))
            waiting = asyncio.create_task(client.send(SENT))
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert waiting.cancelled()
            await client.aclose()

        try:
            run(work())
        finally:
            for filler in fillers:
                filler.close()


def test_a_connection_that_nobody_uses_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "IDLE_S", 0.1)

    async def work(client: Client, spoken: Spoken) -> None:
        for number in (1, 2):
            for _ in range(3):
                await client.send(SENT)
                assert len(spoken.talks) == number
            await asyncio.wait_for(spoken.all_closed.wait(), PATIENCE_S)

    asking(always(FINE), work)


def test_a_time_that_is_shorter_than_the_last_ones_is_kept() -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(FINE)
        await one.asked()
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        await client.send(sent(b"", 60.0))
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await client.send(sent(b"", 0.1))
        assert 0.09 < time.monotonic() - began < 5
        assert len(spoken.talks) == 1

    asking(talk, work)


def test_that_which_was_used_last_is_used_next() -> None:
    seen: list[int] = []

    async def talk(one: Talk) -> None:
        while True:
            body = (await one.asked())[1]
            if body == b"all":
                await asyncio.sleep(0.05 * one.number)
            seen.append(one.number)
            await one.say(FINE)

    async def work(client: Client, spoken: Spoken) -> None:
        await asyncio.gather(*(client.send(sent(b"all")) for _ in range(4)))
        last = seen[-1]
        del seen[:]
        for _ in range(3):
            await client.send(SENT)
        assert seen == [last] * 3

    asking(talk, work)


def test_connections_that_were_given_up_meanwhile_are_not_tried() -> None:
    """Even where the loop had no turn to notice, so that more than one is dead."""

    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(FINE)
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        await asyncio.gather(*(client.send(SENT) for _ in range(4)))
        import os
        import socket

        for one in spoken.talks:
            given_up = socket.socket(fileno=os.dup(one.writer.get_extra_info("socket").fileno()))
            given_up.shutdown(socket.SHUT_WR)
            given_up.close()
        assert (await client.send(SENT)).content == b"{}"
        assert len(spoken.talks) == 5

    asking(talk, work)


@pytest.mark.parametrize("begun", [(), (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",)])
def test_whoever_closes_it_ends_what_is_asked_and_what_waits(begun: tuple[bytes, ...]) -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(*begun)
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        tasks = [asyncio.create_task(client.send(SENT)) for _ in range(5)]
        await until(lambda: bool(spoken.talks))
        await asyncio.sleep(0.02)
        await client.aclose()
        for one in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(one, Lost)
            assert str(one) == "it was closed here"
        with pytest.raises(Lost, match="it was closed here"):
            await client.send(SENT)
        await client.aclose()
        assert len(spoken.talks) == 1

    asking(talk, work, ONE)


def test_what_is_closed_before_it_was_used_stays_closed() -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        await client.aclose()
        with pytest.raises(Lost, match="it was closed here"):
            await client.send(SENT)
        assert spoken.talks == []

    asking(always(FINE), work)


def test_whoever_leaves_at_any_moment_leaves_nothing_behind() -> None:
    """However far a request has come: connecting, waiting, sending, reading."""

    async def work(client: Client, spoken: Spoken) -> None:
        for turns in range(12):
            tasks = [asyncio.create_task(client.send(sent(b"%d" % one))) for one in range(6)]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks[turns % 2 :: 2]:
                task.cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            for number, one in enumerate(found):
                if not isinstance(one, asyncio.CancelledError):
                    assert not isinstance(one, BaseException), one
                    assert one.content == b"%d" % number

    asking(echo, work, Bounds(5.0, 5.0, 3))


def test_many_clients_of_one_loop_do_not_get_in_each_others_way() -> None:
    async def work() -> None:
        async with speaking(echo) as first, speaking(echo) as second:
            clients = [Client(one.url, Bounds(5.0, 5.0, 2)) for one in (first, second) * 3]

            async def ask(client: Client, number: int) -> None:
                assert (await client.send(sent(b"%d" % number))).content == b"%d" % number

            await asyncio.gather(*(ask(one, number) for number in range(20) for one in clients))
            for one in clients:
                await one.aclose()

    run(work())
