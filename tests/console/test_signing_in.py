"""To a provider of OpenID Connect and back, and everything that may come back instead."""

import shutil
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from admin.office import FILE
from api.asking import Reply
from console.house import House, Visitor
from console.pretended import ISSUER, KEY, NEWER, NOW, SECRET, SETTINGS, URL, Pretended
from emblem.accounts import Quota
from emblem.api.console.attempts import LIFE_S, attempt, sealed, unsealed
from emblem.api.console.provider import Provider
from emblem.api.console.shelves import Shelf, shared_secret

CROSS = {"Sec-Fetch-Site": "cross-site", "Content-Type": ""}


@pytest.fixture
def pretended() -> Pretended:
    return Pretended()


@pytest.fixture
def house(
    empty_ledger: Path, tmp_path: Path, shelf: Shelf, pretended: Pretended
) -> Iterator[House]:
    shutil.copyfile(empty_ledger, tmp_path / FILE)
    provider = Provider(SETTINGS, pretended.transport())
    with closing(House(tmp_path, shelf=shelf, provider=provider)) as made:
        yield made


def leave(visitor: Visitor, pretended: Pretended) -> dict[str, str]:
    """Begin to sign in, and give what the provider is asked for."""
    reply = visitor.send("GET", "/console/oidc/start")
    assert reply.status == 303
    query = parse_qs(urlsplit(reply.headers["location"]).query)
    asked = {name: one[0] for name, one in query.items()}
    pretended.nonce = asked["nonce"]
    return asked


def come_back(visitor: Visitor, **given: str) -> Reply:
    """Be sent back by the provider, with a cookie of this attempt alone, as browsers do it."""
    query = "&".join(f"{name}={value}" for name, value in given.items())
    return visitor.send("GET", f"/console/oidc/callback?{query}", None, CROSS)


def sign_in(house: House, pretended: Pretended) -> Visitor:
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    reply = come_back(visitor, code="c-1", state=asked["state"], iss=ISSUER)
    assert (reply.status, reply.headers["location"]) == (303, f"{URL}/console"), reply.body
    visitor.cookie = session_of(reply)
    visitor.send("GET", "/console/session")
    return visitor


def cookies_of(reply: Reply) -> list[str]:
    return reply.headers.get("set-cookie", "").split("\n")


def session_of(reply: Reply) -> str:
    (one,) = (one for one in cookies_of(reply) if one.startswith("emblem_session="))
    return one.partition(";")[0]


def refused(reply: Reply, status: int = 403) -> str:
    """Check that nobody was signed in, and give what the page says."""
    assert reply.status == status
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "emblem_session" not in reply.headers.get("set-cookie", "")
    return reply.body.decode()


def test_the_provider_is_asked_for_a_code_with_state_nonce_and_challenge(
    house: House, pretended: Pretended
) -> None:
    asked = leave(house.visitor(), pretended)
    again = leave(house.visitor(), pretended)
    varying = ("state", "nonce", "code_challenge")
    assert all(len(asked[name]) >= 43 and asked[name] != again[name] for name in varying)
    assert {name: one for name, one in asked.items() if name not in varying} == {
        "response_type": "code",
        "client_id": "emblem",
        "redirect_uri": f"{URL}/console/oidc/callback",
        "scope": "openid profile email",
        "code_challenge_method": "S256",
    }


def test_the_cookie_of_an_attempt_comes_back_from_another_site_and_no_script_reads_it(
    house: House,
) -> None:
    reply = house.visitor().send("GET", "/console/oidc/start")
    given = reply.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=lax", "Secure", "Path=/", "Max-Age=600"} <= set(given)


def test_somebody_of_a_group_comes_in_with_its_role_and_the_code_is_proven(
    house: House, pretended: Pretended
) -> None:
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    reply = come_back(visitor, code="c-1", state=asked["state"], iss=ISSUER)
    cookies = cookies_of(reply)
    (session,) = (one for one in cookies if "emblem_session=" in one)
    assert {"HttpOnly", "SameSite=strict", "Secure", "Path=/"} <= set(session.split("; "))
    assert any(one.startswith('emblem_sign_in=""') and "Max-Age=0" in one for one in cookies)
    (form,) = pretended.forms
    challenge = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
    assert (challenge.decode(), form["code"]) == (asked["code_challenge"], "c-1")
    assert form["redirect_uri"] == asked["redirect_uri"]
    name, _, secret = (
        b64decode(pretended.authorizations[0].removeprefix("Basic ")).decode().partition(":")
    )
    assert (name, secret) == ("emblem", "s%3Aec+ret%251")
    assert SECRET not in str(form)

    visitor.cookie = session_of(reply)
    said = visitor.send("GET", "/console/session").json
    assert (said["name"], said["role"], said["may_leave"]) == ("ann", "admin", True)
    made = visitor.send("POST", "/admin/keys", {"name": "laptop"}).json
    (line,) = visitor.send("GET", f"/admin/audit?subject={made['id']}").json["data"]
    assert line["who"] == "user:ann"
    assert visitor.send("DELETE", "/console/session").json["signed_in"] is False
    visitor.cookie = session_of(reply)
    assert visitor.status() == 401


