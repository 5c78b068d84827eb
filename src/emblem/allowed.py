"""Which of the names that are served a caller may ask for. Pure.

A key and its team may each have globs of names; both must allow. A name passes where a glob fits it
as it was asked for, or the name that is served, or that of the model which it stands for. Whoever
may not ask for a name is told what he would be told were there none.
"""

from collections.abc import Iterator
from dataclasses import replace

from emblem.accounts import Caller
from emblem.core.permission import allows_model
from emblem.errors import UnknownModel
from emblem.names import Names, Served

LISTED = "GET /v1/models lists what this API key may ask for."


def find(names: Names, name: str, caller: Caller) -> Served:
    """Find what answers to a name; see ``Names.resolve``.

    Raises UnknownModel, or DeploymentFailed for a model that is not known yet.
    """
    try:
        served = names.resolve(name)
    except UnknownModel:
        absent = names.absent(name)
        if absent is not None and may_ask(caller, name, absent.model):
            raise absent.why from None
        if not _restricted(caller) or _wrong_pin(names, name, caller):
            raise
        raise UnknownModel(name, LISTED) from None
    if not may_ask(caller, name, served.name, served.model.name):
        raise UnknownModel(name, LISTED)
    return served


def listed(names: Names, caller: Caller) -> Iterator[Served]:
    """Give what a caller may ask for, in the order of all.

    What may be asked for with its digest alone has that in its name.
    """
    for one in names:
        pinned = f"{one.name}@{one.pin}"
        if may_ask(caller, one.name, one.model.name):
            yield one
        elif may_ask(caller, pinned, one.name, one.model.name):
            yield replace(one, name=pinned)


def may_ask(caller: Caller, *names: str) -> bool:
    """Tell whether a caller may ask for what has these names."""
    team = caller.team
    return allows_model(caller.key.terms.models, *names) and (
        team is None or allows_model(team.models, *names)
    )


def _restricted(caller: Caller) -> bool:
    return bool(caller.key.terms.models) or (caller.team is not None and bool(caller.team.models))


def _wrong_pin(names: Names, name: str, caller: Caller) -> bool:
    """Tell whether only the digest is wrong of a name that the caller may ask for."""
    base, at, _ = name.rpartition("@")
    if not at:
        return False
    try:
        served = names.resolve(base)
    except UnknownModel:
        return False
    return may_ask(caller, served.name, served.model.name)
