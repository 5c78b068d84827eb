"""Settings of models elsewhere that give no vectors: [chat.NAME] and [rerank.NAME]."""

import re
from pathlib import Path

import msgspec
import pytest

from emblem.config import ChatSettings, RerankSettings, load
from emblem.config.settings import Settings
from emblem.errors import ConfigError
from emblem.passages import open_directory, open_way
from emblem.providers import provider


def read(folder: Path, toml: str) -> Settings:
    (folder / "emblem.toml").write_text(toml)
    return load(flags={}, environ={"HOME": str(folder)}, directory=folder).settings


def test_models_for_chat_and_rankings_are_read(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        """
        [chat.gpt]
        upstream = "openai"
        model = "gpt-9-mini"
        idle_timeout_s = 5
        ask_for_usage = false

        [rerank."jina/reranker"]
        upstream = "jina"
        dialect = "tei"
        """,
    )
    chat = ChatSettings("openai", "gpt-9-mini", idle_timeout_s=5.0, ask_for_usage=False)
    assert settings.chat == {"gpt": chat}
    assert settings.rerank == {"jina/reranker": RerankSettings("jina", dialect="tei")}


def several(deployments: str, *more: str) -> str:
    return "\n".join(["[chat.a]", *more, f"deployments = [{deployments}]"])


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[chat.a]", "[chat.a] needs 'upstream'"),
        ('[chat.a]\nupstream = "x"\nmodle = "y"', "no key 'modle'; did you mean model?"),
        ('[chat.a]\nupstream = "x"\ntimeout_s = 0', "timeout_s is 0"),
        ('[rerank.a]\nupstream = "x"\ndialect = "y"', "it must be cohere or tei"),
        ('[chat."a b"]\nupstream = "x"', "no space or @"),
        ('[chat.a]\nupstream = "x"\n[rerank.a]\nupstream = "x"', "in both [chat] and [rerank]"),
        ('[models.a]\n[chat.a]\nupstream = "x"', "'a' is in both [models] and [chat]"),
        ('chat = "a"', "chat must be tables, each written [chat.NAME]"),
        ('[rerank.a]\nmodel = "x"', "[rerank.a] needs 'upstream', or 'deployments'"),
        (several('{ upstream = "x" }', 'upstream = "y"'), "has upstream and deployments"),
        (several('{ upstream = "x" }', 'model = "y"'), "has model and deployments"),
        (several('{ upstream = "x" }', "max_requests = 3"), "has max_requests and deployments"),
        (several("{ local = true }"), "deployments[0] is local, and models that are here give"),
        (several('{ model = "y" }'), 'deployments[0] needs upstream = "…"'),
        (several('{ upstream = "x" }, { upstream = "x", model = "a" }'), "[1] is deployments[0]"),
        (several('{ upstream = "x", weight = 0 }'), "weight is 0; it must be a number above 0"),
        (several('{ upstream = "x", max_requests = 0 }'), "max_requests is 0; it must be"),
        (several('{ upstream = "x", dialect = "tei" }'), "has no key 'dialect'"),
        (several('"x"'), "deployments must be a list of tables"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_it(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, toml)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_upstream_that_there_is_not_is_said_when_it_is_opened(tmp_path: Path) -> None:
    settings = read(tmp_path, '[chat.a]\nupstream = "opnai"')
    with pytest.raises(ConfigError, match="opnai"):
        open_directory(settings, ())


def test_deployments_are_called_after_their_upstreams_and_models_where_that_is_needed(
    tmp_path: Path,
) -> None:
    settings = read(
        tmp_path,
        """
        [chat.a]
        deployments = [
          { upstream = "openai", weight = 3 },
          { upstream = "vllm", model = "x", max_requests = 7 },
          { upstream = "vllm" },
        ]
        [rerank.b]
        upstream = "jina"
        """,
    )
    directory = open_directory(settings, ())
    states = {one.name: one.passages.deployments() for one in directory}
    assert [(one.name, one.kind, one.weight, one.max_requests) for one in states["a"]] == [
        ("openai", "openai", 3.0, 64),
        ("vllm/x", "vllm", 1.0, 7),
        ("vllm/a", "vllm", 1.0, 64),
    ]
    assert [(one.name, one.max_requests) for one in states["b"]] == [("jina", 256)]


@pytest.mark.parametrize(("count", "seconds"), [(1, 60.0), (2, 30.0), (3, 20.0)])
def test_a_ranking_leaves_time_to_ask_another_deployment(
    tmp_path: Path, count: int, seconds: float
) -> None:
    places = ", ".join(f'{{ upstream = "vllm", model = "m{place}" }}' for place in range(count))
    own = read(tmp_path, f"[rerank.a]\ndeployments = [{places}]").rerank["a"]
    whose = provider("vllm", Settings(), {})
    for one in own.deployments:
        bounds = open_way(one, whose, "a", own)._bounds
        assert (bounds.first_byte_s, bounds.idle_s) == (seconds, seconds)


def test_a_model_that_gives_vectors_is_no_deployment_for_chat(tmp_path: Path) -> None:
    deployments = '{ upstream = "vllm" }, { upstream = "openai", model = "text-embedding-3-small" }'
    settings = read(tmp_path, several(deployments))
    said = r"\[chat.a\] 'text-embedding-3-small' of openai gives vectors; \[models.a\] is for that"
    with pytest.raises(ConfigError, match=said):
        open_directory(settings, ())


@pytest.mark.parametrize(("page", "struct"), [("chat", ChatSettings), ("rerank", RerankSettings)])
def test_every_setting_has_its_row_in_the_documentation(page: str, struct: type) -> None:
    text = (Path(__file__).parents[1] / "docs" / f"{page}.md").read_text("utf-8")
    table = text.partition(f"<!-- {page}: begin -->")[2].partition(f"<!-- {page}: end -->")[0]
    fields = {field.name: field.default for field in msgspec.structs.fields(struct)}
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", table, re.MULTILINE))
    assert [*rows] == [*fields]
    for name, default in fields.items():
        if isinstance(default, float | int):
            said = f"{default:g}" if not isinstance(default, bool) else str(default).lower()
            assert re.search(rf", {said}(;|$)", rows[name]), name
