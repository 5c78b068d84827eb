"""What may be set of the console, and what makes no sense."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from console.house import House
from emblem.accounts import Role
from emblem.api.console.opening import console
from emblem.config import Opening, Settings, load, oidc, openings, secrets_of
from emblem.config.console import check_console, check_people
from emblem.errors import ConfigError, MissingExtra

PROXY: dict[str, Any] = {
    "console_proxy_header": "X-Forwarded-User",
    "console_proxy_addresses": ("10.1.2.3", "fd00::/8"),
    "console_groups": ("*=admin",),
}


def checked(**given: Any) -> None:
    origins = {field.name: "emblem.toml" for field in msgspec.structs.fields(Settings)}
    check_console(Settings(**given), origins)
    check_people(Settings(**given), origins)


def test_a_proxy_with_its_addresses_and_groups_is_well() -> None:
    checked(**PROXY)
    checked()


def test_groups_say_a_role_and_a_team() -> None:
    given = ("a=admin", "cn=ops,dc=example=read", " b = inference : lab ", "*=read")
    assert openings(Settings(console_groups=given)) == (
        Opening("a", Role.ADMIN),
        Opening("cn=ops,dc=example", Role.READ),
        Opening("b", Role.INFERENCE, "lab"),
        Opening("*", Role.READ),
    )


@pytest.mark.parametrize("given", ["", "a", "a=", "=admin", "a=root", "a=Admin", "a:lab"])
def test_a_group_that_opens_nothing_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"console_groups \(emblem.toml\) has .*inference, read"):
        checked(console_groups=(given,))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"console_proxy_addresses": ()}, "anybody could write that header"),
        ({"console_groups": ()}, "nobody would be let in"),
        ({"console_proxy_header": "X User"}, "no name of a header"),
        ({"console_proxy_groups_header": "X:Groups"}, "no name of a header"),
        ({"console_proxy_addresses": ("10.1.2.3/8",)}, "without bits set beyond its length"),
        ({"console_proxy_addresses": ("proxy",)}, "a network is an address"),
    ],
)
def test_a_proxy_that_anybody_could_be_is_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        checked(**{**PROXY, **changed})


OIDC: dict[str, Any] = {
    "console_url": "https://emblem.example.com/prefix/",
    "console_oidc_issuer": "https://id.example.com/",
    "console_oidc_client_id": "emblem",
    "console_groups": ("platform=admin",),
}


def test_a_provider_with_what_it_needs_is_well() -> None:
    checked(**OIDC)
    checked(
        **{**OIDC, "console_url": "http://localhost:8080", "console_oidc_issuer": "http://[::1]"}
    )
    found = oidc(Settings(**OIDC))
    assert found is not None
    assert found.issuer == "https://id.example.com/"  # to the letter
    assert found.redirect_uri == "https://emblem.example.com/prefix/console/oidc/callback"
    assert oidc(Settings()) is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"console_oidc_client_id": ""}, "console_oidc_client_id is not"),
        ({"console_url": ""}, "console_url is not"),
        ({"console_groups": ()}, "nobody would be let in"),
        ({"console_oidc_scopes": ("profile",)}, "lacks openid"),
        ({"console_oidc_groups_claim": ""}, "must name a claim"),
        ({"auth": False}, "asks nobody who they are"),
        ({"console_url": "http://emblem.example.com"}, "must begin with https://"),
        ({"console_url": "emblem.example.com"}, "must begin with https://"),
        ({"console_url": "https://emblem.example.com/?a"}, "without a password, query"),
        ({"console_oidc_issuer": "https://me:secret@id.example.com"}, "without a password"),
        ({"console_oidc_issuer": "http://me:secret@id.example.com"}, "without a password"),
        ({"console_oidc_issuer": "http://id.example.com"}, "must begin with https://"),
        ({"console_oidc_issuer": "https://id.example.com:x"}, "no address"),
    ],
)
def test_a_provider_that_could_sign_nobody_in_is_refused(
    changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as raised:
        checked(**{**OIDC, **changed})
    assert "secret" not in str(raised.value)


def test_the_secret_of_the_client_comes_from_a_variable_or_a_file_and_is_never_shown(
    tmp_path: Path,
) -> None:
    (tmp_path / "secret").write_text("hush-hush\n")
    (tmp_path / "emblem.toml").write_text(
        'console_oidc_issuer = "https://id"\nconsole_oidc_secret_file = "secret"\n'
    )
    environ = {"HOME": str(tmp_path)}
    found = oidc(load(flags={}, environ=environ, directory=tmp_path).settings)
    assert found is not None
    assert found.client_secret == "hush-hush"
    assert "hush" not in repr(found)
    both = {**environ, "EMBLEM_CONSOLE_OIDC_SECRET": "hush-again"}
    loaded = load(flags={}, environ=both, directory=tmp_path).settings
    assert secrets_of(loaded) == ("hush-again",)
    assert "hush" not in repr(loaded)
    with pytest.raises(ConfigError, match="one of them is enough"):
        oidc(loaded)


def test_without_its_extra_a_provider_is_an_error_that_says_how_to_have_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.api.console.opening.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'emblem\[oidc\]'"):
        console(Settings(**OIDC), house.office.ring)
    assert console(Settings(**OIDC, console=False), house.office.ring).sessions is not None
