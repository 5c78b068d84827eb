"""Who may administer: keys of the role admin, and nobody else; and what may be read of a request."""

import json

import pytest
from starlette.types import Receive, Scope, Send

from admin.office import Office
from api.asking import ask
from emblem.accounts import Role
from emblem.api.openapi import document

DOCUMENT = json.loads(document())
OPERATIONS = [
    (method.upper(), path.replace("{id}", "key_0123456789abcdef"))
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if path.startswith("/admin/")
]
each_operation = pytest.mark.parametrize(("method", "path"), OPERATIONS)


def test_every_route_is_described_and_every_description_has_a_route(office: Office) -> None:
    routes = {
        (method, route.path)
        for route in office.routes
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert {
        (method, path.replace("key_0123456789abcdef", "{id}")) for method, path in OPERATIONS
    } == routes


@each_operation
def test_without_a_key_it_is_401(office: Office, method: str, path: str) -> None:
    for key in (None, "sk-wrong-key-0123456789"):
        assert ask(office.app, method, path, key=key).status == 401


@each_operation
@pytest.mark.parametrize("role", [Role.INFERENCE, Role.READ])
def test_a_key_of_another_role_is_403_and_changes_nothing(
    office: Office, method: str, path: str, role: Role
) -> None:
    _, secret = office.key("other", role)
    before = office.ledger.keys.version()
    reply = office.send(method, path, {"name": "more"}, key=secret)
    assert (reply.status, reply.error["code"]) == (403, "permission_denied")
    assert "admin" in reply.error["message"]
    assert office.ledger.keys.version() == before


@each_operation
def test_the_routes_refuse_by_themselves_whoever_is_not_known(
    office: Office, method: str, path: str
) -> None:
    """Whatever stands before them may fail to look."""

    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {}
        await office.app._app(scope, receive, send)  # type: ignore[attr-defined]

    with pytest.raises(Exception, match="role admin"):
        ask(bare, method, path)


def test_where_no_key_is_asked_for_everybody_may_look_and_nobody_may_change(office: Office) -> None:
    office.app = office.application(None)
    assert office.get("/admin/keys").status == 200
    for method, path in OPERATIONS:
        if method != "GET":
            reply = office.send(method, path, {"name": "x"})
            assert (reply.status, reply.error["code"]) == (403, "permission_denied")
            assert "emblem keys" in reply.error["message"]
    assert len(office.ledger.keys.every()) == 1


def test_a_body_that_does_not_say_that_it_is_json_is_not_read(office: Office) -> None:
    """A page of another origin may send such a body; with this header it has to ask first."""
    for given in ("", "text/plain", "application/x-www-form-urlencoded"):
        reply = ask(
            office.app,
            "POST",
            "/admin/keys",
            b'{"name":"x"}',
            key=office.secret,
            headers={"Content-Type": given} if given else {},
        )
        assert reply.status == 415
    assert len(office.ledger.keys.every()) == 1


def test_an_answer_is_kept_by_no_cache(office: Office) -> None:
    reply = office.send("POST", "/admin/keys", {"name": "x"})
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("role=king", "role"),
        ("state=", "state"),
        ("cursor=x", "cursor"),
        ("cursor=WzEsMl0", "cursor"),
        ("cursor=WzEuMCwiXHUwMDAwIl0", "cursor"),
        ("search=%00", "search"),
        ("search=" + "x" * 257, "search"),
        ("name=%0a", "name"),
        ("team=nobody", "team"),
        ("nothing=1", None),
        ("search=%ff", None),
        ("&".join(["limit=1"] * 40), None),
        ("search=" + "x" * 9000, None),
    ],
)
def test_a_parameter_that_cannot_be_read_is_400_and_named(
    office: Office, query: str, param: str | None
) -> None:
    reply = office.send("GET", f"/admin/keys?{query}")
    assert (reply.status, reply.error["param"]) == (400, param)
    assert len(reply.error["message"]) < 400


@pytest.mark.parametrize(
    "path",
    [
        "/admin/keys/%00",
        "/admin/keys/key_'%20OR%201=1--",
        "/admin/keys/" + "x" * 5000,
        "/admin/keys/EMBLEM_API_KEY",
        "/admin/teams/%00",
        "/admin/teams/team_0123456789abcdef",
    ],
)
def test_an_id_that_nothing_has_is_404(office: Office, path: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        reply = office.send(method, path, {} if method == "PATCH" else None)
        assert (reply.status, reply.error["param"]) == (404, "id")
        assert reply.error["code"] == f"{path.split('/')[2].removesuffix('s')}_not_found"


def test_another_method_is_405_and_says_which_there_are(office: Office) -> None:
    reply = office.send("PUT", "/admin/keys")
    assert reply.status == 405
    assert set(reply.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b"{}", "name"),
        (b'{"name": 3}', "name"),
        (b'{"name": "\\ud800"}', None),
        (b"[" * 5000, None),
        (b'{"name": "x", "nothing": 1}', None),
        (b'{"name": "x", "role": "king"}', "role"),
        (b'{"name": "x", "requests_per_minute": 0}', "requests_per_minute"),
        (b'{"name": "x", "requests_per_minute": 1.5}', "requests_per_minute"),
        (b'{"name": "x", "requests_per_minute": true}', "requests_per_minute"),
        (b'{"name": "x", "tokens_per_minute": 75059993790}', "tokens_per_minute"),
        (b'{"name": "x", "tokens_per_day": 99999999999999999999999}', "tokens_per_day"),
        (b'{"name": "x", "budget_per_month": 5}', "budget_per_month"),
        (b'{"name": "x", "budget_per_month": "0"}', "budget_per_month"),
        (b'{"name": "x", "budget_per_month": "-1"}', "budget_per_month"),
        (b'{"name": "x", "budget_per_month": "1e5"}', "budget_per_month"),
        (b'{"name": "x", "budget_per_month": "4503600"}', "budget_per_month"),
        (b'{"name": "x", "expires": "yesterday"}', "expires"),
        (b'{"name": "x", "expires": 1}', "expires"),
        (b'{"name": "x", "expires": 1e400}', "expires"),
        (b'{"name": "x", "models": "bge-*"}', "models"),
        (b'{"name": "x", "models": ["a b"]}', "models"),
        (b'{"name": "x", "models": [1]}', "models"),
        (b'{"name": "x", "sources": ["10.0.0.1/8"]}', "sources"),
        (b'{"name": "x", "priority": "now"}', "priority"),
        (b'{"name": "x", "team": "nobody"}', "team"),
        (b'{"name": ""}', "name"),
        (b'{"name": "key_0123456789abcdef"}', "name"),
        (b'{"name": "a\\u0000b"}', "name"),
    ],
)
def test_a_body_that_cannot_be_meant_is_400_and_names_its_field(
    office: Office, body: bytes, param: str | None
) -> None:
    reply = office.send("POST", "/admin/keys", body)
    assert (reply.status, reply.error["param"]) == (400, param)
    assert len(office.ledger.keys.every()) == 1


def test_a_body_that_is_too_large_is_413(office: Office) -> None:
    reply = office.send("POST", "/admin/keys", {"name": "x" * 70_000})
    assert reply.status == 413
