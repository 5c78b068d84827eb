"""Passes requests on to a model elsewhere that gives no vectors, as they are, and its answers back.

A request goes out with a key of the provider's and nothing of who asked; of an answer only what it
says comes back, without that key.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from emblem.core.events import Events, TooLong, data
from emblem.core.redact import HIDDEN
from emblem.errors import DeadlineExceeded, DeploymentFailed, InvalidResult, Overloaded
from emblem.upstreams import retry
from emblem.upstreams.declined import declined, error_status
from emblem.upstreams.keys import REFUSED_S, Keys
from emblem.upstreams.provider import Provider
from emblem.upstreams.sending import Lost, Unreached
from emblem.upstreams.streaming import Coming, Connections

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 32 << 20
MAX_EVENT_BYTES = 4 << 20
MAX_REFUSAL_BYTES = 1 << 16
REFUSAL_S = 5.0  # that the words of a refusal are waited for: its status says enough

# What is shorter may be a word, such as the "ollama" that is given where no key is needed: taken out
# of an answer it would take the word with it.
MIN_SECRET = 20

CHAT, RERANK = "/chat/completions", "/rerank"

OK, TOO_MANY = 200, 429


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many seconds are waited for an answer's beginning, and between two parts of it."""

    first_byte_s: float
    idle_s: float


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests go: a provider's address, and what the model is called there.

    ``name`` is what answers, metrics and the log call it.
    """

    name: str
    url: str
    model: str


def beside(provider: Provider, model: str, path: str) -> str:
    """Give the address of another API of a provider: it stands beside that for vectors."""
    url, question, query = provider.url(model).partition("?")
    return f"{url.rpartition('/')[0]}{path}{question}{query}"


def at_root(provider: Provider, path: str) -> str:
    """Give an address at the root of a provider whose base URL ends in /v1."""
    return provider.base_url.rstrip("/").removesuffix("/v1") + path


class HttpPassage:
    """Passes requests on to one address of a provider; a ``Passage``. Used on one event loop.

    Whoever creates it closes it. Raises ConfigError where the keys cannot be read.
    """

    def __init__(self, provider: Provider, where: Destination, bounds: Bounds) -> None:
        self.served_by = where.name
        self.model = where.model
        self._provider = provider
        self._url = where.url
        self._bounds = bounds
        self._keys = Keys(where.name, provider.keys, provider.key_file)
        self._connections = Connections(
            where.url, provider.connect_timeout_s, proxies=provider.environment_proxies
        )

    @asynccontextmanager
    async def send(self, content: bytes, deadline: float) -> AsyncIterator["Passing"]:
        """Send JSON, and give the answer inside; see ``ports.Passage``."""
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                answer = await self._answer(content)
                try:
                    yield Passing(self.served_by, answer, self._secrets(), self._bounds.idle_s)
                finally:
                    answer.close()
        except TimeoutError:
            raise self._late() from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.aclose()

    async def _answer(self, content: bytes) -> Coming:
        """Ask with one key after another, until one is not refused."""
        tried: set[str | None] = set()
        while True:
            key = self._keys.next()
            if key in tried or (key is None and self._keys.all):
                raise self._no_key_left()
            tried.add(key)
            answer = await self._begun(content, key)
            if answer.status == OK:
                return answer
            try:
                await self._refuse(answer, key)
            finally:
                answer.close()

    async def _begun(self, content: bytes, key: str | None) -> Coming:
        """Give an answer of which the head has come."""
        try:
            async with asyncio.timeout(self._bounds.first_byte_s):
                return await self._connections.send(content, self._headers(key))
        except TimeoutError:
            raise self._late() from None
        except (Unreached, Lost) as error:
            log.warning("%s cannot be reached: %s", self.served_by, error)
            raise DeploymentFailed(f"{self.served_by} cannot be reached.") from None

    def _headers(self, key: str | None) -> dict[str, str]:
        """Give what is sent with a request: nothing of it is from whoever asked."""
        headers = {
            **self._provider.headers,
            "content-type": "application/json",
            "accept-encoding": "identity",  # what is packed comes later than it could
        }
        if key:
            name = self._provider.preset.key_header
            headers[name] = f"Bearer {key}" if name == "authorization" else key
        return headers

    async def _refuse(self, answer: Coming, key: str | None) -> None:
        """Raise what a refusal means; return where another key may be tried."""
        asked_s = retry.asked_delay(answer.headers, datetime.now(UTC))
        status, name = answer.status, self.served_by
        content = await _refusal(answer, min(REFUSAL_S, self._bounds.idle_s))
        error = declined(name, status, content, self._secrets(), asked_s)
        log.warning("%s answers %d: %s", name, status, error)
        if status not in (401, 403, 429) or key is None or len(self._keys.all) == 1:
            raise error
        if status == TOO_MANY:
            self._keys.rest(key, asked_s or 1.0)
        else:
            self._keys.rest(key, REFUSED_S, refused=True)
        if self._keys.next() is None:
            raise error

    def _no_key_left(self) -> Exception:
        resting_s = self._keys.resting_s()
        if resting_s is None:
            said = f"{self.served_by} refuses this server's API key."
            return DeploymentFailed(said, lasting=True)
        return Overloaded(f"{self.served_by} takes no more requests now.", resting_s)

    def _secrets(self) -> tuple[str, ...]:
        return (*(one for one in self._keys.all if one), *self._provider.hidden)

    def _late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self.served_by} did not answer in time.")


class Passing:
    """An answer of status 200 of which the rest is still to come; a ``Passed``."""

    def __init__(self, name: str, answer: Coming, secrets: tuple[str, ...], idle_s: float) -> None:
        self._name = name
        self._answer = answer
        self._secrets = secrets
        self._long = tuple(one.encode() for one in secrets if len(one) >= MIN_SECRET)
        self._idle_s = idle_s

    @property
    def streams(self) -> bool:
        """Tell whether it comes as events."""
        media = self._answer.headers.get("content-type", "").partition(";")[0]
        return bool(media.strip().lower() == "text/event-stream")

    async def whole(self) -> bytes:
        """Give all of it, once it is known to be JSON."""
        content = bytearray()
        async with aclosing(self._parts()) as parts:
            async for part in parts:
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    raise InvalidResult(self._name, "an answer that does not end")
        try:
            msgspec.json.decode(content, type=dict[str, msgspec.Raw] | list[msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise InvalidResult(self._name, "an answer that is not JSON") from None
        return self._shown(bytes(content))

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Give each event as it comes. A stream that begins with an error is a refusal."""
        events, begun = Events(MAX_EVENT_BYTES), False
        async with aclosing(self._parts()) as parts:
            async for part in parts:
                try:
                    found = events.feed(part)
                except TooLong:
                    raise InvalidResult(self._name, "an event that does not end") from None
                for one in found:
                    if not begun:
                        self._refuse_error(one)
                    begun = True
                    yield self._shown(one)
        if _is_whole(events.rest):
            yield self._shown(events.rest + b"\n\n")

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        """Give what comes, as it comes."""
        parts = self._answer.parts()
        try:
            while True:
                async with asyncio.timeout(self._idle_s):
                    part = await anext(parts, None)
                if part is None:
                    return
                yield part
        except TimeoutError:
            raise DeadlineExceeded(f"{self._name} stopped in the middle of an answer.") from None
        except Lost as error:
            log.warning("%s: connection lost: %s", self._name, error)
            raise DeploymentFailed(f"{self._name} broke off in the middle of an answer.") from None

    def _refuse_error(self, event: bytes) -> None:
        """Raise what the first event says, where that is an error: there was no status to say it."""
        status = error_status(data(event))
        if status is not None:
            error = declined(self._name, status, data(event), self._secrets, None)
            log.warning("%s answers %d in its stream: %s", self._name, status, error)
            raise error

    def _shown(self, content: bytes) -> bytes:
        """Give what may be shown of what came, which is text."""
        try:
            content.decode()
        except UnicodeDecodeError:
            raise InvalidResult(self._name, "an answer that is not UTF-8") from None
        for secret in self._long:
            content = content.replace(secret, HIDDEN.encode())
        return content


def _is_whole(event: bytes) -> bool:
    """Tell whether an event is all there although no empty line ends it: some leave out the last."""
    said = data(event)
    try:
        return said == b"[DONE]" or bool(msgspec.json.decode(said))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


async def _refusal(answer: Coming, wait_s: float) -> bytes:
    """Give the beginning of an error's body, whatever becomes of the rest."""
    content = bytearray()
    try:
        async with asyncio.timeout(wait_s):
            async for part in answer.parts():
                content += part
                if len(content) > MAX_REFUSAL_BYTES:
                    break
    except (TimeoutError, Lost) as error:
        log.debug("the body of an error broke off: %s", type(error).__name__)
    return bytes(content[:MAX_REFUSAL_BYTES])
