"""The benchmark: its arithmetic, its checks, and a tiny run against Emblem alone."""

import json
import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from benchmarks.compare import (
    echo,
    kept,
    load,
    measure,
    once,
    products,
    report,
    systems,
    targets,
    texts,
)
from benchmarks.compare.check import WrongAnswer, cosines, decode
from benchmarks.compare.judge import Taken, Turn, judge
from benchmarks.compare.run import Asked, in_order, take_turn
from benchmarks.compare.stats import percentile, ratios, spread
from benchmarks.compare.workloads import WORKLOADS, Workload

from emblem.api.wire import EncodingFormat


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    random.Random(1).shuffle(values)
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (50.0, 99.0)
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="no value"):
        percentile([], 0.5)


def test_ratios_are_of_the_same_round_only() -> None:
    assert ratios({0: 4.0, 1: 9.0, 2: 1.0}, {0: 2.0, 1: 3.0}) == [2.0, 3.0]


def turn(part: str = "query", *, texts: int = 100, ms: float = 1.0, **other: Any) -> Turn:
    given = {"failed": 0, "wrong": 0, "worst": 1.0, "mean": 1.0, "problem": ""} | other
    return Turn(part, texts, texts, 14 * texts, 1.0, ms, ms, **given)


def test_a_crash_in_a_round_is_shown_although_the_other_rounds_went_well() -> None:
    results = kept.Results("a run")
    results.add_problem("queries-1", 1, "infinity", "ended with 9: killed")
    for number in (0, 2):
        results.add("queries-1", number, "infinity", [turn()])
    told = report.terminal(results)
    assert "2/3" in told
    assert "- infinity (torch), queries-1, round 2: ended with 9: killed" in told


def test_a_target_is_not_reached_with_wrong_or_failed_answers() -> None:
    results = kept.Results("a run")
    results.add("queries-32", 0, "emblem", [turn(texts=1000, wrong=900, failed=50)])
    results.add("queries-32", 0, "emblem-int8", [turn(texts=1000)])
    results.add("queries-32", 0, "infinity", [turn(texts=100)])
    (row,) = (row for row in targets.targets(results) if "32 connections, against" in row[0])
    assert row[2:] == ["10.00", "10.00", "no (wrong answers) / yes"]


def test_a_rival_is_beaten_only_where_its_own_answers_were_right() -> None:
    results = kept.Results("a run")
    results.add("queries-32", 0, "emblem", [turn(texts=1000)])
    results.add("queries-32", 0, "infinity", [turn(texts=100, failed=1)])
    assert targets.targets(results) == []


def test_turns_of_different_runs_are_not_compared() -> None:
    results = kept.Results("one", {"commit": "a", "cpu": "b"})
    results.add("queries-32", 0, "emblem", [turn(texts=1000)])
    results.goes_on("another", {"commit": "a", "cpu": "b"})
    results.add("queries-32", 0, "infinity", [turn(texts=100)])
    assert targets.targets(results) == []
    results.add("queries-32", 0, "emblem", [turn(texts=500)])
    (row,) = targets.targets(results)
    assert row[2] == "5.00"


@pytest.mark.parametrize("other", [{"commit": "c", "cpu": "b"}, {"commit": "a", "cpu": "d"}])
def test_another_commit_or_processor_does_not_go_into_the_same_file(other: dict[str, str]) -> None:
    results = kept.Results("one", {"commit": "a", "cpu": "b"})
    with pytest.raises(SystemExit, match="give another file"):
        results.goes_on("another", other)


def test_the_share_of_the_ceiling_is_of_the_best_way_in_the_same_round() -> None:
    results = kept.Results("a run")
    for number in range(2):
        results.add("passages", number, "emblem", [turn("passages", texts=1000)])
    results.add_ceiling("passages", 0, {"fp32": {"1 × 2": 268.0, "2 × 1": 594.5}})
    results.add_ceiling("passages", 1, {"fp32": {"1 × 2": 297.3, "2 × 1": 286.0}})
    found = [ours / bare for ours, bare in targets.shares(results, "passages", "emblem").values()]
    assert found == pytest.approx([0.5, 1.0], abs=0.01)
    told = report.terminal(results)
    assert "0.75 (0.50 to 1.00)" in told
    (row,) = (row for row in targets.targets(results) if row[0] == "ceiling: passages")
    assert (row[1], row[4]) == ("≥ 0.80", "no")


def test_a_query_beside_bulk_is_held_against_two_rows_and_its_own_time() -> None:
    results = kept.Results("a run")
    results.add("queries-1", 0, "emblem", [turn(ms=5.0)])
    results.add("mixed", 0, "emblem", [turn(ms=45.0, row_ms=20.0)])
    (row,) = (row for row in targets.targets(results) if "two rows" in row[0])
    assert row[2:] == ["1.00", "", "yes"]


