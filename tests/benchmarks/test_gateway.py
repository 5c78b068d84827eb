"""The gateway's benchmark runs, would notice a wrong vector, and has limits on wherever it says so."""

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from benchmarks.compare.load import post
from benchmarks.gateway import __main__ as gateway
from benchmarks.gateway import systems
from benchmarks.gateway.systems import System
from benchmarks.gateway.upstream import VECTORS, Upstream, place, table
from benchmarks.gateway.workloads import WORKLOADS, Workload, right

from system import ROOT, absent

WORK = Workload("two", 2, 3, "base64", 1)
NOBODY = System("any", None, 0, Path())  # type: ignore[arg-type]  # nobody is asked


def answered(*places: int) -> bytes:
    vectors = table()
    data = [
        {"index": index, "embedding": base64.b64encode(vectors[one].tobytes()).decode()}
        for index, one in enumerate(places)
    ]
    return json.dumps({"data": data}).encode()


def test_a_right_answer_passes_and_one_of_other_texts_or_another_order_does_not() -> None:
    asked = json.dumps({"input": ["7 words here", "9 words here"]}).encode()
    assert right(asked, answered(7, 9))
    for wrong in (answered(9, 7), answered(7), answered(7, 8)):
        assert not right(asked, wrong)


def test_a_text_has_the_vector_of_its_number() -> None:
    assert place("300 and more") == 300 % VECTORS
    assert place("no number") == place("no number")
    np.testing.assert_allclose(np.linalg.norm(table(), axis=1), 1, atol=1e-6)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with systems.upstream(tmp_path_factory.mktemp("gateway") / "upstream") as system:
        yield system


@pytest.mark.parametrize("form", ["base64", "float"])
def test_the_upstream_is_asked_and_every_answer_of_it_is_right(upstream: System, form: str) -> None:
    work = Workload("seventy", 70, 20, form, 3)  # an answer is more than one read or write
    found = gateway.measure(upstream, upstream, work, 0.05, 1)
    assert found.rate > 0
    assert 0 < found.p50 <= found.p99
    assert found.upstream_us == 0  # there is nobody behind it


def test_a_wrong_vector_or_status_ends_the_run(
    upstream: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "right", lambda *_: False)
    with pytest.raises(SystemExit, match="itself, two: a wrong vector"):
        gateway.measure(upstream, upstream, WORK, 0.01, 1)
    monkeypatch.setattr(gateway, "post", lambda *_: post("x", "/", {}, b"[]"))
    with pytest.raises(SystemExit, match="itself, two: 400"):
        gateway.measure(upstream, upstream, WORK, 0.01, 1)


def test_the_upstream_answers_requests_that_come_in_parts_or_together(upstream: System) -> None:
    body = json.dumps({"input": "7 words here", "encoding_format": "base64"}).encode()
    request = post("x", "/v1/embeddings", {}, body)
    whole = Upstream().answer(body)
    with socket.create_connection(("127.0.0.1", upstream.port), timeout=20) as link:
        answers = link.makefile("rb")
        for part in (request[:30], request[30:-5], request[-5:]):
            link.sendall(part)
        assert answers.read(len(whole)) == whole
        link.sendall(request)
        assert answers.read(len(whole)) == whole


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"input":[]}', b'{"input":"a","encoding_format":"x"}']
)
def test_the_upstream_refuses_what_it_has_no_vectors_for(body: bytes) -> None:
    assert Upstream().answer(body).startswith(b"HTTP/1.1 400")


def answer(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=0.2) as link:
        link.sendall(post("x", "/", {}, b"{}"))
        return link.recv(100)


def test_a_system_is_silent_while_it_is_stopped_and_answers_when_it_goes_on(
    upstream: System,
) -> None:
    upstream.pause()
    with pytest.raises(TimeoutError):
        answer(upstream.port)
    upstream.resume()
    assert answer(upstream.port).startswith(b"HTTP/1.1 400")


