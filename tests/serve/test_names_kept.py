"""A name keeps its space from start to start, and what a configuration serves under which name."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from serve.processes import STATIC, Started, refused, run, started
from server import RunningServer, linked_home, running_server
from tiny_models import TINY_MODELS, write

KEY = "sk-names-0123456789abcdef"
ENV = {"EMBLEM_API_KEY": KEY}
MINILM = "all-MiniLM-L6-v2"
TEXT = "a river of words"

CONFIG = """
[models.tiny]
source = "{tiny}"

[models.own-words]
source = "{tiny}"
query_prompt = "find: "
document_prompt = ""

[aliases.short]
model = "tiny"
dimensions = 8
input_type = "document"
output_dtype = "int8"
"""


def space(server: Started, model: str) -> str:
    answer = server.ask(model, KEY)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-embedding-space"]


def test_a_name_is_refused_another_space_until_it_is_rebound(home: Path, tmp_path: Path) -> None:
    config = home / "emblem.toml"
    config.write_text(f'[models.search]\nsource = "{STATIC}"\n')
    with started(home, env=ENV) as server:
        server.until("Ready in")
        before = space(server, "search")
        server.stop()

    tiny = write(TINY_MODELS[1], tmp_path / "tiny")
    config.write_text(f'[models.search]\nsource = "{tiny}"\n')
    said = refused(home)
    assert f"The name `search` has served the space {before} and would now serve search@" in said
    assert said.endswith("run: emblem rebind search")
    assert refused(home) == said

    rebound = run(home, "rebind", "search")
    assert (rebound.returncode, before in rebound.stdout) == (0, True)
    with started(home, env=ENV) as server:
        server.until("Ready in")
        now = space(server, "search")
        assert now in said
        server.stop()

    config.write_text(f'[models.search]\nsource = "{STATIC}"\n')
    assert f"has served the space {now}" in refused(home)


def test_a_changed_overflow_rule_is_another_space(home: Path) -> None:
    with started(home, MINILM, env=ENV) as server:
        server.until("Ready in")
        server.stop()
    said = refused(home, MINILM, "--overflow", "truncate")
    assert f"`{MINILM}` has served the space {MINILM}@53aa5117/384" in said


@pytest.fixture(scope="module")
def configured(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server of a small model with prompts, under two names and an alias."""
    folder = tmp_path_factory.mktemp("configured")
    home = linked_home(folder / "home", model_home)
    tiny = write(TINY_MODELS[0], folder / "tiny")
    (home / "emblem.toml").write_text(CONFIG.format(tiny=tiny))
    with running_server(home) as server:
        yield server


def vector(server: RunningServer, model: str, **options: object) -> list[float]:
    answer = server.post({"model": model, "input": TEXT, **options})
    assert answer.status_code == 200, answer.text
    (item,) = answer.json()["data"]
    return list(item["embedding"])


@pytest.mark.parametrize("model", ["tiny", "own-words"])
@pytest.mark.parametrize("kind", ["query", "document"])
def test_the_names_for_kinds_equal_input_type(
    configured: RunningServer, model: str, kind: str
) -> None:
    named = vector(configured, f"{model}-{kind}")
    assert named == pytest.approx(vector(configured, model, input_type=kind), abs=1e-6)
    assert named == pytest.approx(vector(configured, f"{model}-{kind}", input_type=kind), abs=1e-6)
    other = {"query": "document", "document": "query"}[kind]
    assert np.abs(np.subtract(named, vector(configured, f"{model}-{other}"))).max() > 1e-3
    refusal = configured.post({"model": f"{model}-{kind}", "input": TEXT, "input_type": other})
    assert refusal.status_code == 400


def test_a_configured_prompt_is_put_before_the_text(configured: RunningServer) -> None:
    asked = configured.post({"model": "tiny", "input": f"find: {TEXT}"}).json()
    by_hand = asked["data"][0]["embedding"]
    assert vector(configured, "own-words-query") == pytest.approx(by_hand, abs=1e-5)
    plain = vector(configured, "tiny")
    assert vector(configured, "own-words-document") == pytest.approx(plain, abs=1e-5)


def test_an_alias_has_all_that_it_fixes(configured: RunningServer) -> None:
    answer = configured.post({"model": "short", "input": TEXT})
    numbers = answer.json()["data"][0]["embedding"]
    full = np.array(vector(configured, "tiny-document", dimensions=8))
    assert numbers == pytest.approx(np.round(127 * full), abs=1)
    assert answer.headers["x-embedding-space"].endswith("/8+int8")
    assert answer.json()["model"] == "tiny"


def test_openais_names_vanish_where_models_are_configured(configured: RunningServer) -> None:
    names = {one["id"] for one in configured.get("/v1/models").json()["data"]}
    assert names == {
        *("tiny", "tiny-query", "tiny-document"),
        *("own-words", "own-words-query", "own-words-document"),
        "short",
    }
    answer = configured.post({"model": "text-embedding-3-small", "input": TEXT})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_a_name_can_be_pinned_to_its_space(configured: RunningServer) -> None:
    for name in ("tiny", "own-words-query"):
        written = configured.post({"model": name, "input": TEXT}).headers["x-embedding-space"]
        digest = written.partition("@")[2].partition("/")[0]
        pinned = vector(configured, f"{name}@{digest}")
        assert pinned == pytest.approx(vector(configured, name), abs=1e-6)
        wrong = configured.post({"model": f"{name}@00000000", "input": TEXT})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (404, "model_not_found")
        assert f"`{name}` is served here as `{name}@{digest}`" in wrong.json()["error"]["message"]
