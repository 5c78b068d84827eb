"""Teams in the database: whom keys belong to, and what holds for all of these keys together."""

import secrets as random
from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection, delete, func, insert, select, update

from emblem.accounts import CLI, Actor, Once, Quota, Team
from emblem.errors import InvalidRequest
from emblem.ledger import rows
from emblem.ledger.changing import changing, in_order
from emblem.ledger.database import Database
from emblem.ledger.doing_once import refuse_again, remember
from emblem.ledger.schema import keys, teams
from emblem.ledger.secret import ID_BYTES, team_id, team_name
from emblem.ledger.terms import globs, limited


class SqlTeamBook:
    """The teams in a database. See ``ports.TeamBook``."""

    def __init__(
        self, database: Database, *, random_bytes: Callable[[int], bytes] = random.token_bytes
    ) -> None:
        self._database = database
        self._random_bytes = random_bytes

    def create(
        self,
        name: str,
        models: tuple[str, ...] = (),
        quota: Quota = Quota(),  # noqa: B008 - it is frozen
        *,
        now: float,
        by: Actor = CLI,
        once: Once | None = None,
    ) -> Team:
        """Make a team; raises InvalidRequest where the name is taken."""
        new = _checked(Team(team_id(self._random_bytes(ID_BYTES)), name, now, models, quota))
        with changing(self._database, now, by) as change:
            refuse_again(change, once)
            _check_name(change.connection, new)
            values = _columns(new)
            change.connection.execute(insert(teams).values(id=new.id, created=now, **values))
            change.note("team.create", new.id, rows.given(values))
            remember(change, once, new.id)
        return new

    def every(self) -> list[Team]:
        """Every team, by name."""
        with self._database.read() as connection:
            found = connection.execute(select(teams).order_by(teams.c.name))
            return [rows.team_of(row) for row in found]

    def change(
        self, team_id: str, how: Callable[[Team], Team], *, now: float, by: Actor = CLI
    ) -> Team:
        """Give a team another name, models or limits, made of what it has in the same transaction."""
        with changing(self._database, now, by) as change:
            before = _get(change.connection, team_id)
            after = replace(_checked(how(before)), id=before.id, created=before.created)
            if after == before:
                return before
            _check_name(change.connection, after)
            values = _columns(after)
            change.connection.execute(update(teams).where(teams.c.id == team_id).values(values))
            change.note("team.change", team_id, rows.differences(_columns(before), values))
            return after

    def delete(self, team_id: str, *, now: float, by: Actor = CLI) -> None:
        """Forget a team that no live key belongs to; its revoked keys belong to none from then on."""
        own = keys.c.team_id == team_id
        live = select(func.count()).select_from(keys).where(own, keys.c.revoked.is_(None))
        with changing(self._database, now, by) as change:
            team = _get(change.connection, team_id)
            if count := change.connection.execute(live).scalar_one():
                raise InvalidRequest(
                    f"{count} live {'keys belong' if count > 1 else 'key belongs'} to the team "
                    f"{team.name!r}; revoke or move what belongs to it first"
                )
            change.connection.execute(in_order(select(keys.c.id).where(own)))
            change.connection.execute(update(keys).where(own).values(team_id=None))
            change.connection.execute(delete(teams).where(teams.c.id == team_id))
            change.note("team.delete", team_id, {"name": team.name})


def _checked(team: Team) -> Team:
    return replace(
        team, name=team_name(team.name), models=globs(team.models), quota=limited(team.quota)
    )


def _columns(team: Team) -> dict[str, object]:
    return {"name": team.name, "models": list(team.models), **rows.quota_columns(team.quota)}


def _get(connection: Connection, team_id: str) -> Team:
    row = connection.execute(select(teams).where(teams.c.id == team_id)).one_or_none()
    if row is None:
        raise InvalidRequest(f"there is no team {team_id!r}", param="team")
    return rows.team_of(row)


def _check_name(connection: Connection, team: Team) -> None:
    same = select(teams.c.id).where(teams.c.name == team.name, teams.c.id != team.id)
    if connection.execute(same).first() is not None:
        raise InvalidRequest(f"there is a team {team.name!r} already", param="name")
