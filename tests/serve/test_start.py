"""What a start needs, and how one that cannot be is refused: in one line, with exit code 2."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import requests

from emblem.models import catalog
from emblem.models.safetensors import Weights
from serve.processes import STATIC, command, refused, started, wait_for
from server import free_port, linked_home
from tiny_models import TINY_MODELS, write, write_safetensors

KEY = "sk-start-0123456789abcdef"
ENV = {"EMBLEM_API_KEY": KEY}


@contextmanager
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def own_home(model_home: Path, tmp_path: Path) -> Path:
    """A home with a copy of a model that a test may damage."""
    home = tmp_path / "own"
    shutil.copytree(model_home / "models" / STATIC, home / "models" / STATIC)
    (home / "files").symlink_to(model_home / "files")
    return home


def damage(home: Path) -> None:
    weights = home / "models" / STATIC / "model.safetensors"
    weights.chmod(0o644)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def test_a_taken_port_is_one_line_that_names_another(home: Path) -> None:
    with taken() as port:
        said = refused(home, "--port", str(port))
    assert said == (
        f"port {port} is taken by another program; choose another with --port, such as "
        f"--port {port % 65535 + 1}"
    )


def test_two_servers_share_a_home_but_not_a_port(home: Path) -> None:
    with started(home, STATIC, env=ENV) as one, started(home, STATIC, env=ENV) as other:
        one.until("Ready in")
        other.until("Ready in")
        answers = [server.ask(STATIC, KEY).json()["data"] for server in (one, other)]
        assert answers[0] == answers[1]
        assert f"port {one.port} is taken" in refused(home, "--port", str(one.port))
        assert (one.stop(), other.stop()) == (0, 0)


def test_of_servers_started_at_once_on_one_port_one_serves(home: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        servers = [stack.enter_context(started(home, STATIC, port=port)) for _ in range(3)]
        wait_for(lambda: sum(one.process.poll() is not None for one in servers) == 2)
        (serving,) = (one for one in servers if one.process.poll() is None)
        others = [one for one in servers if one is not serving]
        assert [one.end() for one in others] == [2, 2]
        assert all(f"port {port} is taken" in one.said() for one in others)
        serving.until("Ready in")
        assert requests.get(f"{serving.root}/ready", timeout=30).status_code == 200


def test_a_start_without_a_network_serves_what_was_fetched(home: Path) -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    online = {**ENV, **nowhere, "EMBLEM_OFFLINE": "false", "PIP_INDEX_URL": "http://127.0.0.1:9"}
    with started(home, env=online) as server:
        said = server.until("Ready in")
        assert "all-MiniLM-L6-v2: 384 numbers" in said
        assert "source" not in said


def test_a_damaged_model_heals_from_the_index(own_home: Path, tmp_path: Path) -> None:
    row = catalog.find(STATIC)
    assert row is not None
    wheel = tmp_path / "wheels" / "wordllama-0.4.0.post1-py3-none-any.whl"
    wheel.parent.mkdir()
    folder = own_home / "models" / STATIC
    with ZipFile(wheel, "w") as archive:
        for file in row.asset.files:
            archive.write(folder / file.name, file.in_wheel)
        info = "wordllama-0.4.0.post1.dist-info"
        name = "Metadata-Version: 2.1\nName: wordllama\nVersion: 0.4.0.post1\n"
        archive.writestr(f"{info}/METADATA", name)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    damage(own_home)
    index = {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_CONFIG_FILE": "/dev/null",
    }
    env = {**ENV, **index, "EMBLEM_OFFLINE": "false", "EMBLEM_SOURCES": "index"}
    with started(own_home, STATIC, env=env) as server:
        said = server.until("Ready in")
        assert "is damaged and will not be used: model.safetensors has changed" in said
        assert server.ask(STATIC, KEY).status_code == 200


def test_a_damaged_model_is_said_where_nothing_can_heal_it(own_home: Path) -> None:
    damage(own_home)
    said = refused(own_home, STATIC)
    assert said.startswith(f"{STATIC} could be had from none of its sources")
    assert f"emblem pull {STATIC}" in said


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A model folder whose weights can be read and are not those of its config.json."""
    folder = write(TINY_MODELS[0], tmp_path / "broken")
    weights = folder / "model.safetensors"
    tensors = {name: np.array(tensor) for name, tensor in Weights((weights,)).items()}
    del tensors["encoder.layer.1.output.dense.weight"]
    write_safetensors(weights, tensors)
    return folder


def test_weights_that_lack_a_tensor_are_one_line(home: Path, broken: Path) -> None:
    said = refused(home, str(broken))
    assert said == (
        f"{broken}: the weights hold no tensor named encoder.layer.1.output.dense.weight, (32, 80)"
    )


def test_a_model_that_did_not_open_has_served_no_space(home: Path, broken: Path) -> None:
    refused(home, str(broken))
    write(TINY_MODELS[0], broken)  # the weights have another digest now
    with started(home, str(broken), env=ENV) as server:
        server.until("Ready in")


def test_weights_that_are_cut_short_are_one_line(home: Path, broken: Path) -> None:
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    assert str(weights) in refused(home, str(broken))


