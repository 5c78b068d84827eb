"""Settings of models that are served elsewhere: [upstreams.NAME] and deployments."""

from pathlib import Path

import pytest

from emblem.config import (
    DeploymentSettings,
    UpstreamSettings,
    deployments,
    load,
    secrets_of,
    upstream_headers,
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
        ("[upstreams.a]\nheaders = 'x'", "headers must be a table, such as"),
        ("[upstreams.a]\nheaders = { X-A = 3 }", "headers 'X-A' must be a text, { env = "),
        ("[upstreams.a]\nheaders = { X-A = {} }", "headers 'X-A' must be a text, { env = "),
        ("[upstreams.a]\nheaders = { X-A = { env = '' } }", "headers 'X-A' must be a text, { e"),
        ("[upstreams.a]\nheaders = { X-A = { env = 'A', file = 'b' } }", "must be a text, { e"),
        ("[upstreams.a]\nheaders = { X-A = { env = 'sk-123' } }", "env is the name of a variable"),
        ("[upstreams.a]\nheaders = { Authorization = 'sk-123' }", "may not set the header 'Author"),
        (
            "[upstreams.a]\nheaders = { Cache-Control = 'no-store' }",
            "may not set the header 'Cache-",
        ),
        ("[upstreams.a]\nheaders = { Content-Type = 'x' }", "may not set the header 'Content-Type"),
        ("[upstreams.a]\nheaders = { 'x a' = 'sk-123' }", "cannot send 'x a', which is no name "),
        ("[upstreams.a]\nheaders = { x-a = 'b', X-A = 'c' }", "has 'x-a' twice: upper and lower"),
        ("[upstreams.a]\nkinds = { query = { a = 'b' } }", "kinds must say both, such as"),
        ("[upstreams.a]\nkinds = { query = {}, document = {} }", "kinds must say both, such as"),
        ("[upstreams.a]\nkinds = { query = 'q', document = 'd' }", "kinds must say both, such as"),
        ("[upstreams.a]\nkinds = { query={a=[1]}, document={} }", "query 'a' must be a text, a n"),
        ("[upstreams.a]\nkinds = { query={a=1}, document={input=''} }", "document may not set 'in"),
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


SAID = """
[upstreams.mine]
base_url = "http://127.0.0.1:9000/v1"
headers = { X-Team = "planted-1", x-pass = { env = "PASS" }, x-file = { file = "pass.txt" } }
kinds = { query = { input_type = "search_query", task = 3 }, document = { task = false } }
"""


def test_headers_have_their_values_from_the_table_a_variable_or_a_file(tmp_path: Path) -> None:
    mine = read(tmp_path, SAID).upstreams["mine"]
    (tmp_path / "pass.txt").write_text("planted-3\n")
    assert upstream_headers(mine, {"PASS": "planted-2\n"}) == {
        "X-Team": "planted-1",
        "x-pass": "planted-2",
        "x-file": "planted-3",
    }
    assert "planted" not in repr(mine)
    assert secrets_of(Settings(upstreams={"mine": mine})) == ("planted-1",)
    assert mine.kinds == {
        "query": {"input_type": "search_query", "task": 3},
        "document": {"task": False},
    }


def test_a_header_whose_value_is_not_there_is_said_by_name_and_by_where_it_should_be(
    tmp_path: Path,
) -> None:
    mine = read(tmp_path, SAID).upstreams["mine"]
    with pytest.raises(ConfigError, match="header 'x-pass' is in the variable PASS, which is not"):
        upstream_headers(mine, {"PASS": " "})
    with pytest.raises(ConfigError, match=r"header 'x-file' .*pass\.txt cannot be read: No such"):
        upstream_headers(mine, {"PASS": "x"})
    (tmp_path / "pass.txt").write_text("planted\nplanted")
    with pytest.raises(ConfigError, match="must hold one line, its value") as caught:
        upstream_headers(mine, {"PASS": "x"})
    assert "planted" not in str(caught.value)
