"""How a server is reached: addresses, TLS, and the proxies of the environment."""

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from emblem.upstreams.http import connecting
from emblem.upstreams.http.connecting import Opening
from emblem.upstreams.http.failures import Unreached
from emblem.upstreams.sending import Answer, Bounds, Client, Sent
from serve.test_tls import certificate
from upstreams.http.spoken import (
    BOUNDS,
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

Work = Callable[[Client, Spoken], Awaitable[Answer]]
PROXIED = Bounds(5.0, 5.0, 4, environment_proxies=True)
NAMES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


async def once(client: Client, spoken: Spoken) -> Answer:
    return await client.send(SENT)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"), "upstream")


@pytest.fixture
def tls(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """Give what a server has whom clients trust."""
    monkeypatch.setenv("SSL_CERT_FILE", str(made[0]))
    connecting.trust.cache_clear()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(*made)
    yield ours
    connecting.trust.cache_clear()


# -- addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("https://api.example.com/v1/embeddings", "/v1/embeddings", "api.example.com"),
        ("https://api.example.com:443/v1?api-version=1", "/v1?api-version=1", "api.example.com"),
        ("http://Example.com:80", "/", "example.com"),
        ("https://example.com:80/a%2Fb", "/a%2Fb", "example.com:80"),
        ("http://[::1]:8080/v1", "/v1", "[::1]:8080"),
        ("http://bücher.example/ü b", "/%C3%BC%20b", "xn--bcher-kva.example"),
        ("http://faß.example/", "/", "xn--fa-hia.example"),  # and no other host, fass.example
        ("http://example.com/a\tb", "/ab", "example.com"),
    ],
)
def test_an_address_becomes_the_first_lines(url: str, target: str, host: str) -> None:
    lines = Opening(url, proxies=False).first_lines("POST")
    assert lines == f"POST {target} HTTP/1.1\r\nHost: {host}"


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "http:///v1", "http://a b/", "http://[::1/", "http://x:99999/", "x"],
)
def test_an_address_that_is_none_is_said_to_be_none(url: str) -> None:
    with pytest.raises(Unreached, match=r"^its address is none$"):
        Opening(url, proxies=False)


@pytest.mark.parametrize("name", ["a" * 64 + ".invalid", "a..invalid", "nowhere.invalid"])
def test_a_name_that_cannot_be_looked_up_is_said_without_it(name: str) -> None:
    async def work() -> None:
        client = Client(f"http://{name}/v1", BOUNDS)
        with pytest.raises(Unreached) as caught:
            await client.send(SENT)
        assert "invalid" not in str(caught.value)
        await client.aclose()

    run(work())


def test_a_server_is_reached_under_ipv6() -> None:
    async def work() -> None:
        async with speaking(always(FINE), host="::1") as spoken:
            client = Client(spoken.url, BOUNDS)
            assert (await client.send(SENT)).content == b"{}"
            await client.aclose()

    try:
        run(work())
    except OSError as error:
        pytest.skip(f"there is no IPv6 here: {error}")


def test_of_several_addresses_of_a_name_one_that_answers_is_taken() -> None:
    """Nothing listens on ::1, which a name such as localhost has as a rule, too."""

    async def work(client: Client, spoken: Spoken) -> None:
        named = Client(spoken.url.replace("127.0.0.1", "localhost"), BOUNDS)
        assert (await named.send(SENT)).content == b"{}"
        await named.aclose()

    asking(always(FINE), work)


def test_a_loop_that_does_not_stagger_connects_all_the_same() -> None:
    class Plain:
        """As uvloop's, which knows none of asyncio's later options."""

        def __init__(self) -> None:
            self.connected = False

        async def create_connection(
            self, make: Callable[[], object], host: str, port: int
        ) -> object:
            self.connected = (host, port) == ("localhost", 9)
            return None, make()

    loop = Plain()
    opening = Opening("http://localhost:9/", proxies=False)
    asyncio.run(opening.open(loop, object()))  # type: ignore[arg-type]
    assert loop.connected


# -- TLS --------------------------------------------------------------------------------------------


def test_a_connection_over_tls_is_used_again_and_large_bodies_go_both_ways(
    tls: ssl.SSLContext,
) -> None:
    body = bytes(range(256)) * (1 << 14)

    async def talk(one: Talk) -> None:
        while True:
            await one.say(fine((await one.asked())[1]))

    async def work(client: Client, spoken: Spoken) -> int:
        for content in (b"{}", body, b"{}", body):
            answer = await client.send(Sent(content, {}, len(body), PATIENCE_S))
            assert answer.content == content
        return len(spoken.talks)

    assert asking(talk, work, tls=tls) == 1