def told(requests: int, *statuses: int) -> Callable[..., object]:
    """Answer as a system that tells of so many requests a minute, with one status after another."""
    following = iter((200, *statuses))
    headers = {
        "X-RateLimit-Limit-Requests": str(requests),
        "x-ratelimit-api_key-limit-tokens": str(systems.TOKENS_A_MINUTE),
        "x-ratelimit-remaining-requests": "7",
    }
    return lambda *_: (next(following), headers, "")


def test_a_system_that_counts_is_let_in_and_one_that_does_not_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plenty = systems.REQUESTS_A_MINUTE
    monkeypatch.setattr(systems, "ask", told(plenty, 200, 429))
    systems.must_count(NOBODY, "once")
    monkeypatch.setattr(systems, "ask", told(plenty, 200, 200))
    with pytest.raises(SystemExit, match=r"any does not count: .*\[200, 200\], not \[200, 429\]"):
        systems.must_count(NOBODY, "once")
    monkeypatch.setattr(systems, "ask", told(plenty - 1, 200, 429))
    with pytest.raises(SystemExit, match=r"any tells other limits than .*99999999"):
        systems.must_count(NOBODY, "once")


def test_the_processor_time_and_memory_of_a_system_are_those_of_all_its_processes(
    tmp_path: Path,
) -> None:
    work = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(60)"
    starts = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {work!r}])"
    with systems.started([sys.executable, "-c", starts], tmp_path) as process:
        system = System("busy", process, 0, tmp_path)
        until = time.monotonic() + 30
        while system.cpu_s() < 0.3 and time.monotonic() < until:
            time.sleep(0.05)
        assert 0.3 <= system.cpu_s() < 3
        assert system.resident_mb() > 5


def test_a_program_that_ended_by_itself_is_told_of_with_what_it_said(tmp_path: Path) -> None:
    said = "import sys; sys.exit('no such option')"
    with systems.started([sys.executable, "-c", said], tmp_path) as process:
        process.wait(30)
        gone = System("gone", process, 9, tmp_path / "log")
        with pytest.raises(SystemExit, match=r"gone does not answer: (?s:.*)no such option"):
            systems.answers(gone)


def test_a_line_has_the_ratio_to_litellm_and_what_is_added_to_the_upstream() -> None:
    one = gateway.Round(900.0, 1.5, 3.0, 500.4, 20.0, 30.0)
    found = {
        "the upstream itself": [gateway.Round(5000.0, 0.5, 1.0, 20.0, 0.0, 30.0)],
        "Emblem": [one],
        "LiteLLM": [gateway.Round(90.0, 15.0, 30.0, 9000.0, 20.0, 30.0)],
    }
    _, row, _ = gateway.lines(WORKLOADS[0], found)
    assert (row["times_litellm"], row["added_p50_ms"], row["system_us"]) == (10.0, 1.0, 500)
    assert "500 µs of processor a request (upstream 20, load 30)" in gateway.line(row)
    assert "times_litellm" not in gateway.lines(WORKLOADS[0], {"Emblem": [one]})[0]


@pytest.mark.slow
def test_it_compares_emblem_with_its_upstream() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gateway", "--rounds", "1", "--seconds", "0.1",
         "--without-litellm"],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    assert "64 × 200 words" in done.stdout
    assert "Emblem, cache on" in done.stdout


@pytest.mark.slow
def test_litellm_counts_the_requests_and_tokens_of_a_key(upstream: System, tmp_path: Path) -> None:
    if not systems.LITELLM.exists():
        absent(f"{systems.LITELLM.relative_to(ROOT)} is not there; make test-slow installs it")
    with systems.litellm(tmp_path / "litellm", upstream.port, limits=True) as system:
        left = [systems.ask(system.port, system.key)[1] for _ in range(2)]
        for what in ("requests", "tokens"):
            first, second = (int(one[f"x-ratelimit-api_key-remaining-{what}"]) for one in left)
            assert second < first
        assert gateway.measure(system, upstream, WORK, 0.1, 1).rate > 0
