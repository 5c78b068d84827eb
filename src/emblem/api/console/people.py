"""People whom something else has signed in: what their groups open here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from emblem.accounts import Key, Role, Team, Terms
from emblem.config import Opening
from emblem.core.permission import allows_source

EVERYBODY = "*"  # a group that all are in
_RANKS = (Role.INFERENCE, Role.READ, Role.ADMIN)
MAX_NAME = 64

RawHeaders = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom something else has signed in, and their groups, sorted.

    ``by_proxy`` tells that it was a proxy, which must go on saying so with each request.
    """

    name: str
    groups: tuple[str, ...]
    by_proxy: bool = False


class NotWelcome(Exception):
    """Somebody is signed in elsewhere and may not come in. The text says why, and is theirs to read."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Which header of which proxies names a person, and which one their groups.

    ``addresses`` are networks; without any, nobody is believed.
    """

    header: str = ""
    groups_header: str = ""
    addresses: tuple[str, ...] = ()

    def trusts(self, peer: str) -> bool:
        """Tell whether whoever connected is one of the proxies."""
        return bool(self.header and self.addresses) and allows_source(self.addresses, peer)

    def person(self, headers: RawHeaders, peer: str) -> Person | None:
        """Give whom a request's headers name; None where no trusted proxy says who it is.

        Nor where a header is there twice: one of them may be the browser's own.
        """
        if not self.trusts(peer):
            return None
        given = list(headers)
        names = _said(given, self.header)
        groups = _said(given, self.groups_header) if self.groups_header else []
        if len(names) != 1 or len(groups) > 1 or not is_name(names[0].strip()):
            return None
        return Person(names[0].strip(), in_order(",".join(groups).split(",")), by_proxy=True)


def _said(headers: RawHeaders, name: str) -> list[str]:
    """Give all that is said in headers of a name."""
    wanted = name.lower().encode()
    return [value.decode("latin-1") for given, value in headers if given == wanted]


class People:
    """Says what people may do here, as the settings and the teams are now.

    ``team`` gives the team of a name.
    """

    def __init__(
        self, proxy: Proxy, rules: Sequence[Opening], team: Callable[[str], Team | None]
    ) -> None:
        self.proxy = proxy
        self._rules = tuple(rules)
        self._team = team

    def key(self, person: Person) -> Key:
        """Give the key that stands for a person. Raises NotWelcome.

        It is in no list, and the audit and the records of usage name it ``user:NAME``.
        """
        opens = opened(person.groups, self._rules)
        if opens is None:
            raise NotWelcome(
                f"{person.name} is signed in, but in no group that opens the console. "
                "See console_groups."
            )
        team = self._team(opens.team) if opens.team else None
        if opens.team and team is None:
            raise NotWelcome(
                f"There is no team {opens.team!a}, which console_groups names for {opens.group!a}."
            )
        terms = Terms(
            person.name, owner=person.name, team=team.id if team else None, role=opens.role
        )
        return Key(f"user:{person.name}", terms, 0.0)


def opened(groups: Iterable[str], rules: Sequence[Opening]) -> Opening | None:
    """Give what somebody's groups open: of several, the highest role; None for nothing."""
    mine = {*groups, EVERYBODY}
    found = [rule for rule in rules if rule.group in mine]
    return max(found, key=lambda rule: _RANKS.index(rule.role), default=None)


def is_name(text: str) -> bool:
    """Tell whether somebody may be called so."""
    return bool(text) and len(text) <= MAX_NAME and text.isprintable()


def in_order(groups: Iterable[str]) -> tuple[str, ...]:
    """Give groups without blanks around them, each once and sorted."""
    return tuple(sorted({one.strip() for one in groups} - {""}))
