"""Misbehaving: the server. It counts what it sees, so that a leaked connection shows."""

import asyncio
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, cast

import msgspec

from emblem.errors import ConfigError, InvalidRequest
from emblem.upstreams.misbehaving import dialects, talk, wire
from emblem.upstreams.misbehaving.dialects import Asked, Dialect, Refused
from emblem.upstreams.misbehaving.faults import Fault
from emblem.upstreams.misbehaving.reading import Incoming, NoRequest, incoming
from emblem.upstreams.misbehaving.script import Script, always, from_words, in_turn
from emblem.upstreams.misbehaving.spoiling import CUT_WORDS, Item, spoiled
from emblem.upstreams.misbehaving.truth import Hashed, Truth, cut, shortened, tokens, vector
from emblem.upstreams.misbehaving.wire import Close, Hang, Reply, Reset, Send, Trickle, Wait

FAULT_HEADER = "x-fault"
ELSEWHERE = "/elsewhere"
HEAD_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Manners:
    """How the server behaves where no fault says otherwise.

    With a ``key`` it answers nobody else. A text of more than ``length`` words is refused, where
    the request does not ask for it to be cut. Without ``dialects`` it speaks all. ``slow_s`` is how
    long a slow answer takes, ``trickle_s`` the time between two bytes of one that trickles.
    """

    host: str = "127.0.0.1"
    port: int = 0
    model: str = "truth"
    key: str = field(default="", repr=False)
    length: int | None = None
    dialects: tuple[Dialect, ...] = tuple(Dialect)
    slow_s: float = 0.2
    trickle_s: float = 0.05


class Seen(msgspec.Struct, frozen=True):
    """What the server has seen. ``requests`` are those for vectors or chat; ``strayed`` went elsewhere.

    ``strayed_with_key`` of those had a key with them, which another host must never get.
    ``abandoned`` counts answers that the client did not wait for; ``faults`` counts them by name.
    """

    requests: int
    texts: int
    open: int
    connections: int
    abandoned: int
    strayed: int
    strayed_with_key: int
    faults: dict[str, int]


