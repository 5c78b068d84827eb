"""/admin/models, /admin/live, /admin/health, /admin/audit: what is served, runs, is wrong, was done."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from admin.office import NOW, Office
from api.small_app import SERVED
from api.test_running import BUSY
from emblem import __version__
from emblem.accounts import Actor
from emblem.api.admin.desk import Desk
from emblem.api.admin.state import Inside, Recording, State
from emblem.errors import LedgerUnavailable
from emblem.types import CacheState, Occupancy


def test_every_name_is_listed_with_its_space_and_what_runs_under_it(office: Office) -> None:
    office.running.says = Occupancy((BUSY,), 5000)
    found = {one["id"]: one for one in office.get("/admin/models").json["data"]}
    assert list(found) == [one.name for one in SERVED]
    assert found["mine"]["alias_of"] == "tiny"
    assert found["acme/four"]["dimensions"] == 4
    assert found["tiny"]["identity"] == SERVED[0].space_identity
    assert found["mine"]["running"] == found["tiny"]["running"]
    assert found["tiny"]["running"]["state"] == "loaded"
    assert found["asking"]["running"] is None


def test_what_runs_is_what_ps_says_and_how_fast_it_goes(office: Office) -> None:
    cache = CacheState(3, 600, 1000, hits=9, misses=3)
    office.running.says = Occupancy((BUSY,), 5000, cache=cache)
    live = office.get("/admin/live").json
    shown = office.get("/ps").json
    assert {name: live[name] for name in shown} == shown
    assert (live["at"], live["cache_hit_rate"]) == (NOW, 0.75)
    assert live["tokens_per_second"] is None  # nobody has asked before


@pytest.fixture
def rate(office: Office) -> Callable[[float, int], float | None]:
    state = State(Desk(), office.ledger, office.service, Inside(""))
    return lambda now, tokens: state._rate(now, tokens)


def test_the_rate_is_that_of_the_last_ten_seconds(rate: Callable[..., Any]) -> None:
    assert rate(100, 0) is None
    assert rate(102, 100) == 50.0
    assert rate(102, 100) == 50.0  # a second console asks at the same moment
    assert rate(109, 800) == 88.9
    assert rate(112, 1000) == 90.0  # since 102
    assert rate(200, 1000) is None  # nobody asked for long


def test_a_model_that_is_closed_takes_its_tokens_with_it(rate: Callable[..., Any]) -> None:
    rate(100, 1000)
    assert rate(101, 10) is None
    assert rate(102, 30) == 20.0


def test_a_server_that_is_well_says_so(office: Office) -> None:
    health = office.get("/admin/health").json
    assert (health["status"], health["version"]) == ("ok", __version__)
    assert (health["database"]["problem"], health["database"]["name"]) == (None, "emblem.db")
    assert (health["limits"], health["models"]) == ({"problem": None}, [])
    assert health["uptime_s"] > 0


def test_whatever_is_wrong_is_said(folder: Path) -> None:
    inside = Inside("x", limits_problem=lambda: "Redis is away", recording=lambda: Recording(3, 1))
    with closing(Office(folder, inside)) as office:
        office.service._embedders["tiny"].says = "is shutting down"  # type: ignore[attr-defined]
        health = office.get("/admin/health").json
    assert health["status"] == "degraded"
    assert health["limits"] == {"problem": "Redis is away"}
    assert health["usage"] == {"waiting": 3, "lost": 1}
    assert health["models"] == ["tiny is shutting down"]


def test_a_database_that_is_away_is_said_in_one_line_and_health_still_answers(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert office.opens(office.secret)

    def away(*_: object, **__: object) -> Any:
        raise LedgerUnavailable("the ledger x cannot be used: it is away")

    for name in ("version", "search", "issue"):
        monkeypatch.setattr(office.ledger.keys, name, away)
    health = office.get("/admin/health")
    assert (health.status, health.json["status"]) == (200, "degraded")
    assert health.json["database"]["problem"] == "the ledger x cannot be used: it is away"
    for method, body in (("GET", None), ("POST", {"name": "x"})):
        reply = office.send(method, "/admin/keys", body)
        assert (reply.status, reply.error["code"]) == (503, "ledger_unavailable")
        assert reply.error["message"] == "the ledger x cannot be used: it is away"
        assert reply.headers["retry-after"] == "1"


def test_the_audit_is_found_by_who_what_which_and_when(office: Office) -> None:
    first = office.make("first")
    office.clock.at += 100
    office.ledger.teams.create("search", now=office.clock.at, by=Actor("cli"))
    office.ledger.spaces.bind("name", "identity", "written", now=0.0)
    office.ledger.spaces.unbind("name", now=office.clock.at)

    def found(**query: object) -> list[str]:
        return [one["what"] for one in office.get("/admin/audit", **query).json["data"]]

    everything = ["space.unbind", "team.create", "key.create", "key.create"]
    assert found() == everything
    assert found(who=office.admin.id) == found(subject=first["id"]) == ["key.create"]
    assert found(what="key") == found(what="key.create") == ["key.create"] * 2
    assert found(what="k") == found(what="key%") == found(subject="' OR 1=1 --") == []
    assert found(since=NOW + 50) == everything[:2]
    assert found(until=NOW + 50) == everything[2:]
    page = office.get("/admin/audit", limit=3).json
    assert page["has_more"]
    rest = office.get("/admin/audit", limit=3, cursor=page["next_cursor"]).json
    assert [one["what"] for one in page["data"] + rest["data"]] == everything
    assert not rest["has_more"]
