"""Settings of models that are served elsewhere: [upstreams.NAME] and deployments."""

from pathlib import Path

import pytest

from emblem.config import (
    DeploymentSettings,
    UpstreamSettings,
    deployments,
    load,
    upstream_keys,
)
from emblem.config.settings import ModelSettings, Settings
from emblem.errors import ConfigError


def read(folder: Path, toml: str) -> Settings:
    (folder / "emblem.toml").write_text(toml)
    return load(flags={}, environ={"HOME": str(folder)}, directory=folder).settings


def test_an_upstream_is_read_with_what_its_table_says(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        """
        [upstreams.mine]
        preset = "openai-compatible"
        base_url = "http://127.0.0.1:9000/v1"
        key_file = "keys.txt"
        max_inputs = 16

        [models.one]
        upstream = "mine"
        source = "their-name"

        [models.two]
        deployments = [{ local = true }, { upstream = "mine", model = "x", weight = 2 }]
        """,
    )
    mine = settings.upstreams["mine"]
    assert (mine.base_url, mine.max_inputs) == ("http://127.0.0.1:9000/v1", 16)
    assert mine.key_file == str(tmp_path / "keys.txt")
    assert deployments(settings.models["one"]) == (DeploymentSettings("mine", "their-name"),)
    assert deployments(settings.models["two"]) == (
        DeploymentSettings(local=True),
        DeploymentSettings("mine", "x", weight=2),
    )
    assert deployments(ModelSettings()) == ()


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[upstreams.a]\nbase = 'x'", "[upstreams.a] has no key 'base'; did you mean base_url?"),
        ("[upstreams.a]\nkey_env = ['sk-123']", "key_env holds names of variables"),
        ("[upstreams.a]\nkey_env = ['A']\nkey_file = 'b'", "has key_env and key_file"),
        ("[upstreams.a]\ntimeout_s = 0", "timeout_s is 0; it must be a number above 0"),
        ("[models.a]\ndeployments = ['x']", "deployments must be a list of tables, such as"),
        ("[models.a]\ndeployments = [{}]", 'deployments[0] needs either upstream = "…" or local'),
        ("[models.a]\ndeployments = [{ up = 'x' }]", "deployments[0] has no key 'up'"),
        ("[models.a]\ndeployments = [{ upstream = 'x', weight = 0 }]", "weight is 0"),
        ("[models.a]\ndeployments = [{ local = true, upstream = 'x' }]", "deployments[0] needs"),
        ("[models.a]\ndeployments = [{ local = true, model = 'x' }]", "source names the model"),
        ("[models.a]\ndeployments = [{local=true}, {local=true}]", "two local deployments"),
        ("[models.a]\nupstream = 'x'\ndeployments = [{local=true}]", "has upstream and deployme"),
        ("[models.a]\nwidth = 3", "has width, which is for models of an upstream"),
        ("[models.a]\nupstream = 'x'\nvariant = 'int8'", "has variant, which is for models on d"),
        ("[models.a]\nspace = 'x'\ndeployments = [{local=true}]", "the local deployment says it"),
    ],
)
def test_what_cannot_be_meant_is_one_line_naming_it(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, toml)
    assert str(caught.value).startswith(str(tmp_path / "emblem.toml"))
    assert said in str(caught.value)
    assert "sk-123" not in str(caught.value)


def test_keys_are_those_of_the_variables_that_are_named() -> None:
    environ = {"A": "one, two", "B": "three", "USUAL": "four"}
    assert upstream_keys(UpstreamSettings(), "USUAL", environ) == ("four",)
    assert upstream_keys(UpstreamSettings(key_env=("A", "B", "C")), "USUAL", environ) == (
        "one",
        "two",
        "three",
    )
    assert upstream_keys(UpstreamSettings(key_file="/keys"), "USUAL", environ) == ()
    assert upstream_keys(UpstreamSettings(), "", environ) == ()