class Misbehaving:
    """A server for embeddings, and for chat, with faults. ``script`` says which, and may be replaced at any time.

    Runs on the event loop that enters it; see ``running`` for one of its own.
    """

    def __init__(
        self,
        script: Script | None = None,
        manners: Manners | None = None,
        truth: Truth | None = None,
    ) -> None:
        self.manners = manners or Manners()
        self.truth = truth or Hashed()
        self.port = 0
        self._script = script or always(Fault.OK)
        self._from = 0  # the number of the request at which the script began
        self._server: asyncio.Server | None = None
        self._talking: set[asyncio.Task[None]] = set()
        self._requests = self._texts = self._connections = self._abandoned = 0
        self._strayed = self._strayed_with_key = 0
        self._faults: Counter[str] = Counter()

    @property
    def root(self) -> str:
        """Where it is, without a path."""
        return f"http://{self.manners.host}:{self.port}"

    @property
    def base_url(self) -> str:
        """What OpenAI's clients call ``base_url``."""
        return f"{self.root}/v1"

    def play(self, script: Script) -> None:
        """Take another script, from its first fault on. Safe to call from another thread."""
        self._from, self._script = self._requests, script

    def seen(self) -> Seen:
        """Say what was seen so far."""
        return Seen(
            self._requests,
            self._texts,
            len(self._talking),
            self._connections,
            self._abandoned,
            self._strayed,
            self._strayed_with_key,
            dict(self._faults),
        )

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(
                self._talk, self.manners.host, self.manners.port, limit=HEAD_BYTES
            )
        except OSError as error:
            where = f"{self.manners.host}:{self.manners.port}"
            raise ConfigError(f"{where} cannot be listened on: {error.strerror}") from None
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in list(self._talking):
            task.cancel()
        await asyncio.gather(*self._talking, return_exceptions=True)
        await self._server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._talking.add(task)
        self._connections += 1
        try:
            await self._answer_all(reader, writer)
        except (ConnectionError, NoRequest):
            pass
        except asyncio.CancelledError:  # the server closes; nobody else cancels
            writer.transport.abort()
        finally:
            self._talking.discard(task)
            with suppress(ConnectionError):
                writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reused = False
        while (request := await incoming(reader, writer)) is not None:
            for step in await self._steps(request, reused=reused):
                if not await self._do(step, reader, writer):
                    return
            if request.headers.get("connection", "").lower() == "close":
                return
            reused = True

    async def _steps(self, request: Incoming, *, reused: bool) -> Iterable[wire.Step]:
        spoken = dialects.dialect_of(request.path)
        if request.path.startswith(ELSEWHERE):
            self._strayed += 1
            given = request.headers.keys() & {"authorization", "api-key", "x-api-key"}
            self._strayed_with_key += bool(given)
        elif spoken is None or spoken not in self.manners.dialects or request.method != "POST":
            return [Send(wire.plain(self._other(request)))]
        number = self._requests
        self._requests += 1
        fault = self._fault(request, number)
        self._faults[fault] += 1
        about = wire.Request(
            request.headers, reused, time.time(), f"http://localhost:{self.port}{ELSEWHERE}"
        )
        reply = wire.refused(fault, about)
        unasked = wire.json_reply(200, {})
        if reply is None and request.path.endswith(talk.PATH):
            reply, unasked = self._chat(request, fault)
        elif reply is None:
            reply, unasked = await self._vectors(spoken or Dialect.OPENAI, request, fault, number)
        return wire.steps(fault if reply.status != 400 else Fault.OK, reply, unasked, about)

    def _fault(self, request: Incoming, number: int) -> Fault:
        wanted = request.headers.get(FAULT_HEADER)
        if wanted:
            with suppress(InvalidRequest):
                return from_words([wanted])[0]
        return self._script(number - self._from)

    def _chat(self, request: Incoming, fault: Fault) -> tuple[Reply, Reply]:
        """Give the answer for a chat, and one like it that says something else."""
        if (said := self._locked(request)) is not None:
            return said, said
        voices = (self.manners.model, f"not-{self.manners.model}")
        made, other = (talk.reply(request.body, fault, voice) for voice in voices)
        return made, other

    async def _vectors(
        self, spoken: Dialect, request: Incoming, fault: Fault, number: int
    ) -> tuple[Reply, Reply]:
        """Give the answer with vectors, and one like it of another space."""
        if (said := self._locked(request)) is not None:
            return said, said
        try:
            asked = dialects.asked(spoken, request.body)
            texts = self._read(asked, fault)
        except Refused as error:
            said = wire.refusal(400, str(error))
            return said, said
        self._texts += len(texts)
        vectors = shortened(await self.truth.vectors(texts), asked.dimensions)
        items = [Item(index, one) for index, one in enumerate(vectors)]
        others = [
            replace(one, numbers=vector(text, len(one.numbers), "other"))
            for one, text in zip(items, texts, strict=True)
        ]
        found = spoiled(fault, items, texts, number)
        json_type = {"content-type": "application/json"}
        made, other = (
            Reply(
                200, dialects.body(asked, some, asked.model or self.manners.model, fault), json_type
            )
            for some in (found, others)
        )
        return made, other

    def _read(self, asked: Asked, fault: Fault) -> tuple[str, ...]:
        """Give the texts as they are embedded. Raises Refused for one that is too long."""
        if fault is Fault.CUT:
            return tuple(cut(text, CUT_WORDS) for text in asked.texts)
        if asked.dimensions is not None and asked.dimensions > self.truth.width:
            raise Refused(f"dimensions must be {self.truth.width} at most")
        length = self.manners.length
        if length is None:
            return asked.texts
        if asked.refuses_long and (most := max(map(tokens, asked.texts))) > length:
            raise Refused(
                f"This model's maximum context length is {length} tokens, however you requested "
                f"{most} tokens ({most} in your prompt; 0 for the completion). Please reduce your "
                "prompt; or completion length."
            )
        return tuple(cut(text, length) for text in asked.texts)

    def _locked(self, request: Incoming) -> Reply | None:
        if not self.manners.key:
            return None
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.manners.key in (given, request.headers.get("api-key")):
            return None
        return wire.refusal(401, "Incorrect API key provided.")

    def _other(self, request: Incoming) -> Reply:
        """Answer what asks for no vectors: the models, what was seen, another script."""
        if request.path.endswith("/models"):
            model = {
                "id": self.manners.model,
                "object": "model",
                "created": 0,
                "owned_by": "nobody",
            }
            return wire.json_reply(200, {"object": "list", "data": [model]})
        if request.path == "/info":
            most = self.manners.length or 512
            told = {"model_id": self.manners.model, "max_input_length": most}
            return wire.json_reply(200, {**told, "max_client_batch_size": 32})
        if request.path == "/seen":
            return wire.json_reply(200, msgspec.to_builtins(self.seen()))
        if request.path == "/faults" and request.method == "PUT":
            return self._replay(request.body)
        return wire.refusal(404, f"Invalid URL ({request.method} {request.path})")

    def _replay(self, body: bytes) -> Reply:
        try:
            told: dict[str, Any] = msgspec.json.decode(body)
            faults = from_words(told["faults"])
            self.play(in_turn(faults, loop=bool(told.get("loop"))))
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return wire.refusal(400, 'faults must be like {"faults": ["reset*2", "ok"]}')
        except InvalidRequest as error:
            return wire.refusal(400, str(error))
        return wire.json_reply(200, {"faults": faults})

    async def _do(
        self, step: wire.Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Do a step; false where nothing more goes over the connection."""
        match step:
            case Send(content):
                return await self._send(content, writer)
            case Trickle(content):
                for at in range(len(content)):
                    await asyncio.sleep(self.manners.trickle_s)
                    if reader.at_eof() or not await self._send(content[at : at + 1], writer):
                        self._abandoned += 1
                        return False
            case Wait():
                await asyncio.sleep(self.manners.slow_s)
            case Hang():
                with suppress(ConnectionError):
                    while await reader.read(1 << 16):
                        pass
                self._abandoned += 1
                return False
            case Reset():
                _reset(writer)
                return False
            case Close():
                return False
        return True

    async def _send(self, content: bytes, writer: asyncio.StreamWriter) -> bool:
        try:
            writer.write(content)
            await writer.drain()
        except ConnectionError:
            self._abandoned += 1
            return False
        return not writer.is_closing()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other side gets a reset, not an orderly end."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