def test_one_query_is_held_against_every_rival_over_http_and_no_library() -> None:
    results = kept.Results("a run")
    for system, ms in (("emblem", 5.0), ("infinity", 20.0), ("infinity-onnx", 4.0), ("st", 1.0)):
        results.add("queries-1", 0, system, [turn(ms=ms)])
    (row,) = (row for row in targets.targets(results) if "best rival's over HTTP" in row[0])
    assert row[2:] == ["1.250", "", "no"]


def test_a_name_means_one_workload_and_some_are_measured_only_where_named() -> None:
    assert [one.name for one in Asked(["queries-32"]).workloads()] == ["queries-32"]
    assert [one.name for one in Asked(["many-float"]).workloads()] == ["many-float"]
    usual = {one.name for one in Asked().workloads()}
    assert {"queries-32", "many"} <= usual
    assert not {"queries-32-float", "many-float"} & usual


def test_each_round_another_system_is_the_first() -> None:
    given: list[Any] = ["a", "b", "c"]
    assert [in_order(given, n) for n in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_a_warm_up_has_texts_of_its_own_in_every_turn() -> None:
    for name, requests in (("queries-32", 32), ("queries-128", 128), ("passages", 4)):
        (workload,) = (one for one in WORKLOADS if one.name == name)
        parts = [workload.warm_up(n) for n in range(2)]
        sent = [{text for batch in part.batches for text in batch} for part in parts]
        measured = {text for batch in workload.phases(0, True)[0][0].batches for text in batch}
        assert [len(part.batches) for part in parts] == [requests] * 2
        assert not sent[0] & sent[1]
        assert not sent[0] & measured


def test_a_failed_request_does_not_make_the_others_look_quicker(
    model_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systems, "HOME", model_home)
    got = [measure.Got(["a"], 0.001, None, "503 busy")] * 60
    (system,) = (one for one in systems.SYSTEMS if one.name == "echo")
    (workload,) = (one for one in WORKLOADS if one.name == "static-base64")
    good = [measure.Got(["a"], 0.01, np.ones((1, 2), np.float32))] * 40
    whole = [measure.Measured("query", 2.0, [*got, *good])]
    ((one,),) = judge([Taken(system, workload, 0, whole)])
    assert (one.failed, one.p50_ms, one.right) == (60, 2000.0, False)


@pytest.mark.parametrize(
    ("form", "size"), [(EncodingFormat.FLOAT, 3277), (EncodingFormat.BASE64, 1530)]
)
def test_the_echo_has_the_size_of_a_real_answer(form: EncodingFormat, size: int) -> None:
    body = echo.constant(form)
    assert decode(200, body, 1).shape == (1, 256)
    assert len(body) == pytest.approx(size, rel=0.03)


def test_the_bare_products_are_computed_both_ways() -> None:
    found = products.measure("openvino", ["fp32"], [16], 0.001)["fp32"]
    n = products.cores()
    assert set(found) == {f"openvino float32, {s} × {t}" for s, t in ((1, n), (n, 1))}
    assert all(by_rows[16] > 0 for by_rows in found.values())


def test_a_spread_has_the_median_between_its_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == spread([1.0, 2.0, 3.0])
    assert (spread([3.0, 1.0, 2.0]).median, spread([3.0, 1.0]).least) == (2.0, 1.0)


def test_texts_are_the_same_for_a_seed_and_new_for_another() -> None:
    def first(seed: str) -> list[str]:
        made = texts.texts(texts.QUERIES, seed)
        return [next(made) for _ in range(50)]

    assert first("a") == first("a")
    assert not set(first("a")) & set(first("b"))


def answer(*items: tuple[int, list[float]]) -> bytes:
    data = [{"index": index, "embedding": numbers} for index, numbers in items]
    return json.dumps({"data": data}).encode()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (0, b"", "the connection broke"),
        (503, b"busy", "503 busy"),
        (200, b"{}", "no answer of this API"),
        (200, answer((0, [1.0])), "1 vectors"),
        (200, answer((1, [1.0]), (0, [2.0])), "in the order"),
    ],
)
def test_what_is_no_answer_is_told(status: int, body: bytes, said: str) -> None:
    with pytest.raises(WrongAnswer, match=said):
        decode(status, body, 2)


def test_vectors_of_another_width_or_none_at_all_have_no_likeness() -> None:
    one, other = np.eye(2, dtype=np.float32), np.ones((2, 3), np.float32)
    assert cosines(one, other).tolist() == [0.0, 0.0]
    assert cosines(one, np.zeros_like(one)).tolist() == [0.0, 0.0]
    assert cosines(one, 3 * one).tolist() == [1.0, 1.0]


