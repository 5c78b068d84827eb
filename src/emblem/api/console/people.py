"""People whom something else has signed in: what their groups open here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from emblem.accounts import Key, Role, Team, Terms
from emblem.api.console.origin import header
from emblem.config import Opening
from emblem.core.permission import allows_source

EVERYBODY = "*"  # a group that all are in
_RANKS = (Role.INFERENCE, Role.READ, Role.ADMIN)
MAX_NAME = 64

RawHeaders = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Proxy:
    """Which header of which proxies names a person, and which one their groups.

    ``addresses`` are networks; without any, nobody is believed.
    """

    header: str
    groups_header: str
    addresses: tuple[str, ...]

    def trusts(self, peer: str) -> bool:
        """Tell whether whoever connected is one of the proxies."""
        return bool(self.header and self.addresses) and allows_source(self.addresses, peer)

    def person(self, headers: RawHeaders, peer: str) -> tuple[str, tuple[str, ...]] | None:
        """Give a person's name and groups; None where no trusted proxy says who it is."""
        if not self.trusts(peer):
            return None
        given = list(headers)
        name = (header(given, self.header.lower().encode()) or "").strip()
        if not name or len(name) > MAX_NAME or not name.isprintable():
            return None
        said = header(given, self.groups_header.lower().encode()) if self.groups_header else ""
        groups = (one.strip() for one in (said or "").split(","))
        return name, tuple(sorted({one for one in groups if one}))

    def named(self, headers: RawHeaders, peer: str) -> str | None:
        """Give what tells one person with their groups from another; None for nobody."""
        found = self.person(headers, peer)
        return None if found is None else repr(found)


def opened(groups: Iterable[str], rules: Sequence[Opening]) -> Opening | None:
    """Give what somebody's groups open: of several, the highest role; None for nothing."""
    mine = {*groups, EVERYBODY}
    found = [rule for rule in rules if rule.group in mine]
    return max(found, key=lambda rule: _RANKS.index(rule.role), default=None)


def acting_as(name: str, opens: Opening, team: Callable[[str], Team | None]) -> Key | None:
    """Give the key that stands for a person; None where their team is not there.

    It is in no list, and the audit and the records of usage name it ``user:NAME``.
    """
    its = team(opens.team) if opens.team else None
    if opens.team and its is None:
        return None
    terms = Terms(name, owner=name, team=its.id if its else None, role=opens.role)
    return Key(f"user:{name}", terms, 0.0)
