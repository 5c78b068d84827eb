"""Pages of long lists, and the cursors that lead from one to the next."""

import base64
import binascii
from typing import Annotated, Generic, NamedTuple, TypeVar

import msgspec

from emblem.api.admin.query import MAX_MOMENT, Query
from emblem.api.problems import invalid

DEFAULT_SIZE = 50
MAX_SIZE = 500

T = TypeVar("T")

Name = Annotated[str, msgspec.Meta(max_length=128)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Place(NamedTuple):
    """A time and, of things of one time, an id."""

    at: Annotated[float, msgspec.Meta(ge=0, le=MAX_MOMENT)]
    id: Annotated[str, msgspec.Meta(max_length=256)]


def size(query: Query) -> int:
    """Give how many of a list are asked for."""
    return query.whole("limit", DEFAULT_SIZE, MAX_SIZE)


class Cursors(Generic[T]):
    """Cursors of one list, which stand for a place in it. They mean nothing to whoever has one."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, query: Query) -> T | None:
        """Give the place behind which to go on; None for the beginning. Raises Problem."""
        given = query.text("cursor")
        if not given:
            return None
        try:
            raw = base64.b64decode(given + "=" * (-len(given) % 4), b"-_", validate=True)
            place = self._decoder.decode(raw)
        except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError, ValueError):
            raise _foreign() from None
        if not all(
            str(one).isprintable() for one in (place if isinstance(place, tuple) else (place,))
        ):
            raise _foreign()
        return place

    @staticmethod
    def write(place: T) -> str:
        """Give the cursor of a place."""
        return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def _foreign() -> Exception:
    return invalid("cursor must be the next_cursor of an answer of this address.", "cursor")
