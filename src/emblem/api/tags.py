"""``x-emblem-tag``: what a client calls its requests, for the records of usage."""

from collections.abc import Iterable

from emblem.api.problems import invalid

HEADER = b"x-emblem-tag"
MAX_TAGS = 5
MAX_CHARACTERS = 64


def tags(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, ...]:
    """Give the tags of a request: of each such header, and several of one that has commas.

    Proxies and clients write headers of one name as one. Raises Problem for what is no tag.
    """
    given = [value for name, value in headers if name == HEADER]
    if not given:
        return ()
    found = [
        tag for value in given for one in value.decode("latin-1").split(",") if (tag := one.strip())
    ]
    if len(found) > MAX_TAGS:
        raise invalid(f"The header x-emblem-tag has {len(found)} tags and may have {MAX_TAGS}.")
    for one in found:
        if len(one) > MAX_CHARACTERS or not (one.isascii() and one.isprintable()):
            raise invalid(
                "The header x-emblem-tag has a tag that is not of 1 to "
                f"{MAX_CHARACTERS} printable ASCII characters."
            )
    return tuple(found)