def test_numbers_that_cannot_be_right_are_one_line(home: Path, broken: Path) -> None:
    folder = write(TINY_MODELS[0], broken)
    weights = folder / "model.safetensors"
    tensors = {name: np.array(tensor) for name, tensor in Weights((weights,)).items()}
    tensors["embeddings.word_embeddings.weight"] *= np.float32("inf")
    write_safetensors(weights, tensors)
    said = refused(home, str(folder))
    assert said == "broken returned an invalid result: a number that is not finite in vector 0"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("prot = 1", "prot"),
        ("port = 'x'", "port"),
        ("port = ", "emblem.toml"),
        ("[models.a]\nsource = 'no/such/place/here'", "no/such/place/here is no model"),
        ("[aliases.a]\nmodel = 'nothing'", "[aliases.a] model = 'nothing' is not a model"),
        ("streams = 200\nthreads = 1", "streams = 200 is more than the 1 threads"),
    ],
)
def test_a_wrong_file_is_one_line(home: Path, config: str, said: str) -> None:
    (home / "emblem.toml").write_text(config)
    assert said in refused(home)


def test_a_wrong_flag_or_variable_is_one_line(home: Path) -> None:
    assert "--body-timeout-s" in refused(home, "--body-timeout-s", "soon")
    assert "--no-auth" in refused(home, "--no-auth", "--host", "0.0.0.0")
    assert "EMBLEM_PROT" in refused(home, env={"EMBLEM_PROT": "1"})
    assert "is no model that Emblem knows" in refused(home, "no-such-model")


def test_an_address_of_another_machine_is_one_line(home: Path) -> None:
    assert "cannot listen on 203.0.113.1:" in refused(home, STATIC, "--host", "203.0.113.1")


def test_a_home_without_models_names_the_command_that_fetches_them(tmp_path: Path) -> None:
    home = linked_home(tmp_path / "empty", tmp_path)
    for shelf in ("models", "files"):
        (tmp_path / shelf).mkdir()
    assert "emblem pull all-MiniLM-L6-v2" in refused(home)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", *(["::1"] if has_ipv6() else [])])
def test_an_address_may_be_a_name_or_of_the_sixth_version(home: Path, host: str) -> None:
    with started(home, STATIC, "--host", host, env=ENV) as server:
        server.until("Ready in")
        reached = "[::1]" if host == "::1" else "127.0.0.1"
        assert requests.get(f"http://{reached}:{server.port}/ready", timeout=30).ok
        assert server.stop() == 0


def test_a_host_that_is_no_name_is_one_line(home: Path) -> None:
    said = refused(home, STATIC, "--host", "x" * 70)
    assert said.startswith(f"cannot listen on {'x' * 70}:")


def test_a_lock_that_cannot_be_made_keeps_nobody_from_serving(home: Path, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / f"emblem-{os.getuid()}-{port}.lock").mkdir()
    env = {**ENV, "TMPDIR": str(tmp_path)}
    with started(home, STATIC, env=env, port=port) as server:
        server.until("Ready in")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no disk that is full")
def test_a_disk_that_is_full_keeps_nobody_from_serving(home: Path) -> None:
    program = ["sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh", *command()]
    with started(home, STATIC, env=ENV, program=program) as server:
        wait_for(lambda: answers(server.root))
        assert [server.ask(STATIC, KEY).status_code for _ in range(3)] == [200] * 3
        assert server.stop() == 0


def test_a_reader_that_has_left_keeps_nobody_from_serving(home: Path) -> None:
    nobody = home / "nobody"
    os.mkfifo(nobody)
    # A reader that is there until the program has its output, and then no more.
    leaves = f'head -c 0 "{nobody}" & exec "$@" >"{nobody}" 2>&1'
    program = ["sh", "-c", leaves, "sh", *command()]
    with started(home, STATIC, env=ENV, program=program) as server:
        wait_for(lambda: answers(server.root))
        assert server.ask(STATIC, KEY).status_code == 200
        assert server.stop() == 0


def test_the_event_loop_is_the_one_that_is_tested_whatever_else_is_installed(
    home: Path, tmp_path: Path
) -> None:
    (tmp_path / "uvloop.py").write_text("def new_event_loop(): raise OSError('not this one')\n")
    env = {**ENV, "PYTHONPATH": str(tmp_path)}
    with started(home, STATIC, env=env) as server:
        server.until("Ready in")
        assert server.ask(STATIC, KEY).status_code == 200


def answers(root: str) -> bool:
    try:
        return requests.get(f"{root}/ready", timeout=30).ok
    except requests.ConnectionError:
        return False


def test_a_worker_that_is_spawned_serves_as_a_forked_one_does(home: Path) -> None:
    # As on macOS, on Windows and, from Python 3.14 on, everywhere.
    program = (
        "import multiprocessing, sys\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    from emblem.cli.main import run\n"
        "    run(sys.argv[1:])\n"
    )
    script = home / "spawned.py"
    script.write_text(program)
    with started(home, STATIC, env=ENV, program=[sys.executable, str(script)]) as server:
        server.until("Ready in")
        assert server.ask(STATIC, KEY).status_code == 200
        assert server.stop() == 0
