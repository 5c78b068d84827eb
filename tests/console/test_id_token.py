"""ID tokens: which are believed, and what is read of them."""

from typing import Any

import pytest
from joserfc.jwk import ECKey

from console.pretended import CLIENT, ISSUER, KEY, NEWER, NOW, SECRET, by_hand, claims, signed
from emblem.api.console.id_token import (
    ALGORITHMS,
    Asked,
    UnknownKey,
    key_set,
    person,
    read_id_token,
)
from emblem.api.console.people import Person
from emblem.api.problems import Problem

ASKED = Asked(ISSUER, CLIENT, "n" * 43, ALGORITHMS)
KEYS = [KEY.as_dict(private=False), NEWER.as_dict(private=False)]


def read(token: str, asked: Asked = ASKED) -> Any:
    return read_id_token(token, key_set(KEYS), asked, NOW)


def refusal(token: str, asked: Asked = ASKED) -> str:
    with pytest.raises(Problem) as raised:
        read(token, asked)
    assert (raised.value.status, raised.value.detail.code) == (403, "sign_in_refused")
    return raised.value.detail.message


def test_a_token_that_fits_says_who_somebody_is() -> None:
    told = read(signed(claims()))
    assert person(told, "preferred_username", "groups") == Person("ann", ("platform", "staff"))
    assert person(told, "sub", "nothing") == Person("u-1", ())


@pytest.mark.parametrize("seconds", [-59, 59])
def test_two_clocks_may_differ_by_a_minute(seconds: int) -> None:
    assert read(signed(claims(exp=NOW + seconds, iat=NOW + seconds, nbf=NOW + seconds)))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://id.example.com/other"},
        {"iss": f"{ISSUER}/"},
        {"iss": [ISSUER]},
        {"iss": None},
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": []},
        {"aud": None},
        {"aud": {CLIENT: 1}},
        {"aud": [CLIENT, "another"]},  # and no azp
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"azp": "another"},
        {"sub": None},
        {"sub": ""},
        {"sub": 5},
        {"exp": NOW - 60},
        {"exp": NOW - 86400},
        {"exp": None},
        {"exp": "2100-01-01"},
        {"exp": float("nan")},
        {"exp": True},
        {"iat": NOW + 61},
        {"iat": None},
        {"nbf": NOW + 61},
        {"nonce": "m" * 43},
        {"nonce": ""},
        {"nonce": None},
        {"nonce": ["n" * 43]},
    ],
)
def test_a_token_that_was_made_for_another_purpose_is_refused(changed: dict[str, Any]) -> None:
    refusal(signed(claims(**changed)))


def test_a_token_for_several_is_believed_where_it_was_made_for_this_client() -> None:
    assert read(signed(claims(aud=[CLIENT, "another"], azp=CLIENT)))


def changed_in_one_place(token: str) -> list[str]:
    """Give what becomes of a token where one of its three parts is another's."""
    other = signed(claims(preferred_username="eve")).split(".")
    own = token.split(".")
    return [".".join([*own[:i], other[i], *own[i + 1 :]]) for i in (1, 2)]


def test_a_token_that_was_changed_is_refused() -> None:
    for one in changed_in_one_place(signed(claims())):
        assert "not signed as it should be" in refusal(one)


def test_a_token_that_is_not_signed_is_refused() -> None:
    assert "not signed" in refusal(by_hand({"alg": "none", "kid": "one"}, claims()))


def test_a_token_signed_with_the_client_s_secret_is_refused() -> None:
    token = by_hand({"alg": "HS256", "kid": "one"}, claims(), SECRET.encode())
    assert "not signed" in refusal(token)


@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_a_token_signed_with_a_public_key_as_if_it_were_a_secret_is_refused(encoding: Any) -> None:
    public = KEY.as_bytes(encoding=encoding, private=False)
    assert "not signed" in refusal(by_hand({"alg": "HS256", "kid": "one"}, claims(), public))


def test_a_token_that_brings_its_own_key_is_not_believed_for_it() -> None:
    own = ECKey.generate_key("P-256", {"kid": "one"})
    token = signed(claims(), own, jwk=own.as_dict(private=False))
    assert "not signed" in refusal(token)


def test_ways_of_signing_that_the_provider_does_not_use_are_refused() -> None:
    assert "not signed" in refusal(signed(claims()), Asked(ISSUER, CLIENT, "n" * 43, ("RS256",)))


def test_a_key_that_is_not_known_is_asked_for_and_one_without_a_name_is_none() -> None:
    for kid in ("three", None):
        with pytest.raises(UnknownKey):
            read(signed(claims(), kid=kid))


def test_a_key_that_is_there_to_encrypt_signs_nothing() -> None:
    keys = key_set([{**KEY.as_dict(private=False), "use": "enc"}])
    with pytest.raises(UnknownKey):
        read_id_token(signed(claims()), keys, ASKED, NOW)


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "é.é.é", "." * 5, "e30.e30.e30"])
def test_what_is_no_token_is_refused(token: str) -> None:
    refusal(token)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"preferred_username": None}, "console_oidc_name_claim"),
        ({"preferred_username": 5}, "console_oidc_name_claim"),
        ({"preferred_username": ""}, "console_oidc_name_claim"),
        ({"preferred_username": "a" * 65}, "console_oidc_name_claim"),
        ({"preferred_username": "a\nb"}, "console_oidc_name_claim"),
        ({"groups": {"platform": True}}, "no list of groups"),
        ({"groups": ["platform", 5]}, "no list of groups"),
        ({"groups": ["x"] * 1001}, "more than 1000 groups"),
    ],
)
def test_what_names_nobody_is_refused_in_words(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(Problem, match=says):
        person(claims(**changed), "preferred_username", "groups")


@pytest.mark.parametrize("said", [False, "false", "no", 0])
def test_an_address_that_the_provider_has_not_verified_names_nobody(said: object) -> None:
    given = claims(email="ann@example.com", email_verified=said)
    with pytest.raises(Problem, match="not verified"):
        person(given, "email", "groups")
    for well in (True, "true", None):
        there = person({**given, "email_verified": well}, "email", "groups")
        assert there.name == "ann@example.com"


def test_one_group_may_be_a_text() -> None:
    assert person(claims(groups="a,b"), "sub", "groups").groups == ("a,b",)
