"""``/admin/usage``: what everybody used, added up or request by request."""

import csv
import io
from collections.abc import Mapping
from enum import StrEnum
from functools import partial

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from emblem.accounts import By, Page, Sum, Use, Window
from emblem.api.admin.desk import Asked, Desk, answer, reply
from emblem.api.admin.pages import Cursors, Place, size
from emblem.api.admin.query import Query
from emblem.api.admin.wire import the_team
from emblem.api.problems import invalid
from emblem.core.refusals import money
from emblem.core.spreadsheet import cell
from emblem.ports import Ledger

MAX_GROUPED_BY = 3
MAX_GROUPS = 10_000
MAX_READ = 500_000  # sums and records that are added up for one answer: some seconds' work
DAY_S = 86_400.0
# Days that may be asked for at once, by the finest thing that they are grouped by.
MAX_DAYS = {By.MINUTE: 2, By.HOUR: 31}
MAX_DAYS_OTHERWISE = 400  # a year and a month
WINDOW = ("since", "until", "key", "team", "model")

_CURSORS: Cursors[Place] = Cursors(Place)
_NUMBERS = ("requests", "errors", "inputs", "tokens", "cache_hits", "cost")
_MS = ("p50_ms", "p95_ms", "p99_ms")


class Format(StrEnum):
    """How sums are written."""

    JSON = "json"
    CSV = "csv"


class Milliseconds(msgspec.Struct, frozen=True):
    """Percentiles of the answers that were no errors."""

    p50: float
    p95: float
    p99: float


class SumItem(msgspec.Struct, frozen=True, kw_only=True):
    """What was used. ``group`` has what it was grouped by, ``names`` what keys and teams are called.

    ``cost`` is a decimal number as text, in the currency of the prices.
    """

    group: dict[str, str]
    names: dict[str, str]
    requests: int
    errors: int
    inputs: int
    tokens: int
    cache_hits: int
    cost: str
    ms: Milliseconds | None


