"""Takes keys and teams over that were made elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from emblem.errors import InvalidRequest
from emblem.ledger.litellm import Skipped, Takeover, TheirKey
from emblem.ports import Ledger


@dataclass(frozen=True, slots=True)
class Taken:
    """What was made, or would be: names of teams and keys, and what was left out and why."""

    teams: tuple[str, ...]
    keys: tuple[TheirKey, ...]
    skipped: tuple[Skipped, ...]


def take_over(ledger: Ledger, found: Takeover, *, now: float, dry_run: bool = False) -> Taken:
    """Make the teams and adopt the keys that are not here yet; a second time makes nothing.

    A team that has the name of one here is that one, as it is. ``dry_run`` writes nothing.
    """
    teams = {team.name: team.id for team in ledger.teams.every()}
    held = {one.digest for key in ledger.keys.every() for one in key.secrets}
    new = [team for team in found.teams if team.name not in teams]
    skipped = [
        Skipped(key.terms.name, "it is here already") for key in found.keys if key.digest in held
    ]
    taken = [key for key in found.keys if key.digest not in held]
    if not dry_run:
        for team in list(new):
            try:
                made = ledger.teams.create(team.name, team.models, team.quota, now=now)
            except InvalidRequest as error:
                new.remove(team)
                skipped.append(Skipped(f"team {team.name}", str(error)))
            else:
                teams[team.name] = made.id
        for key in list(taken):
            try:
                _adopt(ledger, key, teams, now)
            except InvalidRequest as error:
                taken.remove(key)
                skipped.append(Skipped(key.terms.name, str(error)))
    names = tuple(team.name for team in new)
    return Taken(names, tuple(taken), (*found.skipped, *skipped))


def _adopt(ledger: Ledger, key: TheirKey, teams: Mapping[str, str], now: float) -> None:
    """Adopt a key into its team; without its team it would be wider than it was."""
    if key.team is not None and key.team not in teams:
        raise InvalidRequest("its team is not taken over")
    terms = replace(key.terms, team=None if key.team is None else teams[key.team])
    ledger.keys.adopt(terms, key.digest, key.last_four, now=now)
