"""The options that say what a key or a team allows, and what becomes of them. Pure, but for typer."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emblem.errors import InvalidRequest

if TYPE_CHECKING:
    from emblem.accounts import Quota, Team, Terms

NONE = "none"
ANY = "any"

_LIMITS = "Limits"
_RULES = "What it may do"


def _option(flag: str, metavar: str, text: str, panel: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=text, rich_help_panel=panel)


Rpm = _option("--rpm", "N", "requests per minute; none for no limit", _LIMITS)
Tpm = _option("--tpm", "N", "tokens per minute; none for no limit", _LIMITS)
Tpd = _option("--tpd", "N", "tokens per day, in UTC; none for no limit", _LIMITS)
Budget = _option("--budget", "MONEY", "cost per month, in UTC; none for no limit", _LIMITS)
Models = _option("--models", "GLOB", "models it may use, as often as needed; any", _RULES)
Sources = _option("--from", "CIDR", "networks it may be used from, as often as needed; any", _RULES)
Expires = _option("--expires", "WHEN", "a span (30d, 12h), a date (2030-12-31), or never", _RULES)
RoleOption = _option("--role", "ROLE", "inference, read or admin", _RULES)
TeamOption = _option("--team", "TEAM", "the team it belongs to; none", "Whose it is")
Owner = _option("--owner", "NAME", "whose it is", "Whose it is")
Priority = _option(
    "--priority", "LANE", "of requests that name none: interactive, bulk, auto", _RULES
)


@dataclass(frozen=True, slots=True)
class GivenLimits:
    """What was given for a team. None is not given, and leaves what there is."""

    rpm: Annotated[str | None, Rpm] = None
    tpm: Annotated[str | None, Tpm] = None
    tpd: Annotated[str | None, Tpd] = None
    budget: Annotated[str | None, Budget] = None
    models: Annotated[list[str] | None, Models] = None

    def quota(self, before: "Quota") -> "Quota":
        """Give the limits as they are to be. Raises InvalidRequest."""
        given = {
            "requests_per_minute": _count(self.rpm, "--rpm"),
            "tokens_per_minute": _count(self.tpm, "--tpm"),
            "tokens_per_day": _count(self.tpd, "--tpd"),
            "cost_per_month": _money(self.budget),
        }
        return replace(before, **{name: one[0] for name, one in given.items() if one})

    def globs(self, before: tuple[str, ...]) -> tuple[str, ...]:
        """Give the models as they are to be."""
        return before if self.models is None else _listed(self.models)


@dataclass(frozen=True, slots=True)
class GivenTerms(GivenLimits):
    """What was given for a key. None is not given, and leaves what there is."""

    sources: Annotated[list[str] | None, Sources] = None
    expires: Annotated[str | None, Expires] = None
    role: Annotated[str | None, RoleOption] = None
    team: Annotated[str | None, TeamOption] = None
    owner: Annotated[str | None, Owner] = None
    priority: Annotated[str | None, Priority] = None

    def terms(self, before: "Terms", teams: "list[Team]", now: float) -> "Terms":
        """Give the terms as they are to be. Raises InvalidRequest."""
        from emblem.ledger import terms as reading

        return replace(
            before,
            models=self.globs(before.models),
            quota=self.quota(before.quota),
            sources=before.sources if self.sources is None else _listed(self.sources),
            expires=before.expires if self.expires is None else reading.moment(self.expires, now),
            role=before.role if self.role is None else reading.role(self.role),
            team=before.team if self.team is None else _team(self.team, teams),
            owner=before.owner if self.owner is None else self.owner,
            priority=before.priority if self.priority is None else reading.lane(self.priority),
        )


def taking(kind: type[GivenLimits]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of ``kind``; it gets them as its argument ``given``."""
    names = [field.name for field in fields(kind)]
    options = [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=None, annotation=field.type)
        for field in fields(kind)
    ]

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**values: Any) -> None:
            given = kind(**{name: values.pop(name) for name in names})
            command(given=given, **values)

        own = signature(command).parameters.values()
        kept = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own if one.name != "given"]
        # typer reads the signature; mypy knows no such attribute of a function.
        run.__signature__ = Signature([*kept, *options])  # type: ignore[attr-defined]
        return run

    return decorated


def _count(text: str | None, flag: str) -> tuple[int | None] | None:
    """Read a limit: None where it was not given, else a tuple of what it is to be."""
    if text is None:
        return None
    if text == NONE:
        return (None,)
    digits = text.replace("_", "").replace(",", "")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise InvalidRequest(f"{flag} must be a whole number, or none, not {text!r}")
    return (int(digits),)


def _money(text: str | None) -> tuple[int | None] | None:
    from emblem.ledger.terms import billionths

    if text is None:
        return None
    return (None if text == NONE else billionths(text),)


def _listed(given: list[str]) -> tuple[str, ...]:
    return () if given == [ANY] else tuple(given)


def _team(wanted: str, teams: "list[Team]") -> str | None:
    from emblem.cli.ledger import the_team

    return None if wanted == NONE else the_team(teams, wanted).id
