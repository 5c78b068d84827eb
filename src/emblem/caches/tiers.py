"""Tiers: several tiers as one, the nearest first."""

from collections.abc import Sequence

from emblem.caches.tier import Tier
from emblem.core.reuse import Entry
from emblem.core.seal import names
from emblem.types import TierState


class Tiers:
    """Asks each tier for what those before it do not know; see ``ports.Beyond``.

    What is found in a farther one is kept in the nearer ones, and what is put is put in all. Used on
    one event loop.
    """

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self._tiers = tuple(tiers)

    def report(self) -> tuple[TierState, ...]:
        """Say of each tier what it was asked for."""
        return tuple([tier.report() for tier in self._tiers])

    async def find(self, keys: Sequence[bytes], width: int) -> list[Entry | None]:
        """Give the entry of each key; None where no tier knows it."""
        called = names(keys)
        known: dict[bytes, Entry] = {}
        for nearness, tier in enumerate(self._tiers):
            missing = [name for name in dict.fromkeys(called) if name not in known]
            if not missing:
                break
            given = await tier.find(missing, width)
            found = {name: one for name, one in zip(missing, given, strict=True) if one is not None}
            if found:
                for nearer in self._tiers[:nearness]:
                    nearer.put(found)
            known |= found
        return [known.get(name) for name in called]

    def put(self, keys: Sequence[bytes], entries: Sequence[Entry]) -> None:
        """Have the entries kept by every tier."""
        given = dict(zip(names(keys), entries, strict=True))
        for tier in self._tiers:
            tier.put(given)

    async def aclose(self) -> None:
        """Close all."""
        for tier in self._tiers:
            await tier.aclose()
