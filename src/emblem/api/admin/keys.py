"""``/admin/keys``: who may ask, for what and how much."""

from functools import partial

from starlette.responses import Response
from starlette.routing import Route

from emblem.accounts import Key, KeyState, KeysWanted, Once, Page, Role, Team, Terms
from emblem.api.admin.desk import Asked, Desk, answer, conflict, missing
from emblem.api.admin.once import REPEATED, once, reused
from emblem.api.admin.pages import Cursors, Place, size
from emblem.api.admin.query import Query
from emblem.api.admin.wire import (
    KeyChanges,
    KeyItem,
    KeyList,
    NewKey,
    Rotation,
    key_item,
    the_team,
    with_secret,
)
from emblem.api.problems import Problem, invalid
from emblem.core.permission import allows_source
from emblem.errors import InvalidRequest, Repeated
from emblem.ledger.secret import as_stored
from emblem.ledger.terms import networks, span
from emblem.ports import Ledger

MAX_OVERLAP_S = 366 * 86_400.0

_CURSORS: Cursors[Place] = Cursors(Place)


class Keys:
    """Answers what is asked of keys."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger

    def routes(self) -> list[Route]:
        """Give the routes."""
        route = self._desk.route
        return [
            route("/admin/keys", get=self.listed, post=self.create),
            route("/admin/keys/{id}", get=self.show, patch=self.change, delete=self.revoke),
            route("/admin/keys/{id}/rotate", post=self.rotate),
        ]

    async def listed(self, asked: Asked) -> Response:
        """Give a page of the keys, the newest first."""
        query = asked.query("limit", "cursor", "name", "team", "role", "state", "search")
        most, place = size(query), _CURSORS.read(query)
        return answer(await self._desk.ask(partial(self._page, query, most, place)))

    async def create(self, asked: Asked) -> Response:
        """Make a key, and show its secret this once."""
        body = await asked.body(NewKey)
        token = once(asked, "key.create", body)
        item, secret = await self._desk.change(partial(self._create, asked, body, token))
        if secret is None:
            return answer(with_secret(item, None), 200, **{REPEATED: "true"})
        return answer(with_secret(item, secret), 201, location=f"/admin/keys/{item.id}")

    async def show(self, asked: Asked) -> Response:
        """Give all that is known of one key."""
        asked.query()
        return answer(await self._desk.ask(lambda: self._item(self._get(asked.id))))

    async def change(self, asked: Asked) -> Response:
        """Change what a key allows; what is not given stays."""
        body = await asked.body(KeyChanges)
        return answer(await self._desk.change(partial(self._change, asked, body)))

    async def revoke(self, asked: Asked) -> Response:
        """Revoke a key, for good. A second time does nothing."""
        asked.query()
        return answer(await self._desk.change(partial(self._revoke, asked)))

    async def rotate(self, asked: Asked) -> Response:
        """Give a key a new secret, and show it this once."""
        body = await asked.body(Rotation)
        item, secret = await self._desk.change(partial(self._rotate, asked, _overlap_s(body)))
        return answer(with_secret(item, secret))

    def _page(self, query: Query, most: int, place: Place | None) -> KeyList:
        teams = self._teams()
        team = query.text("team")
        wanted = KeysWanted(
            name=as_stored(query.text("name")) or None,
            team=the_team(team, teams) if team else None,
            role=query.choice("role", Role),
            state=query.choice("state", KeyState),
            search=query.text("search").strip(),
        )
        now = self._desk.clock()
        page = Page(most + 1, place, newest_first=True)
        found = self._ledger.keys.search(wanted, page, now=now)
        shown, more = found[:most], len(found) > most
        return KeyList(
            data=[key_item(key, teams, now) for key in shown],
            has_more=more,
            next_cursor=_CURSORS.write(Place(shown[-1].created, shown[-1].id)) if more else None,
        )

    def _create(self, asked: Asked, body: NewKey, token: Once | None) -> tuple[KeyItem, str | None]:
        now = self._desk.clock()
        teams = self._teams()
        try:
            # First of all: what the body names may be called otherwise by now, or be gone.
            if token is not None:
                self._ledger.keys.refuse_again(token, now=now)
            terms = body.terms(Terms(body.name), teams, now)
            key, secret = self._ledger.keys.issue(terms, now=now, by=asked.by, once=token)
        except Repeated as before:
            if not before.same:
                raise reused() from None
            return self._item(self._get(before.subject)), None
        return key_item(key, teams, now), secret

    def _change(self, asked: Asked, body: KeyChanges) -> KeyItem:
        now = self._desk.clock()
        key, teams = self._live(asked.id), self._teams()

        def other(terms: Terms) -> Terms:
            changed = body.terms(terms, teams, now)
            if key.id == asked.by.who:
                _check_own(changed, asked.by.source, now)
            return changed

        changed = self._ledger.keys.change(key.id, other, now=now, by=asked.by)
        return key_item(changed, teams, now)

    def _revoke(self, asked: Asked) -> KeyItem:
        key = self._get(asked.id)
        if key.id == asked.by.who:
            raise _own("revoke itself")
        if key.revoked is None:
            self._ledger.keys.revoke(key.id, now=self._desk.clock(), by=asked.by)
        return self._item(self._get(key.id))

    def _rotate(self, asked: Asked, overlap_s: float) -> tuple[KeyItem, str]:
        key, now = self._live(asked.id), self._desk.clock()
        rotated, secret = self._ledger.keys.rotate(
            key.id, overlap_s=overlap_s, now=now, by=asked.by
        )
        return self._item(rotated), secret

    def _get(self, name: str) -> Key:
        key = self._ledger.keys.get(name) if name.isprintable() else None
        if key is None:
            raise missing("key", name)
        return key

    def _live(self, name: str) -> Key:
        key = self._get(name)
        if key.revoked is not None:
            raise conflict(f"The key {key.id} is revoked, for good.", "key_revoked", "id")
        return key

    def _item(self, key: Key) -> KeyItem:
        return key_item(key, self._teams(), self._desk.clock())

    def _teams(self) -> dict[str, Team]:
        return {team.id: team for team in self._ledger.teams.every()}


def _check_own(terms: Terms, source: str, now: float) -> None:
    """Refuse that a key closes this address to itself: so there is always an administrator left."""
    if terms.role is not Role.ADMIN:
        raise _own("give up its role")
    if terms.expires is not None and terms.expires <= now:
        raise _own("let itself expire")
    if not allows_source(networks(terms.sources), source):
        raise _own("forbid the address that it is used from")


def _own(what: str) -> Problem:
    return conflict(
        f"A key may not {what}: use another key of the role admin, or emblem keys on the machine.",
        "own_key",
        "id",
    )


def _overlap_s(body: Rotation) -> float:
    try:
        seconds = span(body.overlap)
    except InvalidRequest as error:
        raise invalid(f"The overlap cannot be read: {error}.", "overlap") from None
    if seconds > MAX_OVERLAP_S:
        raise invalid("An overlap may last 366d at most.", "overlap")
    return seconds
