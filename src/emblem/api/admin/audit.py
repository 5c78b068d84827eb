"""``/admin/audit``: who changed what, when and from where."""

from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from emblem.accounts import Change, ChangesWanted
from emblem.api.admin.desk import Asked, Desk, answer
from emblem.api.admin.pages import Cursors, Number, size
from emblem.api.admin.query import Query
from emblem.core.refusals import money
from emblem.ports import Ledger

_CURSORS: Cursors[Number] = Cursors(Number)


class ChangeItem(msgspec.Struct, frozen=True, kw_only=True):
    """One line. ``who`` is the id of a key or "cli", ``at`` seconds since the epoch.

    ``who_name`` and ``subject_name`` are what keys and teams are called now, null where there is
    none of that id.
    """

    id: int
    at: float
    who: str
    who_name: str | None
    what: str
    subject: str
    subject_name: str | None
    source: str
    details: dict[str, Any]


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit, the newest first."""

    object: str = "list"
    data: list[ChangeItem]
    has_more: bool
    next_cursor: str | None


class Audit:
    """Answers what is asked of the audit."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [self._desk.route("/admin/audit", get=self.listed)]

    async def listed(self, asked: Asked) -> Response:
        """Give a page of the audit, the newest line first."""
        query = asked.query("limit", "cursor", "subject", "who", "what", "since", "until")
        most, place = size(query), _CURSORS.read(query)
        return answer(await self._desk.ask(partial(self._page, query, most, place)))

    def _page(self, query: Query, most: int, place: int | None) -> ChangeList:
        now = self._desk.clock()
        until = query.moment("until", now)
        wanted = ChangesWanted(
            subject=query.text("subject") or None,
            who=query.text("who") or None,
            what=query.text("what") or None,
            since=query.moment("since", now) or 0.0,
        )
        if until is not None:
            wanted = ChangesWanted(wanted.subject, wanted.who, wanted.what, wanted.since, until)
        found = self._ledger.audit.changes(limit=most + 1, before=place, wanted=wanted)
        shown, more = found[:most], len(found) > most
        names = self._names(shown)
        return ChangeList(
            data=[_item(one, names) for one in shown],
            has_more=more,
            next_cursor=_CURSORS.write(shown[-1].id or 0) if more else None,
        )

    def _names(self, changes: list[Change]) -> dict[str, str]:
        ids = {one.who for one in changes} | {one.subject for one in changes}
        teams = {team.id: team.name for team in self._ledger.teams.every()}
        return {**teams, **self._ledger.keys.names(ids)}


def _item(one: Change, names: dict[str, str]) -> ChangeItem:
    return ChangeItem(
        id=one.id or 0,
        at=one.at,
        who=one.who,
        who_name=names.get(one.who),
        what=one.what,
        subject=one.subject,
        subject_name=names.get(one.subject),
        source=one.source,
        details=dict(_as_written(*detail) for detail in one.details.items()),
    )


def _as_written(name: str, value: Any) -> tuple[str, Any]:
    """Give a detail under the name, and in the unit, that it has in the other answers."""
    if name == "team_id":
        return "team", value
    if name != "cost_per_month":
        return name, value
    if isinstance(value, dict):
        return "budget_per_month", {when: _money(amount) for when, amount in value.items()}
    return "budget_per_month", _money(value)


def _money(billionths: Any) -> str | None:
    return money(billionths) if isinstance(billionths, int) else None
