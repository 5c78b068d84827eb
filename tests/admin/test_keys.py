"""/admin/keys: made once, shown once, listed, changed, rotated, revoked."""

import asyncio
import json
from typing import Any

import pytest

from admin.office import NOW, Office
from api.asking import arriving, reply_to
from emblem.accounts import Role

TERMS: dict[str, Any] = {
    "owner": "Ada",
    "role": "read",
    "expires": int(NOW) + 3600,
    "models": ["bge-*", "tiny"],
    "sources": ["10.0.0.0/8", "::1/128"],
    "requests_per_minute": 60,
    "tokens_per_minute": 10_000,
    "tokens_per_day": 1_000_000,
    "budget_per_month": "12.50",
    "priority": "bulk",
}


def test_a_key_that_is_made_is_201_shows_its_secret_and_opens_the_server(office: Office) -> None:
    reply = office.send("POST", "/admin/keys", {"name": "laptop", **TERMS})
    assert reply.status == 201
    made = reply.json
    assert reply.headers["location"] == f"/admin/keys/{made['id']}"
    assert office.opens(made["key"])
    assert made["last_four"] == made["key"][-4:]
    assert {name: made[name] for name in TERMS} == TERMS
    assert (made["state"], made["created"], made["revoked"]) == ("live", int(NOW), None)


def test_a_secret_is_in_no_later_answer(office: Office) -> None:
    made = office.make()
    for path in ("/admin/keys", f"/admin/keys/{made['id']}", "/admin/audit"):
        assert made["key"] not in office.get(path).body.decode()
    assert office.get(f"/admin/keys/{made['id']}").json == {
        name: value for name, value in made.items() if name != "key"
    }


def test_what_is_left_out_or_null_is_not_limited(office: Office) -> None:
    for given in ({}, dict.fromkeys([*TERMS, "team"])):
        given.pop("role", None)
        made = office.make(**given)
        assert (made["role"], made["models"], made["sources"]) == ("inference", [], [])
        for name in ("expires", "tokens_per_day", "budget_per_month", "priority", "team"):
            assert made[name] is None


def test_a_key_may_expire_after_a_span(office: Office) -> None:
    assert office.make(expires="30d")["expires"] == int(NOW) + 30 * 86_400
    assert office.make(expires="2030-12-31")["expires"] == 1_924_905_600


