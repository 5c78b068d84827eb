"""/admin/usage and /admin/usage/records: sums by fields, windows, CSV, pages."""

import base64
import csv
import io
from typing import Any

import pytest

from admin.office import NOW, Office
from emblem.accounts import Use


def use(name: str, at: float = NOW - 60, **given: Any) -> Use:
    plain: dict[str, Any] = {
        "key": "key-a",
        "team": None,
        "model": "tiny",
        "space": "tiny@0/8",
        "served_by": "local",
        "inputs": 2,
        "tokens": 10,
        "hits": 1,
        "status": 200,
        "ms": 12.0,
        "cost": 200_000_000,
    }
    return Use(id=name, at=at, **(plain | given))


@pytest.fixture
def used(office: Office) -> Office:
    team = office.ledger.teams.create("search", now=NOW)
    key, _ = office.key("laptop", team=team.id)
    office.ledger.usage.add(
        [
            use("r1", key=key.id, team=team.id),
            use("r2", key=key.id, team=team.id, model="asking", status=503, user="=1+1"),
            use("r3", NOW - 86_400, tags=("a", "b")),
            use("r4", NOW - 30 * 86_400),
        ]
    )
    return office


def test_all_of_the_last_seven_days_is_added_up(used: Office) -> None:
    found = used.get("/admin/usage").json
    assert (found["since"], found["until"], found["by"]) == (NOW - 7 * 86_400, NOW, [])
    total = found["total"]
    assert found["data"] == [total]
    assert (total["requests"], total["errors"], total["tokens"]) == (3, 1, 30)
    assert (total["inputs"], total["cache_hits"], total["cost"]) == (6, 3, "0.60")
    assert total["ms"]["p50"] == pytest.approx(12, rel=0.1)


def test_usage_is_grouped_and_keys_and_teams_are_named(used: Office) -> None:
    found = used.get("/admin/usage", by="team,key,model").json
    assert found["by"] == ["team", "key", "model"]
    named = [(one["names"], one["group"]["model"], one["requests"]) for one in found["data"]]
    assert named == [
        ({}, "tiny", 1),
        ({"team": "search", "key": "laptop"}, "asking", 1),
        ({"team": "search", "key": "laptop"}, "tiny", 1),
    ]
    assert found["total"]["requests"] == 3
    days = used.get("/admin/usage", by="day", since="2026-11-01").json["data"]
    assert [one["group"]["day"] for one in days] == ["2026-11-20", "2026-11-21"]


def test_the_total_is_that_of_the_groups_though_more_is_used_meanwhile(
    used: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = used.ledger.usage.summed

    def and_one_more(*asked: Any, **how: Any) -> Any:
        found = real(*asked, **how)
        used.ledger.usage.add([use("r5")])
        return found

    monkeypatch.setattr(used.ledger.usage, "summed", and_one_more)
    found = used.get("/admin/usage", by="key").json
    assert sum(one["requests"] for one in found["data"]) == found["total"]["requests"] == 3


def test_a_use_with_two_tags_is_in_both_groups_and_once_in_the_total(used: Office) -> None:
    found = used.get("/admin/usage", by="tag").json
    assert {one["group"]["tag"]: one["requests"] for one in found["data"]} == {
        "": 2,
        "a": 1,
        "b": 1,
    }
    assert found["total"]["requests"] == 3


def test_a_window_takes_who_what_and_when(used: Office) -> None:
    def requests(**query: Any) -> int:
        return int(used.get("/admin/usage", **query).json["total"]["requests"])

    assert requests(team="search") == 2
    assert requests(key="key-a") == requests(since="1d", until=NOW, key="key-a") == 1
    assert requests(key="key-a", since="365d") == 2
    assert requests(model="asking") == requests(until="2h") == 1
    assert requests(since=NOW - 61, until=f"{NOW:.0f}") == 2
    assert requests(since="2026-11-20", until="2026-11-20T23:59:59+00:00") == 1
    assert requests(model="' OR 1=1 --") == requests(key="'; DROP TABLE uses; --") == 0
    assert used.get("/admin/usage", percentiles="false").json["total"]["ms"] is None


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"by": "moon"}, "by"),
        ({"by": ""}, "by"),
        ({"by": "key,key"}, "by"),
        ({"by": "key,team,model,day"}, "by"),
        ({"since": "never"}, "since"),
        ({"since": "2026-13-01"}, "since"),
        ({"until": "9" * 13}, "until"),
        ({"since": "2026-11-21", "until": "2026-11-20"}, "until"),
        ({"format": "xml"}, "format"),
        ({"percentiles": "yes"}, "percentiles"),
        ({"team": "nobody"}, "team"),
        ({"model": "\0"}, "model"),
        ({"since": "401d"}, "since"),
        ({"by": "key,hour", "since": "32d"}, "since"),
        ({"by": "hour,minute", "since": "3d"}, "since"),
    ],
)
def test_a_question_that_cannot_be_meant_is_400(
    used: Office, query: dict[str, str], param: str
) -> None:
    reply = used.get("/admin/usage", **query)
    assert (reply.status, reply.error["param"]) == (400, param)


