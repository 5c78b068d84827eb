"""One HTTP request and its whole answer, neither longer nor slower than was agreed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

CONNECT_S = 10.0

# An answer may take so many bytes: for a number as JSON writes it, with spaces and a line break of
# its own; for what stands around a vector; and for what stands around them all.
NUMBER_BYTES = 40
VECTOR_BYTES = 256
ANSWER_BYTES = 1 << 20
# As much may come for one text before the width is known.
UNKNOWN_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. Its answer may have ``most_bytes``, and be complete after ``timeout_s``."""

    url: str
    content: bytes
    headers: Mapping[str, str]
    most_bytes: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that came whole."""

    status: int
    headers: httpx2.Headers
    content: bytes


class Endless(Exception):
    """An answer that is longer than any right one, or cannot be unpacked; the text says which."""


def most_bytes(texts: int, width: int | None) -> int:
    """Bound the bytes of an answer with that many vectors, generously; None is of unknown width."""
    if width is None:
        return UNKNOWN_BYTES
    return ANSWER_BYTES + texts * (VECTOR_BYTES + NUMBER_BYTES * width)


async def send(client: httpx2.AsyncClient, sent: Sent) -> Answer:
    """Send a request and read its answer.

    Raises Endless as soon as too much has come, TimeoutError where the answer is not complete in
    time however steadily it trickles, and httpx2.RequestError where it breaks off.
    """
    timeout = httpx2.Timeout(sent.timeout_s, connect=min(CONNECT_S, sent.timeout_s))
    content = bytearray()
    async with (
        asyncio.timeout(sent.timeout_s),
        client.stream(
            "POST", sent.url, content=sent.content, headers=dict(sent.headers), timeout=timeout
        ) as answer,
    ):
        try:
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > sent.most_bytes:
                    raise Endless(f"an answer that does not end after {sent.most_bytes:,} bytes")
        except httpx2.DecodingError as error:
            raise Endless(f"an answer that cannot be unpacked ({error})") from None
        return Answer(answer.status_code, answer.headers, bytes(content))