def test_what_follows_an_answer_over_tls_is_the_answer_to_no_request(tls: ssl.SSLContext) -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        for _ in range(2):
            assert (await client.send(SENT)).content == b"{}"
        assert len(spoken.talks) == 2

    asking(always(FINE + fine(b"[]")), work, tls=tls)


def test_an_answer_to_half_a_request_ends_its_connection_over_tls(tls: ssl.SSLContext) -> None:
    sent = Sent(b"x" * (32 << 20), {}, 1000, PATIENCE_S)

    async def talk(one: Talk) -> None:
        await one.reader.readuntil(b"\r\n\r\n")
        await one.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
        one.writer.transport.pause_reading()
        await asyncio.sleep(0.2)
        one.writer.transport.resume_reading()
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        for _ in range(2):
            assert (await client.send(sent)).status == 413
        assert len(spoken.talks) == 2

    asking(talk, work, tls=tls)


@pytest.mark.parametrize("way", ["close_notify", "end", "reset"])
def test_a_connection_over_tls_that_ends_meanwhile_is_replaced(
    tls: ssl.SSLContext, way: str
) -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(FINE)
        if way == "close_notify":
            one.writer.close()
        elif way == "end":
            one.writer.get_extra_info("socket").shutdown(1)
        else:
            one.writer.transport.abort()
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        for number in (1, 2, 3):
            assert (await client.send(SENT)).content == b"{}"
            await asyncio.sleep(0.02 if number == 2 else 0)
        assert len(spoken.talks) == 3

    asking(talk, work, tls=tls)


def test_who_breaks_off_over_tls_is_lost(tls: ssl.SSLContext) -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")
        one.writer.transport.abort()

    async def work(client: Client, spoken: Spoken) -> None:
        with pytest.raises(Exception, match="closed before the answer ended"):
            await client.send(SENT)
        assert len(spoken.talks) == 1

    asking(talk, work, tls=tls)


def test_a_certificate_for_another_name_is_not_trusted(tls: ssl.SSLContext) -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        other = Client(spoken.url.replace("127.0.0.1", "127.0.0.2"), BOUNDS)
        with pytest.raises(Unreached, match="its certificate is not trusted: IP address mismatch"):
            await other.send(SENT)
        await other.aclose()
        assert spoken.heads == []

    async def whole() -> None:
        async with speaking(always(FINE), tls, "0.0.0.0") as spoken:
            spoken.url = spoken.url.replace("0.0.0.0", "127.0.0.1")
            await work(Client("", BOUNDS), spoken)

    run(whole())


def test_a_server_without_tls_is_said_to_be_so(tls: ssl.SSLContext) -> None:
    async def talk(one: Talk) -> None:
        await one.reader.read(100)
        await one.say(FINE)

    async def work(client: Client, spoken: Spoken) -> None:
        secure = Client(spoken.url.replace("http:", "https:"), BOUNDS)
        with pytest.raises(Unreached, match=r"^TLS could not be begun or went wrong: "):
            await secure.send(SENT)
        await secure.aclose()

    asking(talk, work)


async def leaves(one: Talk) -> None:
    await one.reader.read(100)


async def speaks_first(one: Talk) -> None:
    await one.say(b"220 hello\r\n")
    await one.gone()


@pytest.mark.parametrize("talk", [leaves, speaks_first])
def test_a_server_that_does_not_come_to_tls_is_not_reached(
    tls: ssl.SSLContext, talk: Callable[[Talk], Awaitable[None]]
) -> None:
    async def work(client: Client, spoken: Spoken) -> None:
        secure = Client(spoken.url.replace("http:", "https:"), BOUNDS)
        with pytest.raises(Unreached):
            await secure.send(SENT)
        await secure.aclose()

    asking(talk, work)


def test_a_server_that_never_comes_to_tls_is_given_up_in_time(tls: ssl.SSLContext) -> None:
    async def talk(one: Talk) -> None:
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        url = spoken.url.replace("http:", "https:")
        secure = Client(url, Bounds(0.1, 5.0, 1))
        with pytest.raises(Unreached, match="it did not answer in time"):
            await secure.send(SENT)
        patient = Client(url, BOUNDS)
        with pytest.raises(TimeoutError):
            await patient.send(Sent(b"", {}, 1000, 0.1))
        task = asyncio.create_task(patient.send(SENT))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(spoken.all_closed.wait(), PATIENCE_S)
        await secure.aclose()
        await patient.aclose()
        assert len(spoken.talks) == 3

    asking(talk, work)


# -- proxies ----------------------------------------------------------------------------------------


async def through(url: str) -> Answer:
    client = Client(url, PROXIED)
    try:
        return await client.send(SENT)
    finally:
        await client.aclose()


