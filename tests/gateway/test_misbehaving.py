"""The server that misbehaves does to the letter what it says, and nothing else."""

import gzip
import http.client
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pybase64
import pytest

from emblem.errors import ConfigError, InvalidRequest
from emblem.upstreams.misbehaving import (
    Fault,
    Manners,
    Notice,
    Running,
    always,
    at_random,
    from_words,
    in_turn,
    running,
    vector,
)
from emblem.upstreams.misbehaving.faults import FAULTS

LONG = " ".join(f"word{number}" for number in range(40))
TEXTS = ["a cat", "a dog of some size", LONG]
KEY = "sk-planted-4f1c"
TIMEOUT_S = 0.3
PATIENT = Manners(trickle_s=1.0, slow_s=0.05)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Running]:
    with running(manners=PATIENT) as server:
        yield server


def asked(upstream: Running, body: object, path: str = "/v1/embeddings", **headers: str) -> Any:
    """Send a request on a connection of its own: (status, headers, body)."""
    host = upstream.root.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=TIMEOUT_S)) as connection:
        given = {"Authorization": f"Bearer {KEY}", **headers}
        connection.request("POST", path, json.dumps(body).encode(), given)
        answer = connection.getresponse()
        content = answer.read()
        packed = answer.headers.get("content-encoding") == "gzip"
        return answer.status, answer.headers, gzip.decompress(content) if packed else content


def strict(content: bytes) -> np.ndarray:
    """Read an answer as one should, refusing whatever can be seen to be wrong."""
    value = json.loads(content)
    assert value["model"] == "m"
    rows: dict[int, np.ndarray] = {}
    for item in value["data"]:
        assert item["index"] in range(len(TEXTS))
        assert item["index"] not in rows
        given = item["embedding"]
        if isinstance(given, str):
            rows[item["index"]] = np.frombuffer(pybase64.b64decode(given, validate=True), "<f4")
        else:
            assert all(isinstance(one, float) for one in given)
            rows[item["index"]] = np.array(given, np.float32)
    assert len(rows) == len(TEXTS)
    found = np.stack([rows[index] for index in range(len(TEXTS))])
    assert found.shape == (len(TEXTS), 64)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)
    return found


def until(happened: Callable[[], bool]) -> None:
    """Wait for what must happen soon."""
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


TRUTH = np.stack([vector(text) for text in TEXTS])


@pytest.mark.parametrize("encoding", ["float", "base64"])
@pytest.mark.parametrize("fault", Fault)
def test_a_fault_can_be_noticed_by_whoever_it_says(
    upstream: Running, fault: Fault, encoding: str
) -> None:
    upstream.play(always(fault))
    seen: object
    try:
        status, _, content = asked(
            upstream, {"model": "m", "input": TEXTS, "encoding_format": encoding}
        )
        seen = Notice.FAILURE if status != 200 else strict(content)
    except gzip.BadGzipFile:
        seen = Notice.VISIBLE
    except (OSError, http.client.HTTPException):
        seen = Notice.FAILURE
    except (ValueError, AssertionError, KeyError, TypeError):
        seen = Notice.VISIBLE
    if isinstance(seen, np.ndarray):
        seen = Notice.HARMLESS if np.allclose(seen, TRUTH, atol=1e-6) else Notice.SILENT
    assert seen is FAULTS[fault].notice


def test_every_fault_is_told_of() -> None:
    assert set(FAULTS) == set(Fault)


def test_dimensions_are_the_first_numbers_of_unit_norm_again(upstream: Running) -> None:
    upstream.play(always(Fault.OK))
    _, _, content = asked(upstream, {"model": "m", "input": "a cat", "dimensions": 16})
    found = np.array(json.loads(content)["data"][0]["embedding"])
    due = vector("a cat")[:16]
    np.testing.assert_allclose(found, due / np.linalg.norm(due), atol=1e-6)


def test_tei_and_cohere_are_answered_in_their_own_forms(upstream: Running) -> None:
    upstream.play(always(Fault.REORDER))  # where there is no index there is nothing to reorder
    _, _, tei = asked(upstream, {"inputs": TEXTS}, "/embed")
    np.testing.assert_allclose(json.loads(tei), TRUTH, atol=1e-6)
    body = {"model": "m", "texts": ["a cat"], "input_type": "search_query"}
    _, _, cohere = asked(upstream, {**body, "embedding_types": ["float"]}, "/v2/embed")
    answer = json.loads(cohere)
    np.testing.assert_allclose(answer["embeddings"]["float"], [vector("query: a cat")], atol=1e-6)
    assert answer["meta"]["billed_units"] == {"input_tokens": 3}


def test_a_script_is_played_in_turn_and_answers_are_right_afterwards(upstream: Running) -> None:
    upstream.play(in_turn(from_words(["500", "429*2"])))
    body = {"model": "m", "input": TEXTS}
    assert [asked(upstream, body)[0] for _ in range(4)] == [500, 429, 429, 200]
    upstream.play(in_turn(from_words(["500", "ok"]), loop=True))
    assert [asked(upstream, body)[0] for _ in range(4)] == [500, 200, 500, 200]