@pytest.fixture
def peculiar() -> Iterator[int]:
    """A server that answers in chunks, then breaks the connection, by turns."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_by_turns, args=(listener, 4), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def _by_turns(listener: socket.socket, n: int) -> None:
    for _ in range(n // 2):
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sendall(head + b"3\r\nabc\r\n")
            connection.sendall(b"2\r\nde\r\n0\r\n\r\n")
            connection.recv(1 << 16)


def test_chunks_are_joined_and_a_broken_connection_is_an_error(peculiar: int) -> None:
    request = load.post("127.0.0.1", "/", {}, b"{}")
    stream = load.Stream([request] * 4, 1)
    load.run(("127.0.0.1", peculiar), [stream])
    assert [(one.status, one.body) for one in stream.answers] == [(200, b"abcde"), (0, b"")] * 2


def test_a_warm_up_or_a_query_that_fails_is_an_error(peculiar: int) -> None:
    (system,) = (one for one in systems.SYSTEMS if one.name == "echo")
    running = cast("systems.Running", SimpleNamespace(system=system, port=peculiar, headers={}))
    with pytest.raises(RuntimeError, match="4 of 4 failed: "):
        measure.ask(running, measure.Part("query", [["a"]] * 4, 1))


def _once_and_never_again(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection, listener:
        connection.recv(1 << 16)
        listener.close()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def test_a_server_that_is_gone_fails_thousands_of_requests_one_after_the_other() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    thread = threading.Thread(target=_once_and_never_again, args=(listener,), daemon=True)
    thread.start()
    stream = load.Stream([load.post("127.0.0.1", "/", {}, b"{}")] * 5000, 1)
    load.run(address, [stream])
    thread.join()
    assert [one.status for one in stream.answers] == [200, *([0] * 4999)]


def test_a_run_against_emblem_alone_finds_every_vector_right(
    model_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(systems, "HOME", model_home)
    monkeypatch.setattr(systems, "BUILT", tmp_path)
    (system,) = (one for one in systems.SYSTEMS if one.name == "emblem-static")
    (workload,) = (one for one in WORKLOADS if one.name == "static-base64")
    running = systems.Running(system)
    try:
        assert running.wait() > 0
        assert (running.resident_bytes() or 1) > 0
        found: list[measure.Measured] = []
        measure.turn(running, _Small("queries-2", "", (), 1, 1.0), 0, found, quick=True)
    finally:
        running.close()
    results = kept.Results("a run")
    (turns,) = judge([Taken(system, workload, 0, found)])
    results.add(workload.name, 0, system.name, turns)
    results.save(tmp_path / "run.json")
    again = kept.load(tmp_path / "run.json")
    (one,) = again.of(workload.name)[system.name].values()
    assert (one.requests, one.texts, one.failed, one.wrong) == (20, 20, 0, 0)
    assert one.worst is not None
    assert one.worst > 0.99999
    assert "wordllama-256" in report.terminal(again)


class _Small(Workload):
    """Twenty texts."""

    def phases(self, turn: int, quick: bool) -> list[list[measure.Part]]:
        made = texts.texts(texts.QUERIES, "small")
        return [[measure.Part("query", [[next(made)] for _ in range(20)], 2)]]


def test_a_server_that_was_killed_is_told_of_and_what_it_did_before_is_kept() -> None:
    (system,) = (one for one in systems.SYSTEMS if one.name == "echo")
    running = systems.Running(system)
    try:
        running.wait()
        found, problem = take_turn(running, _Small("queries-2", "", (), 1, 1.0), 0, quick=True)
        assert (len(found[0].got), problem) == (20, None)
        os.killpg(running.process.pid, signal.SIGKILL)
        running.process.wait()
        found, problem = take_turn(running, _Small("queries-2", "", (), 1, 1.0), 1, quick=True)
        assert found == []
        assert problem is not None
        assert problem.startswith("ended with -9")
    finally:
        running.close()


def test_a_wrong_vector_is_counted_and_shown() -> None:
    (system,) = (one for one in systems.SYSTEMS if one.name == "emblem-static")
    bad = turn(failed=1, wrong=3, worst=0.5, problem="503 busy")
    results = kept.Results("a run")
    results.add("static-base64", 0, system.name, [bad])
    (fault,) = targets.faults(results)
    assert "1 failed, 3 wrong: 503 busy" in fault
    (row,) = (line for line in report.terminal(results).splitlines() if system.title in line)
    assert [cell.strip() for cell in row.split("|")[-4:-1]] == ["1", "3", "0.5000000"]
    assert not bad.right


def test_encoding_is_timed_to_the_last_byte() -> None:
    found = once.encoding(rounds=1)
    # No writer of 786,432 numbers is ten times as fast as the bare library that it is made of.
    assert 10 * float(str(found["json"])) > float(str(found["orjson"]))
    assert 10 * float(str(found["base64"])) > float(str(found["pybase64"]))
