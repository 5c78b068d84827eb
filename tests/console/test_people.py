"""People whom a trusted proxy names."""

import pytest

from console.house import PROXY, House, Visitor
from emblem.accounts import Quota, Role
from emblem.api.console.people import Person, Proxy, opened
from emblem.api.proxies import BehindProxies
from emblem.config import Opening

ANN = {"X-Forwarded-User": "ann", "X-Forwarded-Groups": "staff, platform"}


def arrive(house: House, headers: dict[str, str] | None = None, peer: str = PROXY) -> Visitor:
    """Open the console as somebody whom a proxy names."""
    visitor = house.visitor(peer=peer, headers=dict(ANN if headers is None else headers))
    visitor.send("GET", "/console/session")
    return visitor


def test_whoever_a_trusted_proxy_names_is_signed_in_by_opening_the_console(house: House) -> None:
    ann = arrive(house)
    said = ann.send("GET", "/console/session").json
    assert (said["signed_in"], said["name"], said["role"]) == (True, "ann", "admin")
    assert said["may_leave"] is False
    made = ann.send("POST", "/admin/keys", {"name": "laptop"}).json
    (line,) = ann.send("GET", f"/admin/audit?subject={made['id']}").json["data"]
    assert (line["who"], line["source"]) == ("user:ann", PROXY)


@pytest.mark.parametrize("peer", ["10.9.8.6", "127.0.0.1", "", "unix"])
def test_nobody_else_may_say_who_somebody_is(house: House, peer: str) -> None:
    visitor = arrive(house, peer=peer)
    assert visitor.cookie == ""
    assert visitor.status() == 401


def test_a_header_that_is_there_twice_names_nobody_for_one_may_be_the_browser_s() -> None:
    proxy = Proxy("X-Forwarded-User", "X-Forwarded-Groups", (PROXY,))
    user, groups = (b"x-forwarded-user", b"ann"), (b"x-forwarded-groups", b"staff, lab")
    assert proxy.person([user, groups], PROXY) == Person("ann", ("lab", "staff"), by_proxy=True)
    assert proxy.person([user], PROXY) == Person("ann", (), by_proxy=True)
    for twice in ((b"x-forwarded-user", b"bob"), (b"x-forwarded-groups", b"platform")):
        assert proxy.person([twice, user, groups], PROXY) is None


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"X-Forwarded-User": "bob"}, "in no group"),
        ({"X-Forwarded-User": "bob", "X-Forwarded-Groups": "staff"}, "in no group"),
        ({"X-Forwarded-User": "bob", "X-Forwarded-Groups": "lost"}, "no team 'nowhere'"),
        ({"X-Forwarded-User": "", "X-Forwarded-Groups": "platform"}, ""),
        ({"X-Forwarded-User": "b" * 65, "X-Forwarded-Groups": "platform"}, ""),
    ],
)
def test_whoever_may_not_come_in_is_told_why(
    house: House, headers: dict[str, str], says: str
) -> None:
    visitor = arrive(house, headers)
    said = visitor.send("GET", "/console/session").json
    assert said["signed_in"] is False
    assert says in (said["problem"] or "")
    assert visitor.status() == 401


def test_a_group_s_team_is_whom_its_people_are_charged_with(house: House) -> None:
    house.office.ledger.teams.create("lab", quota=Quota(requests_per_minute=1), now=1.0)
    house.office.ring.refresh()
    eve = arrive(house, {"X-Forwarded-User": "eve", "X-Forwarded-Groups": "research"})
    assert eve.status() == 403  # no administrator
    asked = [eve.send("POST", "/v1/embeddings", {"model": "tiny", "input": "a"}) for _ in range(2)]
    assert [one.status for one in asked] == [200, 429]


def test_a_session_ends_once_the_proxy_names_another_or_other_groups(house: House) -> None:
    for changed in ({"X-Forwarded-User": "bob"}, {"X-Forwarded-Groups": "staff"}):
        ann = arrive(house)
        assert ann.status() == 200
        ann.headers.update(changed)
        assert ann.status() == 401


def test_a_session_of_a_proxy_is_good_through_that_proxy_only(house: House) -> None:
    ann = arrive(house)
    ann.peer = "192.0.2.1"
    assert ann.status() == 401


def test_of_several_groups_the_highest_role_counts() -> None:
    rules = (
        Opening("*", Role.INFERENCE),
        Opening("a", Role.ADMIN, "x"),
        Opening("b", Role.READ),
    )
    assert opened(("b", "a"), rules) == rules[1]
    assert opened((), rules) == rules[0]
    assert opened(("c",), rules[1:]) is None


def test_a_proxy_is_known_by_its_own_address_and_people_by_theirs(house: House) -> None:
    house.app = BehindProxies(house.app, (PROXY,))
    ann = arrive(house, {**ANN, "X-Forwarded-For": "203.0.113.5", "X-Forwarded-Proto": "https"})
    made = ann.send("POST", "/admin/keys", {"name": "laptop"}).json
    (line,) = ann.send("GET", f"/admin/audit?subject={made['id']}").json["data"]
    assert (line["who"], line["source"]) == ("user:ann", "203.0.113.5")
    liar = arrive(house, {**ANN, "X-Forwarded-For": PROXY}, peer="192.0.2.1")
    assert liar.status() == 401
