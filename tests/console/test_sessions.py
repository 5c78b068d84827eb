"""Who gets in, for how long, and what another site's page cannot do."""

from dataclasses import replace
from pathlib import Path

import pytest

from console.house import House, Visitor
from emblem.accounts import Role
from emblem.api.console.sessions import IDLE_S, LIFE_S, Sessions
from emblem.api.console.shelves import FolderShelf, Shelf
from emblem.ledger.secret import digest


@pytest.fixture
def ann(house: House) -> Visitor:
    """Somebody who is signed in as the administrator."""
    visitor = house.visitor()
    assert visitor.sign_in().status == 200
    return visitor


def test_a_session_opens_the_administration_and_the_models_as_its_key(ann: Visitor) -> None:
    assert ann.status() == 200
    made = ann.send("POST", "/admin/keys", {"name": "laptop"})
    assert made.status == 201
    (line,) = ann.send("GET", f"/admin/audit?subject={made.json['id']}").json["data"]
    assert line["who"] == ann.house.office.admin.id
    assert ann.send("POST", "/v1/embeddings", {"model": "tiny", "input": "a"}).status == 200


def test_a_session_is_who_it_says_and_no_more(ann: Visitor) -> None:
    said = ann.send("GET", "/console/session").json
    assert (said["signed_in"], said["name"], said["role"]) == (True, "root", "admin")
    assert ann.house.secret not in str(said)
    assert ann.house.visitor().send("GET", "/console/session").json["signed_in"] is False


def test_the_cookie_is_out_of_the_page_s_reach_and_stays_on_this_site(house: House) -> None:
    given = house.visitor().sign_in().headers["set-cookie"].split("; ")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(given)
    assert not any(part.startswith(("Secure", "Domain", "Max-Age")) for part in given)


def test_the_cookie_is_secure_behind_tls(house: House) -> None:
    assert "; Secure" in house.visitor(scheme="https").sign_in().headers["set-cookie"]
    behind = house.visitor(peer="10.9.8.7", headers={"X-Forwarded-Proto": "https"})
    assert "; Secure" in behind.sign_in().headers["set-cookie"]
    liar = house.visitor(peer="10.9.8.6", headers={"X-Forwarded-Proto": "https"})
    assert "; Secure" not in liar.sign_in().headers["set-cookie"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"key": "sk-wrong-key-0123456789"}, 401),
        ({"key": ""}, 401),
        ({"key": 5}, 400),
        ({}, 400),
        ([], 400),
        ({"key": "x" * 600}, 400),
        ({"key": "x" * 6000}, 413),
        ({"key": "' OR 1=1 --"}, 401),
    ],
)
def test_what_is_no_key_opens_nothing(house: House, body: object, status: int) -> None:
    reply = house.visitor().send("POST", "/console/session", body)
    assert reply.status == status
    assert reply.error["message"]
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("role", [Role.INFERENCE, Role.READ])
def test_only_an_administrator_s_key_signs_in(house: House, role: Role) -> None:
    _, secret = house.office.key("small", role)
    house.office.ring.refresh()
    reply = house.visitor().sign_in(secret)
    assert (reply.status, reply.error["code"]) == (403, "permission_denied")


def test_a_key_signs_in_only_from_where_it_may_be_used(house: House) -> None:
    _, secret = house.office.key("home", Role.ADMIN, sources=("10.0.0.0/8",))
    house.office.ring.refresh()
    assert house.visitor().sign_in(secret).status == 403
    ann = house.visitor(peer="10.1.2.3")
    assert ann.sign_in(secret).status == 200
    assert ann.status() == 200
    ann.peer = "192.0.2.1"  # a stolen cookie
    assert ann.status() == 401


def test_a_session_ends_when_its_key_is_revoked(house: House) -> None:
    key, secret = house.office.key("second", Role.ADMIN)
    house.office.ring.refresh()
    ann = house.visitor()
    ann.sign_in(secret)
    assert ann.status() == 200
    house.office.ledger.keys.revoke(key.id, now=house.office.clock.at)
    house.office.ring.refresh()
    assert ann.status() == 401


def test_a_session_has_the_role_that_its_key_has_now(house: House) -> None:
    key, secret = house.office.key("second", Role.ADMIN)
    house.office.ring.refresh()
    ann = house.visitor()
    ann.sign_in(secret)
    house.office.ledger.keys.change(
        key.id, lambda terms: replace(terms, role=Role.READ), now=house.office.clock.at
    )
    house.office.ring.refresh()
    assert ann.status() == 403


def test_signing_out_ends_the_session_and_takes_the_cookie_away(ann: Visitor) -> None:
    cookie, token = ann.cookie, ann.token
    reply = ann.send("DELETE", "/console/session")
    assert (reply.status, reply.json["signed_in"]) == (200, False)
    assert 'emblem_session=""' in reply.headers["set-cookie"]
    assert "Max-Age=0" in reply.headers["set-cookie"]
    ann.cookie, ann.token = cookie, token
    assert ann.status() == 401


def test_signing_in_again_ends_the_session_before(ann: Visitor) -> None:
    old = ann.house.visitor(cookie=ann.cookie, token=ann.token)
    ann.sign_in()
    assert (ann.status(), old.status()) == (200, 401)


def test_a_session_ends_after_an_hour_unused(ann: Visitor) -> None:
    for _ in range(3):
        ann.house.clock.at += IDLE_S - 1
        assert ann.status() == 200
    ann.house.clock.at += IDLE_S
    assert ann.status() == 401