def test_the_same_request_again_makes_no_second_key_and_shows_no_secret(office: Office) -> None:
    headers = {"Idempotency-Key": "deploy-7"}
    first = office.send("POST", "/admin/keys", {"name": "ci", "expires": "1d"}, headers=headers)
    office.clock.at += 60
    again = office.send("POST", "/admin/keys", b'{"expires":"1d", "name":"ci"}', headers=headers)
    assert (first.status, again.status) == (201, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json == {**first.json, "key": None}
    assert len(office.ledger.keys.every()) == 2


def test_the_same_request_again_is_known_though_its_team_has_another_name(office: Office) -> None:
    team = office.send("POST", "/admin/teams", {"name": "search"}).json
    headers = {"Idempotency-Key": "deploy-7"}
    body = {"name": "ci", "team": "search"}
    first = office.send("POST", "/admin/keys", body, headers=headers)
    office.send("PATCH", f"/admin/teams/{team['id']}", {"name": "finding"})
    again = office.send("POST", "/admin/keys", body, headers=headers)
    assert (again.status, again.json["id"]) == (200, first.json["id"])
    assert again.json["team_name"] == "finding"
    other = office.send("POST", "/admin/keys", {**body, "name": "x"}, headers=headers)
    assert (other.status, other.error["code"]) == (409, "idempotency_key_reused")


def test_the_same_name_for_another_request_is_409(office: Office) -> None:
    headers = {"Idempotency-Key": "deploy-7"}
    office.send("POST", "/admin/keys", {"name": "ci"}, headers=headers)
    reply = office.send("POST", "/admin/keys", {"name": "other"}, headers=headers)
    assert (reply.status, reply.error["code"]) == (409, "idempotency_key_reused")
    assert reply.error["param"] == "Idempotency-Key"
    assert len(office.ledger.keys.every()) == 2


def test_nobody_meets_the_requests_of_others_nor_those_of_the_day_before(office: Office) -> None:
    headers = {"Idempotency-Key": "deploy-7"}
    _, other = office.key("other", Role.ADMIN)
    body = {"name": "ci"}
    assert office.send("POST", "/admin/keys", body, headers=headers).status == 201
    assert office.send("POST", "/admin/keys", body, headers=headers, key=other).status == 201
    assert office.send("POST", "/admin/teams", body, headers=headers).status == 201
    office.clock.at += 86_401
    assert office.send("POST", "/admin/keys", body, headers=headers).status == 201


def test_a_request_that_was_refused_may_come_again_under_its_name(office: Office) -> None:
    headers = {"Idempotency-Key": "deploy-7"}
    assert office.send("POST", "/admin/keys", {"name": ""}, headers=headers).status == 400
    assert office.send("POST", "/admin/keys", {"name": "x"}, headers=headers).status == 201


@pytest.mark.parametrize("name", ["", "x" * 256, "é"])
def test_a_name_of_a_request_that_cannot_be_one_is_400(office: Office, name: str) -> None:
    reply = office.send("POST", "/admin/keys", {"name": "x"}, headers={"Idempotency-Key": name})
    assert (reply.status, reply.error["param"]) == (400, "Idempotency-Key")


def test_pages_lead_through_all_keys_once_the_newest_first(office: Office) -> None:
    made = [office.make(f"key {number}")["id"] for number in range(5)]  # all at the same moment
    office.clock.at += 1
    made.append(office.make("newest")["id"])
    found, cursor, pages = [], "", 0
    while cursor is not None:
        page = office.get("/admin/keys", limit=2, cursor=cursor).json
        found += [one["id"] for one in page["data"]]
        pages += 1
        assert page["has_more"] == (page["next_cursor"] is not None)
        cursor = page["next_cursor"]
        if pages == 1:
            office.clock.at += 1
            office.make("made meanwhile")
    assert found[0] == made[-1]
    assert sorted(found) == sorted([*made, office.admin.id])
    assert pages == 4


def test_keys_are_found_by_what_they_are(office: Office) -> None:
    team = office.send("POST", "/admin/teams", {"name": "search"}).json
    made = {
        "a": office.make("Ähre 50%", team="search", role="read"),
        "b": office.make("b_b", owner="Grace Hopper"),
        "c": office.make("bxb", expires=int(NOW) + 10),
    }
    office.send("DELETE", f"/admin/keys/{made['b']['id']}")
    office.clock.at += 10

    def found(**query: str) -> list[str]:
        data = office.get("/admin/keys", **query).json["data"]
        return sorted(one["name"] for one in data)

    assert found(team="search") == found(team=team["id"]) == found(role="read") == ["Ähre 50%"]
    assert found(state="live") == ["root", "Ähre 50%"]
    assert found(state="expired") == found(name="bxb") == ["bxb"]
    assert found(state="revoked") == found(search="hOPPER") == ["b_b"]
    assert found(search="50%") == ["Ähre 50%"]
    assert found(search="b_b") == ["b_b"]  # no pattern
    assert found(search=made["c"]["id"]) == ["bxb"]
    assert "bxb" in found(search=made["c"]["last_four"])
    assert found(search="' OR 1=1 --") == found(name="'; DROP TABLE keys; --") == []
    assert len(found()) == 4


def test_only_what_is_given_is_changed(office: Office) -> None:
    made = office.make(**TERMS)
    path = f"/admin/keys/{made['id']}"
    change = {"tokens_per_day": None, "name": "desk", "budget_per_month": "13.25"}
    changed = office.send("PATCH", path, change).json
    expected = {**made, **change}
    expected.pop("key")
    assert changed == expected == office.get(path).json
    assert office.send("PATCH", path, {}).json == expected
    (line, first) = office.get("/admin/audit", subject=made["id"]).json["data"]
    assert line["details"] == {
        "tokens_per_day": {"from": 1_000_000, "to": None},
        "name": {"from": "laptop", "to": "desk"},
        "budget_per_month": {"from": "12.50", "to": "13.25"},
    }
    assert first["details"]["budget_per_month"] == "12.50"


def test_a_rotated_key_has_two_secrets_until_the_old_one_ends(office: Office) -> None:
    office.clock.at -= 60
    made = office.make()
    office.clock.at += 60
    reply = office.send("POST", f"/admin/keys/{made['id']}/rotate", {"overlap": "1h"})
    assert reply.status == 200
    new = reply.json["key"]
    assert [one["expires"] for one in reply.json["secrets"]] == [int(NOW) + 3600, None]
    assert office.opens(made["key"])
    assert office.opens(new)
    office.clock.at += 3600
    assert not office.opens(made["key"])
    assert office.opens(new)


@pytest.mark.parametrize("overlap", ["1", "soon", "-1h", "367d", "999999w", 5, None])
def test_an_overlap_that_cannot_be_meant_is_400(office: Office, overlap: object) -> None:
    made = office.make()
    reply = office.send("POST", f"/admin/keys/{made['id']}/rotate", {"overlap": overlap})
    assert (reply.status, reply.error["param"]) == (400, "overlap")
    assert len(office.get(f"/admin/keys/{made['id']}").json["secrets"]) == 1


def test_a_revoked_key_opens_nothing_and_stays_as_it_is(office: Office) -> None:
    made = office.make()
    path = f"/admin/keys/{made['id']}"
    reply = office.send("DELETE", path)
    assert (reply.status, reply.json["state"], reply.json["revoked"]) == (200, "revoked", int(NOW))
    assert not office.opens(made["key"])
    office.clock.at += 5
    assert office.send("DELETE", path).json == reply.json
    for method, address, body in (("PATCH", path, {"name": "x"}), ("POST", f"{path}/rotate", {})):
        refused = office.send(method, address, body)
        assert (refused.status, refused.error["code"]) == (409, "key_revoked")
    assert len(office.get("/admin/audit", subject=made["id"]).json["data"]) == 2


def test_revoking_by_id_spares_others_of_the_same_name(office: Office) -> None:
    first, second = office.make("twin"), office.make("twin")
    office.send("DELETE", f"/admin/keys/{first['id']}")
    assert office.opens(second["key"])


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("DELETE", None),
        ("PATCH", {"role": "read"}),
        ("PATCH", {"expires": 1}),
        ("PATCH", {"sources": ["10.0.0.0/8"]}),
    ],
)
def test_a_key_may_not_lock_itself_out(office: Office, method: str, body: object) -> None:
    path = f"/admin/keys/{office.admin.id}"
    reply = office.send(method, path, body)
    assert (reply.status, reply.error["code"]) == (409, "own_key")
    _, other = office.key("other", Role.ADMIN)
    assert office.send(method, path, body, key=other).status == 200