def test_the_page_is_told_where_one_signs_in(house: House) -> None:
    ways = house.visitor().send("GET", "/console/session").json["ways"]
    assert ways["oidc"] == f"{URL}/console/oidc/start"
    assert ways["provider"] == "id.example.com"


def test_a_group_s_team_is_whom_its_people_are_charged_with(
    house: House, pretended: Pretended
) -> None:
    team = house.office.ledger.teams.create("lab", quota=Quota(requests_per_minute=1), now=1.0)
    house.office.ring.refresh()
    pretended.said = {"groups": ["research"], "preferred_username": "eve"}
    eve = sign_in(house, pretended)
    assert eve.status() == 403  # no administrator
    asked = [eve.send("POST", "/v1/embeddings", {"model": "tiny", "input": "a"}) for _ in range(2)]
    assert [one.status for one in asked] == [200, 429]
    house.office.ledger.teams.delete(team.id, now=2.0)
    house.office.ring.refresh()
    assert eve.send("POST", "/v1/embeddings", {"model": "tiny", "input": "a"}).status == 401


def test_groups_that_only_the_provider_s_own_answer_has_are_asked_for(
    house: House, pretended: Pretended
) -> None:
    pretended.said = {"groups": None, "preferred_username": None}
    pretended.told = {"groups": ["platform"], "preferred_username": "ann", "nonce": "x"}
    assert sign_in(house, pretended).status() == 200
    pretended.told["sub"] = "u-2"
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    reply = come_back(visitor, code="c-1", state=asked["state"], iss=ISSUER)
    assert "somebody else" in refused(reply, 502)


@pytest.mark.parametrize(
    ("groups", "says"),
    [(["staff"], "in no group that opens"), (["lost"], "no team &#x27;nowhere&#x27;")],
)
def test_somebody_without_a_group_that_opens_anything_is_told_so(
    house: House, pretended: Pretended, groups: list[str], says: str
) -> None:
    pretended.said = {"groups": groups, "preferred_username": "<img src=x onerror=alert(1)>"}
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    page = refused(come_back(visitor, code="c-1", state=asked["state"], iss=ISSUER))
    assert says in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"state": "x" * 43}, "another attempt"),
        ({"state": ""}, "another attempt"),
        ({"state": "%C3%A9"}, "another attempt"),
        ({"iss": "https://id.example.com/other"}, "another provider"),
        ({"iss": ""}, "another provider"),
        ({"code": ""}, "without a code"),
        ({"error": "access_denied"}, "answered with access_denied"),
        ({"error": "<b>call+0800</b>"}, "answered with an error"),
    ],
)
def test_an_answer_that_does_not_fit_signs_nobody_in(
    house: House, pretended: Pretended, changed: dict[str, str], says: str
) -> None:
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    given = {"code": "c-1", "state": asked["state"], "iss": ISSUER, **changed}
    assert says in refused(come_back(visitor, **given))
    assert "/realm/token" not in pretended.asked


def test_an_answer_must_name_its_provider_where_that_says_it_always_does(
    house: House, pretended: Pretended
) -> None:
    pretended.described = {"authorization_response_iss_parameter_supported": True}
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    assert "another provider" in refused(come_back(visitor, code="c", state=asked["state"]))


@pytest.mark.parametrize(
    "cookie", ["", "emblem_sign_in=a.b", "emblem_sign_in=.", "emblem_sign_in=é"]
)
def test_a_browser_that_has_not_begun_here_is_not_signed_in(
    house: House, pretended: Pretended, cookie: str
) -> None:
    asked = leave(house.visitor(), pretended)
    victim = house.visitor(cookie=cookie)
    assert "begin again" in refused(come_back(victim, code="c", state=asked["state"], iss=ISSUER))