def test_dice_with_a_seed_fall_alike_and_at_their_rate() -> None:
    faults = (Fault.RESET, Fault.NAN)
    one, again, other = (
        [at_random(faults, rate=0.25, seed=seed)(n) for n in range(400)] for seed in (3, 3, 4)
    )
    assert one == again != other
    assert set(one) == {Fault.OK, *faults}
    assert 60 < 400 - one.count(Fault.OK) < 140


def test_a_request_may_name_its_fault(upstream: Running) -> None:
    upstream.play(always(Fault.OK))
    body = {"model": "m", "input": TEXTS}
    assert asked(upstream, body, **{"x-fault": "502"})[0] == 502
    assert asked(upstream, body, **{"x-fault": "no such fault"})[0] == 200


@pytest.mark.parametrize(
    ("word", "said"),
    [("resett", "did you mean reset"), ("???", "--list shows"), ("ok*x", "there is no fault")],
)
def test_a_fault_that_is_none_is_said(word: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        from_words([word])


def test_a_running_server_takes_another_script_and_tells_what_it_saw(upstream: Running) -> None:
    host = upstream.root.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=5)) as connection:
        connection.request("PUT", "/faults", b'{"faults": ["529"]}')
        assert json.loads(connection.getresponse().read()) == {"faults": ["529"]}
        before = upstream.seen().requests
        assert asked(upstream, {"model": "m", "input": TEXTS})[0] == 529
        connection.request("GET", "/seen")
        seen = json.loads(connection.getresponse().read())
        assert seen["requests"] == before + 1
        assert seen["open"] >= 1
        for wrong in (b"{}", b"[]", b"no JSON", b'{"faults": ["nope"]}', b'{"faults": 1}'):
            connection.request("PUT", "/faults", wrong)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 400


@pytest.mark.parametrize("body", [{"input": []}, {"input": [1]}, {}, [], "no", {"input": None}])
def test_a_request_that_is_wrong_is_refused_whatever_the_fault(
    upstream: Running, body: object
) -> None:
    upstream.play(always(Fault.NAN))
    assert asked(upstream, body)[0] == 400


def test_another_key_than_its_own_opens_nothing_and_is_not_repeated() -> None:
    manners = Manners(key="sk-right", length=8)
    with running(manners=manners) as locked:
        status, _, content = asked(locked, {"model": "m", "input": TEXTS})
        assert status == 401
        assert KEY.encode() not in content
        right = {"Authorization": "Bearer sk-right"}
        status, _, content = asked(locked, {"model": "m", "input": TEXTS}, **right)
        assert status == 400
        assert b"maximum context length is 8 tokens" in content
        assert "sk-right" not in repr(manners)


def test_an_answer_that_nobody_asked_for_lies_behind_the_right_one(upstream: Running) -> None:
    upstream.play(always(Fault.UNASKED))
    body = json.dumps({"model": "m", "input": TEXTS}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    host, _, port = upstream.root.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(head.encode() + body)
        came = b""
        while came.count(b'"usage"') < 2:
            came += connection.recv(1 << 16)
    first, second = came.split(b"HTTP/1.1 200 OK\r\n")[1:]
    found = [one.partition(b"\r\n\r\n")[2] for one in (first, second)]
    np.testing.assert_allclose(strict(found[0]), TRUTH, atol=1e-6)
    assert not np.allclose(strict(found[1]), TRUTH, atol=1e-6)


def test_a_client_that_leaves_is_noticed(upstream: Running) -> None:
    upstream.play(always(Fault.HANG))
    before, hung = upstream.seen().abandoned, upstream.seen().faults.get(Fault.HANG, 0)
    host, _, port = upstream.root.removeprefix("http://").partition(":")
    body = b'{"model":"m","input":"x"}'
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.sendall(b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: 25\r\n\r\n" + body)
        until(lambda: upstream.seen().faults.get(Fault.HANG, 0) > hung)
    until(lambda: upstream.seen().abandoned > before)


def test_a_port_that_is_taken_is_said(upstream: Running) -> None:
    port = int(upstream.root.rpartition(":")[2])
    with (
        pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be listened on"),
        running(manners=Manners(port=port)),
    ):
        pass


def test_the_command_lists_its_faults_and_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from emblem.cli.main import run

    with pytest.raises(SystemExit) as ended:
        run(["misbehave", "--list"])
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    assert all(f"{fault} " in listed for fault in Fault)
    with pytest.raises(SystemExit) as ended:
        run(["misbehave", "--fault", "rest"])
    assert ended.value.code == 2
    assert "did you mean reset" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        run(["misbehave", "--as", "gemini"])
    assert "it must be openai, tei, cohere" in capsys.readouterr().err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted(how: int) -> None:
    command = [sys.executable, "-m", "emblem", "misbehave", "--port", "0", "--width", "8"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"misbehaving at http://(\S+)/v1 with vectors of 8 numbers", said)
        assert found, said
        with closing(http.client.HTTPConnection(found[1], timeout=10)) as connection:
            connection.request("POST", "/v1/embeddings", b'{"input": "a cat"}')
            assert connection.getresponse().status == 200
        process.send_signal(how)
        assert process.wait(timeout=30) == 0