@pytest.mark.parametrize(
    "query",
    [
        {"since": "400d"},
        {"since": "400d", "until": "2099-01-01"},
        {"since": "2020-01-01", "until": "2021-01-31", "by": "day,key"},
        {"since": "31d", "by": "hour"},
        {"since": "2d", "by": "minute"},
    ],
)
def test_what_is_long_and_not_too_long_is_added_up(used: Office, query: dict[str, str]) -> None:
    assert used.get("/admin/usage", **query).status == 200


def test_more_than_a_server_adds_up_in_a_moment_is_400(
    used: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.api.admin.usage.MAX_READ", 2)
    reply = used.get("/admin/usage", since="1d")
    assert used.get("/admin/usage", since="2d").status == reply.status == 400
    assert "More than 2 sums and records" in reply.error["message"]


def test_no_more_records_are_paged_through_than_of_a_year_and_a_month(used: Office) -> None:
    reply = used.get("/admin/usage/records", since="401d")
    assert (reply.status, reply.error["param"]) == (400, "since")
    assert "400 days" in reply.error["message"]


def test_csv_has_the_same_numbers_and_no_formula(used: Office) -> None:
    reply = used.get("/admin/usage", by="user,key", format="csv")
    assert reply.headers["content-type"].startswith("text/csv")
    assert "usage.csv" in reply.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(reply.body.decode())))
    assert [row["user"] for row in rows] == ["", "", "'=1+1"]
    in_json = used.get("/admin/usage", by="user,key").json["data"]
    for row, one in zip(rows, in_json, strict=True):
        assert row["key_name"] == one["names"].get("key", "")
        for name in ("requests", "errors", "inputs", "tokens", "cache_hits", "cost"):
            assert row[name] == str(one[name])


def test_pages_lead_through_all_records_the_newest_first(used: Office) -> None:
    found, cursor = [], ""
    while cursor is not None:
        page = used.get("/admin/usage/records", since="365d", limit=1, cursor=cursor).json
        found += page["data"]
        cursor = page["next_cursor"]
    assert [one["id"] for one in found] == ["r2", "r1", "r3", "r4"]
    assert (found[0]["key_name"], found[0]["user"], found[0]["status"]) == ("laptop", "=1+1", 503)
    assert (found[2]["key_name"], found[2]["tags"], found[2]["cost"]) == (None, ["a", "b"], "0.20")
    only = used.get("/admin/usage/records", model="asking").json["data"]
    assert [one["id"] for one in only] == ["r2"]


def test_a_page_says_which_records_are_gone(used: Office) -> None:
    assert used.get("/admin/usage/records", since="365d").json["pruned_until"] is None
    used.ledger.usage.roll_up(NOW)
    used.ledger.usage.prune(NOW - 20 * 86_400)
    page = used.get("/admin/usage/records", since="365d").json
    assert page["pruned_until"] == NOW - 30 * 86_400 + 3600
    assert [one["id"] for one in page["data"]] == ["r2", "r1", "r3"]
    assert used.get("/admin/usage/records", since="7d").json["pruned_until"] is None


def test_no_use_at_all_is_an_empty_page_and_a_sum_of_nothing(office: Office) -> None:
    assert office.get("/admin/usage").json["total"]["requests"] == 0
    assert office.get("/admin/usage", by="key").json["data"] == []
    page = office.get("/admin/usage/records").json
    assert (page["data"], page["has_more"], page["next_cursor"]) == ([], False, None)


@pytest.mark.parametrize(
    "place", ['[1e300,"x"]', '[1e25,"x"]', '[-1,"x"]', '[1e999,"x"]', "[1]", "{"]
)
@pytest.mark.parametrize("path", ["/admin/usage/records", "/admin/keys"])
def test_a_forged_cursor_is_400(used: Office, path: str, place: str) -> None:
    cursor = base64.urlsafe_b64encode(place.encode()).rstrip(b"=").decode()
    reply = used.get(path, cursor=cursor)
    assert (reply.status, reply.error["param"]) == (400, "cursor")
