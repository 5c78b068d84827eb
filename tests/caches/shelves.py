"""Shelves for tests: a dictionary, a file, a Redis, and one that damages what it gives."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from emblem.caches.ports import Away, Shelf
from emblem.caches.tier import Tier
from emblem.caches.tiers import Tiers


class DictShelf:
    """Keeps contents in memory. ``error`` lets it fail, ``hold`` is awaited before it answers."""

    name = "dictionary"

    def __init__(self) -> None:
        self.contents: dict[bytes, bytes] = {}
        self.asked: list[list[bytes]] = []
        self.puts: list[dict[bytes, bytes]] = []
        self.error: Exception | None = None
        self.hold: Callable[[], object] | None = None
        self.closed = False

    async def get(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        self.asked.append([*names])
        await self._obstacles()
        return {name: self.contents[name] for name in names if name in self.contents}

    async def put(self, contents: Mapping[bytes, bytes]) -> None:
        self.puts.append(dict(contents))
        await self._obstacles()
        self.contents |= contents

    async def aclose(self) -> None:
        self.closed = True

    async def _obstacles(self) -> None:
        if self.hold is not None:
            await self.hold()
        if self.error is not None:
            raise self.error


class Meddling:
    """Gives what another shelf has, but some of it damaged, swapped or cut; or fails."""

    def __init__(self, shelf: Shelf, dice: Callable[[], int]) -> None:
        self._shelf = shelf
        self._dice = dice
        self.name = shelf.name

    async def get(self, names: Sequence[bytes]) -> dict[bytes, bytes]:
        found = await self._shelf.get(names)
        before = b""
        for name, content in list(found.items()):
            match self._dice():
                case 1:
                    place = content[-1] % len(content)
                    found[name] = (
                        content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
                    )
                case 2:
                    found[name] = before
                case 3:
                    found[name] = content[:-1]
                case 4:
                    raise Away("it is tired")
            before = content
        return found

    async def put(self, contents: Mapping[bytes, bytes]) -> None:
        if self._dice() == 5:
            raise Away("it is full")
        await self._shelf.put(contents)

    async def aclose(self) -> None:
        await self._shelf.aclose()


def named(*texts: str) -> list[bytes]:
    """Give names as shelves have them."""
    return [sha256(text.encode()).digest() for text in texts]


async def written(tiers: Tiers | Tier) -> None:
    """Wait until all is written that is to be."""
    every = tiers._tiers if isinstance(tiers, Tiers) else (tiers,)
    for tier in every:
        if tier._writer is not None:
            await tier._writer
