"""Somebody else's server: where it is, one request to it, and whatever may go wrong with that.

Knows HTTP and OpenAI's errors; vectors and spaces are ``openai.py``'s.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec

from emblem.errors import (
    ConfigError,
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidInput,
    InvalidRequest,
    InvalidResult,
    Overloaded,
)
from emblem.upstreams import answers, retry
from emblem.upstreams.answers import Detail
from emblem.upstreams.sending import Answer, Endless, Sent, most_bytes, send

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 64

_TOO_LARGE = ("max_tokens_per_request", "request_too_large")
_TOO_LONG = ("context_length_exceeded", "maximum context length")

Pause = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an upstream is, and how to speak to it.

    ``base_url`` is what OpenAI's clients call so: it ends in ``/v1`` as a rule. ``timeout_s`` is
    for one HTTP request, ``retry_s`` for all attempts at one without a deadline. ``max_inputs`` go
    into one HTTP request. Raises ConfigError.
    """

    base_url: str
    model: str
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 60.0
    retry_s: float = 120.0
    max_inputs: int = 256

    def __post_init__(self) -> None:
        try:
            url = httpx2.URL(self.base_url)
        except httpx2.InvalidURL as error:
            raise ConfigError(f"the base URL {self.base_url!r} is none: {error}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise ConfigError(
                f"the base URL is {self.base_url!r}; it must be like http://127.0.0.1:8080/v1"
            )
        if url.userinfo or url.query or url.fragment:
            raise ConfigError(
                f"the base URL of {url.host} must have no password, query or fragment; give a "
                "password as the API key"
            )
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError("the API key has characters that no key has, such as a line break")
        if not self.model:
            raise ConfigError("a server needs the name of a model")

    @property
    def url(self) -> str:
        """Where texts are sent."""
        return f"{self.base_url.rstrip('/')}/embeddings"

    @property
    def host(self) -> str:
        """Who it is in messages: the host, and the port where one is given."""
        return httpx2.URL(self.base_url).netloc.decode()


