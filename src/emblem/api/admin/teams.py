"""``/admin/teams``: whom keys belong to, and what holds for all of them together."""

from dataclasses import replace
from functools import partial

from msgspec import UNSET
from starlette.responses import Response
from starlette.routing import Route

from emblem.accounts import Once, Quota, Team
from emblem.api.admin.desk import Asked, Desk, answer, missing
from emblem.api.admin.once import REPEATED, once, reused
from emblem.api.admin.pages import Cursors, Name, size
from emblem.api.admin.query import Query
from emblem.api.admin.wire import DeletedTeam, NewTeam, TeamChanges, TeamItem, TeamList, team_item
from emblem.errors import Repeated
from emblem.ledger.secret import as_stored
from emblem.ports import Ledger

_CURSORS: Cursors[Name] = Cursors(Name)


class Teams:
    """Answers what is asked of teams."""

    def __init__(self, desk: Desk, ledger: Ledger) -> None:
        self._desk = desk
        self._ledger = ledger

    def routes(self) -> list[Route]:
        """Give the routes."""
        route = self._desk.route
        return [
            route("/admin/teams", get=self.listed, post=self.create),
            route("/admin/teams/{id}", get=self.show, patch=self.change, delete=self.remove),
        ]

    async def listed(self, asked: Asked) -> Response:
        """Give a page of the teams, by name."""
        query = asked.query("limit", "cursor", "name", "search")
        most, place = size(query), _CURSORS.read(query)
        return answer(await self._desk.ask(partial(self._page, query, most, place)))

    async def create(self, asked: Asked) -> Response:
        """Make a team."""
        body = await asked.body(NewTeam)
        token = once(asked, "team.create", body)
        item, made = await self._desk.change(partial(self._create, asked, body, token))
        if not made:
            return answer(item, 200, **{REPEATED: "true"})
        return answer(item, 201, location=f"/admin/teams/{item.id}")

    async def show(self, asked: Asked) -> Response:
        """Give all that is known of one team."""
        asked.query()
        return answer(await self._desk.ask(lambda: team_item(self._get(asked.id))))

    async def change(self, asked: Asked) -> Response:
        """Change what a team allows; what is not given stays."""
        body = await asked.body(TeamChanges)
        return answer(await self._desk.change(partial(self._change, asked, body)))

    async def remove(self, asked: Asked) -> Response:
        """Forget a team that no live key belongs to."""
        asked.query()
        await self._desk.change(partial(self._remove, asked))
        return answer(DeletedTeam(id=asked.id))

    def _page(self, query: Query, most: int, place: Name | None) -> TeamList:
        name, part = as_stored(query.text("name")), query.text("search").strip().lower()
        found = [
            team
            for team in sorted(self._ledger.teams.every(), key=lambda team: team.name)
            if (place is None or team.name > place)
            and name in ("", team.name)
            and (part in team.name.lower() or part in team.id)
        ]
        more = len(found) > most
        return TeamList(
            data=[team_item(team) for team in found[:most]],
            has_more=more,
            next_cursor=_CURSORS.write(found[most - 1].name) if more else None,
        )

    def _create(self, asked: Asked, body: NewTeam, token: Once | None) -> tuple[TeamItem, bool]:
        now = self._desk.clock()
        globs, quota = body.globs(()), body.quota(Quota())
        try:
            team = self._ledger.teams.create(
                body.name, globs, quota, now=now, by=asked.by, once=token
            )
        except Repeated as before:
            if not before.same:
                raise reused() from None
            return team_item(self._get(before.subject)), False
        return team_item(team), True

    def _change(self, asked: Asked, body: TeamChanges) -> TeamItem:
        team = self._get(asked.id)

        def other(team: Team) -> Team:
            return replace(
                team,
                name=team.name if body.name is UNSET else body.name,
                models=body.globs(team.models),
                quota=body.quota(team.quota),
            )

        changed = self._ledger.teams.change(team.id, other, now=self._desk.clock(), by=asked.by)
        return team_item(changed)

    def _remove(self, asked: Asked) -> None:
        team = self._get(asked.id)
        self._ledger.teams.delete(team.id, now=self._desk.clock(), by=asked.by)

    def _get(self, name: str) -> Team:
        for team in self._ledger.teams.every():
            if team.id == name:
                return team
        raise missing("team", name)