def test_an_attempt_is_over_after_ten_minutes(house: House, pretended: Pretended) -> None:
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    house.today.at += LIFE_S
    assert "10 minutes" in refused(come_back(visitor, code="c", state=asked["state"], iss=ISSUER))


@pytest.mark.parametrize(
    "said",
    [
        {"nonce": "m" * 43},
        {"aud": "another"},
        {"exp": NOW - 60},
        {"iss": "https://elsewhere.example"},
    ],
)
def test_a_token_that_does_not_fit_signs_nobody_in(
    house: House, pretended: Pretended, said: dict[str, object]
) -> None:
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    pretended.said = said
    refused(come_back(visitor, code="c", state=asked["state"], iss=ISSUER))


def test_a_provider_s_new_key_is_asked_for_but_not_for_every_token(
    house: House, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.api.console.provider.AGAIN_S", 0.0)
    sign_in(house, pretended)
    pretended.signs_with, pretended.keys = NEWER, [KEY, NEWER]
    sign_in(house, pretended)
    sign_in(house, pretended)
    assert pretended.asked.count("/realm/jwks") == 2
    monkeypatch.undo()
    pretended.keys, pretended.signs_with = [KEY], KEY.generate_key("P-256", {"kid": "three"})
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    reply = come_back(visitor, code="c", state=asked["state"], iss=ISSUER)
    assert "does not publish" in refused(reply)
    assert pretended.asked.count("/realm/jwks") == 2


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ({"issuer": f"{ISSUER}/"}, "console_oidc_issuer must be that"),
        ({"token_endpoint": "http://id.example.com/token"}, "not https"),
        ({"jwks_uri": "file:///etc/passwd"}, "not https"),
        ({"id_token_signing_alg_values_supported": ["HS256", "none"]}, "in none of these ways"),
        ({"authorization_endpoint": 5}, "not understood"),
    ],
)
def test_a_provider_that_describes_itself_wrongly_is_not_asked_further(
    house: House, pretended: Pretended, described: dict[str, object], says: str
) -> None:
    pretended.described = described
    assert says in refused(house.visitor().send("GET", "/console/oidc/start"), 502)
    assert pretended.asked == ["/realm/.well-known/openid-configuration"]


@pytest.mark.parametrize("path", ["/realm/token", "/realm/jwks"])
@pytest.mark.parametrize("status", [302, 400, 500])
def test_a_provider_that_does_not_answer_is_said_to_be_the_one(
    house: House, pretended: Pretended, path: str, status: int
) -> None:
    pretended.status[path] = status
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    reply = come_back(visitor, code="c", state=asked["state"], iss=ISSUER)
    assert f"answered with {status}" in refused(reply, 502)


def test_too_many_at_once_are_told_to_come_again(
    house: House, pretended: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.api.console.signing_in.MAX_AT_ONCE", 0)
    visitor = house.visitor()
    asked = leave(visitor, pretended)
    reply = come_back(visitor, code="c", state=asked["state"], iss=ISSUER)
    assert "Too many" in refused(reply, 503)
    assert reply.headers["retry-after"] == "1"


def test_without_a_provider_there_is_no_such_address(empty_ledger: Path, tmp_path: Path) -> None:
    shutil.copyfile(empty_ledger, tmp_path / FILE)
    with closing(House(tmp_path)) as house:
        for path in ("/console/oidc/start", "/console/oidc/callback"):
            assert house.visitor().send("GET", path).status == 404
        assert house.visitor().send("GET", "/console/session").json["ways"]["oidc"] == ""


def test_an_attempt_is_read_only_as_this_server_sealed_it() -> None:
    one = attempt(lambda: "a" * 43, 100.0)
    cookie = sealed(one, b"k" * 32)
    assert unsealed(cookie, b"k" * 32, 100.0) == one
    assert unsealed(cookie, b"l" * 32, 100.0) is None
    assert unsealed(cookie, b"k" * 32, 99.0) is None
    other = urlsafe_b64encode(msgspec.json.encode(attempt(lambda: "b" * 43, 100.0)))
    assert unsealed(f"{other.decode()}.{cookie.partition('.')[2]}", b"k" * 32, 100.0) is None


def test_all_processes_of_a_server_seal_with_one_secret_that_only_its_user_reads(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "shared"
    first = shared_secret(folder)
    assert (shared_secret(folder), len(first)) == (first, 32)
    assert shared_secret(None) != shared_secret(None)
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
