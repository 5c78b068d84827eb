"""What the headers of a request and of its answer say about the cache."""

from collections.abc import Iterable

from emblem.service import Answer

NO_CACHE, NO_STORE = b"no-cache", b"no-store"


def directives(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """Give what ``Cache-Control`` asks for, in lower case; of several headers what each of them asks.

    An answer may not come from the cache under ``no-cache``, and may not go into it under
    ``no-store``; whatever else there is asks nothing of this cache.
    """
    said = [value for name, value in headers if name == b"cache-control"]
    if not said:
        return frozenset()
    return frozenset(part.strip().lower() for value in said for part in value.split(b","))


def cache_header(answer: Answer) -> str | None:
    """Say how many inputs were not computed for this answer: ``hits=3/10``; None without a cache."""
    return None if answer.hits is None else f"hits={answer.hits}/{len(answer.vectors)}"