def test_a_key_may_change_the_rest_of_itself_and_be_rotated(office: Office) -> None:
    path = f"/admin/keys/{office.admin.id}"
    body = {"sources": ["127.0.0.0/8"], "expires": "30d", "owner": "Ada"}
    assert office.send("PATCH", path, body).status == 200
    new = office.send("POST", f"{path}/rotate", {"overlap": "0"}).json["key"]
    assert office.opens(new)
    assert not office.opens(office.secret)


def test_the_audit_says_who_did_what_when_and_from_where(office: Office) -> None:
    made = office.make()
    path = f"/admin/keys/{made['id']}"
    office.send("PATCH", path, {"owner": "Ada"})
    office.send("POST", f"{path}/rotate", {})
    office.clock.at += 1
    office.send("DELETE", path)
    lines = office.get("/admin/audit", subject=made["id"]).json["data"]
    assert [one["what"] for one in lines] == [
        "key.revoke",
        "key.rotate",
        "key.change",
        "key.create",
    ]
    for line in lines:
        assert (line["who"], line["who_name"]) == (office.admin.id, "root")
        assert (line["subject_name"], line["source"]) == ("laptop", "127.0.0.1")
    assert [one["at"] for one in lines] == [NOW + 1, NOW, NOW, NOW]
    assert made["key"] not in json.dumps(lines)


def test_changes_that_come_at_once_are_all_made(office: Office) -> None:
    made = office.make()
    path = f"/admin/keys/{made['id']}"
    fields = {
        "owner": "Ada",
        "requests_per_minute": 7,
        "tokens_per_minute": 70,
        "tokens_per_day": 700,
        "budget_per_month": "7.00",
        "models": ["tiny"],
        "sources": ["10.0.0.0/8"],
        "priority": "bulk",
    }

    async def all_at_once() -> None:
        bodies = [json.dumps({name: value}).encode() for name, value in fields.items()]
        headers = {"Authorization": f"Bearer {office.secret}", "Content-Type": "application/json"}
        replies = await asyncio.gather(
            *(reply_to(office.app, "PATCH", path, arriving(body), headers) for body in bodies)
        )
        assert [one.status for one in replies if one] == [200] * len(fields)

    asyncio.run(all_at_once())
    now = office.get(path).json
    assert {name: now[name] for name in fields} == fields