class TooLarge(Exception):
    """The server takes these texts in smaller parts, if at all."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class Server:
    """Sends texts to an endpoint, and asks again where time may help.

    Owns the client unless one is given. ``pause`` waits, ``clock`` is the monotonic clock, both in
    seconds.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        client: httpx2.AsyncClient | None = None,
        *,
        pause: Pause = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        self.closed = False
        self._owned = client is None
        self._client = client or httpx2.AsyncClient(
            limits=httpx2.Limits(max_connections=MAX_CONNECTIONS)
        )
        self._pause = pause
        self._clock = clock

    async def aclose(self) -> None:
        """Close the connections, unless the client was given."""
        self.closed = True
        if self._owned:
            await self._client.aclose()

    def until(self, deadline: float) -> float:
        """Give the time after which nothing more is tried."""
        return min(deadline, self._clock() + self.endpoint.retry_s)

    async def post(
        self,
        texts: Sequence[str],
        options: Mapping[str, Any],
        until: float,
        width: int | None = None,
    ) -> Answer:
        """Send texts until there is an answer of status 200, or none that time would change.

        ``width`` bounds the length of the answer. It is None for the first text that a server gets,
        and then one that cannot be reached is not tried again. Raises InvalidInput, with indices of
        ``texts``, InvalidRequest, TooLarge, Overloaded, DeadlineExceeded, DeploymentFailed, or
        InvalidResult for an answer that is too long.
        """
        content = self._body(texts, options)
        most = most_bytes(len(texts), width)
        attempt = 0
        while True:
            left = until - self._clock()
            if self.closed:
                raise DeploymentFailed(f"the connection to {self.endpoint.host} is closed")
            if left <= 0:
                raise DeadlineExceeded(f"{self.endpoint.host} did not answer in time")
            asked: float | None = None
            try:
                answer = await self._send(content, most, min(self.endpoint.timeout_s, left))
            except (httpx2.RequestError, TimeoutError) as error:
                failure = self._unreached(error)
                if width is None:
                    raise failure from None
            else:
                if answer.status == httpx2.codes.OK:
                    return answer
                detail = self._detail(answer)
                self._refuse(answer, detail, len(texts))
                asked = retry.asked_delay(answer.headers, datetime.now(UTC))
                failure = self._failure(answer.status, detail, asked)
            wait = retry.delay(attempt, asked, random.random())  # noqa: S311 - dice, no secret
            if self._clock() + wait >= until:
                raise failure
            attempt += 1
            log.warning("%s; trying again (%d)", failure, attempt + 1)
            await self._pause(wait)

    def _body(self, texts: Sequence[str], options: Mapping[str, Any]) -> bytes:
        try:
            return msgspec.json.encode({"model": self.endpoint.model, "input": texts, **options})
        except UnicodeEncodeError:
            raise InvalidInput(
                [(index, "has half of a surrogate pair") for index, one in enumerate(texts)
                 if not _is_unicode(one)]
            ) from None  # fmt: skip

    async def _send(self, content: bytes, most: int, timeout_s: float) -> Answer:
        headers = {"Content-Type": "application/json"}
        if self.endpoint.key:
            headers["Authorization"] = f"Bearer {self.endpoint.key}"
        try:
            sent = Sent(self.endpoint.url, content, headers, most, timeout_s)
            return await send(self._client, sent)
        except Endless as error:
            raise InvalidResult(self.endpoint.host, str(error)) from None

    def _detail(self, answer: Answer) -> Detail:
        detail = answers.refusal(answer.status, answer.content)
        if self.endpoint.key:  # some servers show it to whoever sent it
            detail.message = detail.message.replace(self.endpoint.key, "****")
        return detail

    def _refuse(self, answer: Answer, detail: Detail, texts: int) -> None:
        """Raise what asking again would not change; return where it might."""
        status, said, host = answer.status, answers.short(detail.message), self.endpoint.host
        if status in (401, 403):
            what = "refused the API key" if self.endpoint.key else "wants an API key"
            raise DeploymentFailed(f"{host} {what} ({status}): {said}")
        if retry.worth_retrying(status, answer.headers):
            return
        if named := _named(detail, texts):
            raise named
        words = f"{detail.code} {detail.message}"
        if status == 413 or any(one in words for one in (*_TOO_LARGE, *_TOO_LONG)):
            raise TooLarge(said)
        if status in (400, 422):
            raise InvalidRequest(f"{host} refused the request: {said}", param=detail.param)
        if status == 404:
            raise DeploymentFailed(
                f"{self.endpoint.url} answers 404: {said} (a base URL ends in /v1 as a rule, and "
                f"the server must have the model {self.endpoint.model!r})"
            )
        where = answer.headers.get("location")
        said = f"it points to {answers.short(where)}" if where else said
        raise DeploymentFailed(f"{self.endpoint.url} answers {status}: {said}")

    def _failure(self, status: int, detail: Detail, asked: float | None) -> EmblemError:
        """Say what the last attempt met, for when there is no other."""
        message = f"{self.endpoint.host} answers {status}: {answers.short(detail.message)}"
        if status in (429, 503):
            return Overloaded(message, asked or 1.0)
        return DeploymentFailed(message)

    def _unreached(self, error: httpx2.RequestError | TimeoutError) -> EmblemError:
        host, said = self.endpoint.host, str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            return DeadlineExceeded(f"{host} did not answer in time")
        if isinstance(error, httpx2.TimeoutException):
            return DeadlineExceeded(f"{host} did not answer in time ({type(error).__name__})")
        if isinstance(error, httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError):
            return DeploymentFailed(f"{host}: connection lost: {said}")
        return DeploymentFailed(f"{host} cannot be reached: {said}")


def _named(detail: Detail, texts: int) -> InvalidInput | None:
    """Give the inputs that the server names."""
    found = [
        (index, answers.short(why))
        for index, why in answers.named_inputs(detail.message)
        if index < texts
    ]
    return InvalidInput(found) if found else None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
