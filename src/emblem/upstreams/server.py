"""Somebody else's server: one request to it, with one key after another, and whatever may go wrong.

Knows HTTP, keys and refusals; vectors and spaces are ``hosted.py``'s. Nothing is tried again with the
same key: see ``retrying.py``, and the pool of deployments.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol

from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidResult,
    Overloaded,
)
from emblem.types import value
from emblem.upstreams import refusals, retry
from emblem.upstreams.keys import LONGEST_REST_S, REFUSED_S, Keys
from emblem.upstreams.provider import Provider
from emblem.upstreams.refusals import Asked, TooLarge
from emblem.upstreams.sending import (
    Answer,
    Bounds,
    Client,
    Endless,
    Lost,
    Sent,
    Unreached,
    most_bytes,
)

OK = 200
BETWEEN_KEYS_S = 1.0  # how long a key rests that is told to slow down, where there are others


@value()
class Posted:
    """A request: its body, with how many texts, done by when on the monotonic clock.

    ``width`` bounds the length of the answer. It is None for the first text that a server gets.
    ``caching`` is what whoever stands in between is told of remembering it, "" for nothing.
    """

    content: bytes
    texts: int
    until: float
    width: int | None = None
    caching: str = ""


class Passing(Exception):
    """What may be otherwise a little later; ``delay_s`` is what the server asks to be waited.

    ``unanswered`` tells that no answer came at all.
    """

    def __init__(
        self, error: EmblemError, delay_s: float | None = None, *, unanswered: bool = False
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.delay_s = delay_s
        self.unanswered = unanswered


class Posting(Protocol):
    """What a hosted model needs of a server."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        ...

    def until(self, deadline: float) -> float:
        """Give the time after which nothing more is tried."""
        ...

    def left_s(self, until: float) -> float:
        """Give the seconds until then, below 0 where it is past."""
        ...

    async def post(self, posted: Posted) -> Answer:
        """Give the answer of status 200.

        Raises InvalidInput, with indices of the texts, InvalidRequest, TooLarge, Overloaded,
        DeadlineExceeded, DeploymentFailed, or InvalidResult for an answer that is too long.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class Server:
    """Sends requests for one model to one provider. Owns its connections.

    ``clock`` is the monotonic clock, in seconds.
    """

    def __init__(
        self, provider: Provider, model: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.closed = False
        self._provider = provider
        self._model = model
        self._clock = clock
        self._url = provider.url(model)
        self._keys = Keys(provider.name, provider.keys, provider.key_file, clock=clock)
        self._headers = {"Content-Type": "application/json", **provider.headers}
        self._client = Client(
            self._url,
            Bounds(
                provider.connect_timeout_s,
                provider.read_timeout_s,
                provider.max_connections,
                provider.environment_proxies,
            ),
        )

    def until(self, deadline: float) -> float:
        """Give the time after which nothing more is tried: the deadline."""
        return deadline

    def left_s(self, until: float) -> float:
        """Give the seconds until then, below 0 where it is past."""
        return until - self._clock()

    async def aclose(self) -> None:
        """Close the connections."""
        self.closed = True
        await self._client.aclose()

    async def post(self, posted: Posted) -> Answer:
        """Send a request once, with another key where one is refused; see ``Posting.post``."""
        try:
            return await self.attempt(posted)
        except Passing as passing:
            raise passing.error from None

    async def attempt(self, posted: Posted) -> Answer:
        """Do what ``post`` does, but raise Passing for what may be otherwise a little later."""
        self._refuse_closed()
        failure: Exception | None = None
        for _ in range(len(self._keys.all) or 1):
            key = self._keys.next()
            if key is None and self._keys.all:
                break
            answer = await self._send(posted, key)
            self._refuse_closed()  # meanwhile: then the answer may be half of one
            if answer.status == OK:
                return answer
            failure = self._failure(answer, posted.texts)
            if key is None or not self._left_out(key, answer):
                break
        raise failure or self._resting()

    def _refuse_closed(self) -> None:
        if self.closed:
            raise DeploymentFailed(f"the connection to {self._provider.name} is closed")

    async def _send(self, posted: Posted, key: str | None) -> Answer:
        provider = self._provider
        left = posted.until - self._clock()
        if left <= 0:
            raise DeadlineExceeded(f"{provider.name} did not answer in time")
        sent = Sent(
            posted.content,
            self._with(key, posted.caching),
            most_bytes(posted.texts, posted.width),
            min(provider.timeout_s, left),
        )
        try:
            return await self._client.send(sent)
        except Endless as error:
            raise InvalidResult(provider.name, str(error)) from None
        except TimeoutError:
            if left <= provider.timeout_s:
                raise DeadlineExceeded(f"{provider.name} did not answer in time") from None
            failed = DeploymentFailed(f"{provider.name} did not answer in time")
        except Unreached as error:
            failed = DeploymentFailed(f"{provider.name} cannot be reached: {error}")
        except Lost as error:
            failed = DeploymentFailed(f"{provider.name}: connection lost: {error}")
        raise Passing(failed, unanswered=True)

    def _with(self, key: str | None, caching: str) -> Mapping[str, str]:
        headers = {**self._headers, "Cache-Control": caching} if caching else self._headers
        if key is None:
            return headers
        header = self._provider.preset.key_header
        value = f"Bearer {key}" if header == "authorization" else key
        return {**headers, header: value}

    def _failure(self, answer: Answer, texts: int) -> Exception:
        provider = self._provider
        asked = Asked(provider.name, self._model, texts, self._keys.all, provider.hidden)
        status, headers = answer.status, answer.headers
        detail = refusals.words(asked, status, answer.content)
        delay_s = retry.asked_delay(headers, datetime.now(UTC))
        error = refusals.error(asked, status, headers, detail, delay_s)
        if isinstance(error, TooLarge) or refusals.key_refused(status):
            return error
        return Passing(error, delay_s) if retry.worth_retrying(status, headers) else error

    def _left_out(self, key: str, answer: Answer) -> bool:
        """Let a key rest that was refused; tell whether there is another one to try."""
        alone = len(self._keys.all) == 1
        if refusals.key_refused(answer.status):
            self._keys.rest(key, 0.0 if alone else REFUSED_S, refused=True)
        elif answer.status != 429:
            return False
        elif retry.worth_retrying(answer.status, answer.headers):
            asked = retry.asked_delay(answer.headers, datetime.now(UTC))
            self._keys.rest(key, asked or (0.0 if alone else BETWEEN_KEYS_S))
        else:  # what it may use in all is used up
            self._keys.rest(key, 0.0 if alone else LONGEST_REST_S, refused=True)
        return not alone and self._keys.next() is not None

    def _resting(self) -> Exception:
        """Say why nothing was sent: every key rests."""
        name, wait = self._provider.name, self._keys.resting_s()
        if wait is None:
            said = f"{name} refused every API key; they are tried again soon"
            return DeploymentFailed(said, lasting=True)
        return Passing(
            Overloaded(f"{name} has told every API key to wait", max(wait, 1.0)), max(wait, 0.0)
        )