class UsageSums(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of a time, for each group and in all. Times are seconds since the epoch."""

    object: str = "admin.usage"
    since: float
    until: float
    by: list[By]
    data: list[SumItem]
    total: SumItem


class RecordItem(msgspec.Struct, frozen=True, kw_only=True):
    """One request. ``at`` is in seconds since the epoch."""

    id: str
    at: float
    key: str
    key_name: str | None
    team: str | None
    model: str
    space: str
    served_by: str
    inputs: int
    tokens: int
    cache_hits: int
    status: int
    ms: float
    cost: str
    user: str
    tags: list[str]


class RecordList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of records, the newest first.

    Those from before ``pruned_until`` are gone: only hourly sums are kept of them.
    """

    object: str = "list"
    data: list[RecordItem]
    has_more: bool
    next_cursor: str | None
    pruned_until: float | None


class Usage:
    """Answers what is asked of usage."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [
            self._desk.route("/admin/usage", get=self.sums),
            self._desk.route("/admin/usage/records", get=self.records),
        ]

    async def sums(self, asked: Asked) -> Response:
        """Give sums for each group, as JSON or CSV."""
        query = asked.query(*WINDOW, "by", "percentiles", "format")
        by = query.choices("by", By, MAX_GROUPED_BY)
        percentiles = query.flag("percentiles", default=True)
        form = query.choice("format", Format) or Format.JSON
        found = await self._desk.ask(partial(self._sums, query, by, percentiles))
        if form is Format.CSV:
            name = 'attachment; filename="usage.csv"'
            return reply(_csv(found), "text/csv", content_disposition=name)
        return answer(found)

    async def records(self, asked: Asked) -> Response:
        """Give a page of the records, the newest first."""
        query = asked.query(*WINDOW, "limit", "cursor")
        most, place = size(query), _CURSORS.read(query)
        return answer(await self._desk.ask(partial(self._records, query, most, place)))

    def _sums(self, query: Query, by: tuple[By, ...], percentiles: bool) -> UsageSums:
        window, book = self._window(query, by), self._ledger.usage
        found, total = book.summed(window, by, percentiles=percentiles, at_most=MAX_READ)
        if len(found) > MAX_GROUPS:
            raise invalid(
                f"There are {len(found)} groups, and {MAX_GROUPS} are shown at most. Ask for a "
                "shorter time or for fewer fields.",
                "by",
            )
        names = self._names(by, found)
        return UsageSums(
            since=window.since,
            until=window.until,
            by=list(by),
            data=[_sum(one, by, names) for one in found],
            total=_sum(total, (), {}),
        )

    def _records(self, query: Query, most: int, place: Place | None) -> RecordList:
        window = self._window(query)
        page = Page(most + 1, place, newest_first=True)
        found = self._ledger.usage.records(window, page)
        shown, more = found[:most], len(found) > most
        names = self._ledger.keys.names(one.key for one in shown)
        return RecordList(
            data=[_record(one, names) for one in shown],
            has_more=more,
            next_cursor=_CURSORS.write(Place(shown[-1].at, shown[-1].id)) if more else None,
            pruned_until=self._ledger.usage.pruned_until(window),
        )

    def _window(self, query: Query, by: tuple[By, ...] = ()) -> Window:
        now = self._desk.clock()
        since, until = query.moment("since", now), query.moment("until", now)
        team = query.text("team")
        window = Window(
            since=max(0.0, now - 7 * DAY_S) if since is None else since,
            until=now if until is None else until,
            key=query.text("key") or None,
            team=the_team(team, {one.id: one for one in self._ledger.teams.every()})
            if team
            else None,
            model=query.text("model") or None,
        )
        if window.until <= window.since:
            raise invalid("until must be later than since.", "until")
        _check_span(min(window.until, now) - window.since, by)
        return window

    def _names(self, by: tuple[By, ...], found: list[Sum]) -> dict[By, Mapping[str, str]]:
        names: dict[By, Mapping[str, str]] = {}
        if By.KEY in by:
            place = by.index(By.KEY)
            names[By.KEY] = self._ledger.keys.names({one.group[place] for one in found})
        if By.TEAM in by:
            names[By.TEAM] = {team.id: team.name for team in self._ledger.teams.every()}
        return names


def _check_span(seconds: float, by: tuple[By, ...]) -> None:
    """Refuse a longer time than is added up for one answer. What is to come does not count."""
    days, of = min(
        ((MAX_DAYS[one], f" by {one}") for one in by if one in MAX_DAYS),
        default=(MAX_DAYS_OTHERWISE, ""),
    )
    if seconds > days * DAY_S:
        raise invalid(
            f"since is more than {days} days before until, and usage{of} is given of so many at "
            "most. Ask for several times, or export it: emblem usage --export.",
            "since",
        )


def _sum(one: Sum, by: tuple[By, ...], names: Mapping[By, Mapping[str, str]]) -> SumItem:
    group = dict(zip(by, one.group, strict=True))
    called = {
        field.value: names[field][value]
        for field, value in group.items()
        if value in names.get(field, {})
    }
    return SumItem(
        group={field.value: value for field, value in group.items()},
        names=called,
        requests=one.requests,
        errors=one.errors,
        inputs=one.inputs,
        tokens=one.tokens,
        cache_hits=one.hits,
        cost=money(one.cost),
        ms=None if one.ms is None else Milliseconds(*(round(ms, 3) for ms in one.ms)),
    )


def _record(use: Use, names: Mapping[str, str]) -> RecordItem:
    return RecordItem(
        id=use.id,
        at=use.at,
        key=use.key,
        key_name=names.get(use.key),
        team=use.team,
        model=use.model,
        space=use.space,
        served_by=use.served_by,
        inputs=use.inputs,
        tokens=use.tokens,
        cache_hits=use.hits,
        status=use.status,
        ms=round(use.ms, 3),
        cost=money(use.cost),
        user=use.user,
        tags=list(use.tags),
    )


def _csv(found: UsageSums) -> bytes:
    """Write sums as CSV in UTF-8, a line for each group."""
    named = [field for field in found.by if field in (By.KEY, By.TEAM)]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    head = [*(field.value for field in found.by), *(f"{field}_name" for field in named)]
    writer.writerow([*head, *_NUMBERS, *_MS])
    for one in found.data:
        texts = [one.group[field] for field in found.by]
        texts += [one.names.get(field, "") for field in named]
        numbers = [getattr(one, name) for name in _NUMBERS]
        ms = ["", "", ""] if one.ms is None else [one.ms.p50, one.ms.p95, one.ms.p99]
        writer.writerow([*map(cell, texts), *numbers, *ms])
    return out.getvalue().encode()