def test_a_session_ends_after_eight_hours_however_much_it_is_used(ann: Visitor) -> None:
    start = ann.house.clock.at
    while ann.house.clock.at + IDLE_S / 2 < start + LIFE_S:
        ann.house.clock.at += IDLE_S / 2
        assert ann.status() == 200
    ann.house.clock.at = start + LIFE_S
    assert ann.status() == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"x-emblem-csrf": ""},
        {"x-emblem-csrf": "guessed"},
        {"x-emblem-csrf": "gues\xe9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example", "Host": "emblem.example"},
        {"Sec-Fetch-Site": "", "Origin": "null", "Host": "emblem.example"},
        {"Sec-Fetch-Site": "", "Origin": "http://emblem.example:81", "Host": "emblem.example"},
    ],
)
def test_another_site_s_page_can_do_nothing_with_the_cookie(
    ann: Visitor, headers: dict[str, str]
) -> None:
    requests = [
        ("POST", "/admin/keys", {"name": "planted", "role": "admin"}),
        ("POST", "/v1/embeddings", {"model": "tiny", "input": "a"}),
        ("DELETE", "/console/session", None),
        ("GET", "/admin/keys", None),
    ]
    for method, path, body in requests:
        reply = ann.send(method, path, body, headers)
        assert (reply.status, reply.error["code"]) == (403, "cross_site_request"), (method, path)
    names = [one["name"] for one in ann.send("GET", "/admin/keys").json["data"]]
    assert names == ["root"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "", "Origin": "https://Emblem.example", "Host": "emblem.example"},
        {"Sec-Fetch-Site": "", "Origin": "https://a.example", "X-Forwarded-Host": "a.example"},
        {"Sec-Fetch-Site": ""},
    ],
)
def test_the_console_s_own_page_is_let_through(ann: Visitor, headers: dict[str, str]) -> None:
    assert ann.send("POST", "/admin/keys", {"name": "laptop"}, headers).status == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
def test_another_site_s_form_cannot_sign_anybody_in(house: House, headers: dict[str, str]) -> None:
    reply = house.visitor().sign_in(**headers)
    assert reply.status in (403, 415)
    assert "set-cookie" not in reply.headers


def test_a_token_is_good_for_its_own_session_only(house: House, ann: Visitor) -> None:
    bob = house.visitor()
    bob.sign_in()
    bob.cookie = ann.cookie
    assert bob.status() == 403


def test_two_cookies_that_differ_are_none(ann: Visitor) -> None:
    ann.cookie = f"{ann.cookie}; emblem_session=planted"
    assert ann.status() == 401


def test_a_key_in_the_header_is_what_counts(house: House, ann: Visitor) -> None:
    _, secret = house.office.key("small")
    house.office.ring.refresh()
    reply = ann.send("GET", "/admin/keys", None, {"Authorization": f"Bearer {secret}"})
    assert reply.status == 403
    wrong = ann.send("GET", "/admin/keys", None, {"Authorization": "Bearer sk-wrong-0123456789"})
    assert wrong.status == 401


def test_the_oldest_session_gives_way_where_there_are_too_many(
    house: House, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.api.console.sessions.MAX_SESSIONS", 3)
    sessions = Sessions(house.office.ring, now=house.clock, shelf=shelf)
    mine = house.office.admin, digest(house.secret)
    first, _ = sessions.begin(*mine)
    for _ in range(3):
        house.clock.at += 1
        second, _ = sessions.begin(*mine)
    found = [
        sessions.find([(b"cookie", f"emblem_session={value}".encode())], "", "")
        for value in (first, second)
    ]
    assert found[0] is None
    assert found[1] is not None


def test_nobody_drives_others_out_by_signing_in_again_and_again(
    house: House, ann: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.api.console.sessions.MAX_EACH", 3)
    monkeypatch.setattr("emblem.api.console.sessions.MAX_SESSIONS", 5)
    named = {"X-Forwarded-User": "bob", "X-Forwarded-Groups": "platform"}
    visits = []
    for _ in range(6):
        house.clock.at += 1
        visits.append(house.visitor(peer="10.9.8.7", headers=named))
        visits[-1].send("GET", "/console/session")
    assert [one.status() for one in visits] == [401, 401, 401, 200, 200, 200]
    assert ann.status() == 200


def test_without_keys_everybody_is_in_and_may_change_nothing(no_keys: House) -> None:
    said = no_keys.visitor().send("GET", "/console/session").json
    assert (said["signed_in"], said["may_leave"], said["role"]) == (True, False, "admin")
    assert no_keys.visitor().status() == 200
    assert no_keys.visitor().send("POST", "/admin/keys", {"name": "x"}).status == 403


def test_every_process_that_shares_a_folder_knows_a_session_and_its_end(
    house: House, tmp_path: Path
) -> None:
    here, there = (
        Sessions(house.office.ring, now=house.clock, shelf=FolderShelf(tmp_path / "shared"))
        for _ in range(2)
    )
    value, made = here.begin(house.office.admin, digest(house.secret))
    headers = [(b"cookie", f"emblem_session={value}".encode())]
    found = there.find(headers, "127.0.0.1", "127.0.0.1")
    assert found is not None
    assert (found.token, found.key) == (made.token, house.office.admin)
    there.end(headers)
    assert here.find(headers, "127.0.0.1", "127.0.0.1") is None


def test_a_folder_of_sessions_is_for_one_user_and_has_neither_key_nor_cookie(
    house: House, tmp_path: Path
) -> None:
    folder = tmp_path / "shared"
    sessions = Sessions(house.office.ring, now=house.clock, shelf=FolderShelf(folder))
    value, _ = sessions.begin(house.office.admin, digest(house.secret))
    (file,) = folder.iterdir()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert value not in file.name + file.read_text()
    assert house.secret not in file.read_text()


def test_half_a_file_is_no_session(tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path)
    (tmp_path / "ab").write_text('{"token":')
    assert shelf.get("ab") is None
    assert list(shelf.every()) == []
