"""What is recorded of the requests that are observed: those for vectors, of keys that are known."""

from collections.abc import Iterable

from emblem.accounts import Observed, Use
from emblem.ports import UsageLog

FIRST_ERROR = 400
CLIENT_LEFT = 499  # answered too late for whoever asked, and charged all the same


class UsageObserver:
    """Has a record kept of each request of the routes that do work; an ``Observer``.

    A record has the tokens and the cost that were charged: what was refused was not, and what failed
    was given back. So limits that are started from records go on where they were.
    """

    def __init__(self, log: UsageLog, routes: Iterable[str]) -> None:
        self._log = log
        self._routes = frozenset(routes)

    def observed(self, one: Observed) -> None:
        """Have a request recorded, unless nobody knows whose it is. Never waits."""
        if not one.key or one.route not in self._routes:
            return
        charged = one.status < FIRST_ERROR or one.status == CLIENT_LEFT
        tokens, cost = (one.tokens, one.cost) if charged else (0, 0)
        # By position, and in the order of Use: by name it takes twice as long.
        self._log.record(
            Use(
                one.id, one.at, one.key, one.team, one.model, one.space, one.served_by, one.inputs,
                tokens, one.hits, one.status, 1000 * one.seconds, cost, one.user, one.tags,
            )
        )  # fmt: skip