def test_a_proxy_is_asked_for_all_of_the_address_and_given_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heads = []

    async def talk(one: Talk) -> None:
        heads.append((await one.asked())[0])
        await one.say(FINE)

    async def work(client: Client, spoken: Spoken) -> None:
        address = spoken.url.partition("//")[2].partition("/")[0]
        monkeypatch.setenv("HTTP_PROXY" if heads else "http_proxy", f"http://me:p%40ss@{address}")
        assert (await through("http://example.invalid:81/v1?a=b")).content == b"{}"
        monkeypatch.setenv("http_proxy", address)
        assert (await through("http://example.invalid/v1")).content == b"{}"

    asking(talk, work)
    assert heads[0].startswith(
        b"POST http://example.invalid:81/v1?a=b HTTP/1.1\r\nHost: example.invalid:81\r\n"
    )
    named = b"\r\nProxy-Authorization: Basic " + base64.b64encode(b"me:p@ss") + b"\r\n"
    assert named in heads[0]
    assert heads[1].startswith(
        b"POST http://example.invalid/v1 HTTP/1.1\r\nHost: example.invalid\r"
    )
    assert b"Proxy-Auth" not in heads[1]


@pytest.mark.parametrize("excepted", ["127.0.0.1", "*", "other,127.0.0.1"])
def test_a_server_that_is_excepted_is_reached_without_the_proxy(
    monkeypatch: pytest.MonkeyPatch, excepted: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", excepted)

    async def work(client: Client, spoken: Spoken) -> Answer:
        return await through(spoken.url)

    assert asking(always(FINE), work).content == b"{}"


@pytest.mark.parametrize("named", ["socks5://127.0.0.1:1", "https://127.0.0.1:1", "http://[::1"])
def test_a_proxy_that_cannot_be_spoken_to_is_said_to_be_one(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("http_proxy", named)
    with pytest.raises(Unreached, match="the proxy of the environment is not like http://"):
        run(through("http://example.invalid/v1"))


def tunnel(answer: bytes, port: int, heads: list[bytes]) -> Callable[[Talk], Awaitable[None]]:
    """Be a proxy that connects to a port of this machine, once it has answered."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def talk(one: Talk) -> None:
        heads.append((await one.asked())[0])
        await one.say(answer)
        if b" 200 " in answer:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pump(one.reader, writer), pump(reader, one.writer))

    return talk


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_proxy_connects_to_a_server_with_tls_and_sees_nothing_of_it(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    heads: list[bytes] = []

    async def work() -> None:
        async with speaking(always(FINE), tls) as server:
            port = int(server.url.split(":")[2].split("/")[0])
            talk = tunnel(b"HTTP/1.1 200 Connection established\r\n\r\n", port, heads)
            async with speaking(talk) as proxy:
                monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//me:x@"))
                client = Client(f"https://{name}:{port}/v1", PROXIED)
                for _ in range(3):
                    assert (await client.send(SENT)).content == b"{}"
                await client.aclose()
            named = f"{name}:{port}".encode()
            credentials = base64.b64encode(b"me:x")
            assert heads == [
                b"CONNECT %b HTTP/1.1\r\nHost: %b\r\nProxy-Authorization: Basic %b\r\n\r\n"
                % (named, named, credentials)
            ]

    run(work())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "the proxy answers 407"),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "says more than it was asked"),
        (b"SSH-2.0\r\n\r\n", "what the proxy says is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: y", "what the proxy says is no HTTP"),
        (b"x" * 70_000, "what the proxy says is no HTTP"),
    ],
    ids=["refused", "more", "ssh", "half", "much"],
)
def test_a_proxy_that_does_not_connect_is_said_to_be_so(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, said: str
) -> None:
    async def talk(one: Talk) -> None:
        await one.asked()
        await one.say(answer)

    async def work(client: Client, spoken: Spoken) -> None:
        monkeypatch.setenv("https_proxy", spoken.url)
        with pytest.raises(Unreached, match=said):
            await through("https://example.invalid/v1")

    asking(talk, work)


def test_a_proxy_that_says_nothing_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(one: Talk) -> None:
        await one.gone()

    async def work(client: Client, spoken: Spoken) -> None:
        monkeypatch.setenv("https_proxy", spoken.url)
        slow = Client("https://example.invalid/v1", Bounds(0.1, 5.0, 1, environment_proxies=True))
        with pytest.raises(Unreached, match="it did not answer in time"):
            await slow.send(SENT)
        await slow.aclose()

    asking(talk, work)


def test_nothing_of_a_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://me:planted@127.0.0.1:1")
    opening = Opening("http://example.invalid/v1", proxies=True)
    secret = base64.b64encode(b"me:planted").decode()
    assert secret not in repr(opening._proxy)
    assert "planted" not in repr(opening._proxy)
    assert secret in opening.first_lines("POST")
