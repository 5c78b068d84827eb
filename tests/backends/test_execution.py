"""A row that runs alone has all threads, and one that runs beside others its share."""

import os
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from emblem.backends import execution
from emblem.backends.execution import Execution
from emblem.backends.openvino import OpenVINOBackend
from emblem.backends.runtime import op, openvino
from emblem.models import layout
from emblem.models.safetensors import Weights
from emblem.types import Row


def doubling() -> openvino.Model:
    given = op.parameter(openvino.PartialShape([-1]), openvino.Type.f32)
    return openvino.Model([op.add(given, given)], [given], "doubling")


@pytest.fixture
def compiled_for(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the streams of every graph that is compiled, in order."""
    found: list[int] = []
    compile_it = execution.compiled

    def noting(model: openvino.Model, *, threads: int, streams: int, group_size: int) -> object:
        found.append(streams)
        return compile_it(model, threads=threads, streams=streams, group_size=group_size)

    monkeypatch.setattr(execution, "compiled", noting)
    return found


def test_one_stream_compiles_once(compiled_for: list[int]) -> None:
    one = Execution(doubling(), threads=2, streams=1)
    assert one.requests().infer([np.ones(3, np.float32)])[0].tolist() == [2, 2, 2]
    assert compiled_for == [1]


def test_the_first_stream_can_run_before_what_runs_beside_it_is_compiled(
    compiled_for: list[int],
) -> None:
    several = Execution(doubling(), threads=3, streams=3)
    first = several.requests()
    assert first.infer([np.ones(2, np.float32)])[0].tolist() == [2, 2]
    assert compiled_for == [1]
    second, third = several.requests(), several.requests()
    assert compiled_for == [1, 3]
    for requests in (second, third):
        assert requests.infer([np.ones(2, np.float32)])[0].tolist() == [2, 2]


def test_only_the_first_of_those_that_run_is_alone() -> None:
    several = Execution(doubling(), threads=2, streams=2)
    with several.turn() as first:
        with several.turn() as second:
            assert (first, second) == (True, False)
        with several.turn() as again:
            assert not again
    with several.turn() as later:
        assert later


def test_bulk_leaves_all_threads_to_a_row_that_somebody_waits_for() -> None:
    several = Execution(doubling(), threads=2, streams=2)
    with several.turn(bulk=True) as first, several.turn(bulk=True) as second:
        assert not first
        assert not second
        with several.turn(spare=True) as spare:
            assert spare
    with several.turn() as waited_for, several.turn(spare=True) as spare:
        assert waited_for
        assert not spare  # what runs with all threads has them until it ends


def test_bulk_on_the_only_stream_has_all_threads() -> None:
    one = Execution(doubling(), threads=2, streams=1)
    with one.turn(bulk=True) as alone:
        assert alone


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own elsewhere")
def test_what_runs_beside_others_gives_way_and_this_thread_does_not() -> None:
    def tasks() -> set[int]:
        return {int(task.name) for task in Path("/proc/self/task").iterdir()}

    own = os.getpriority(os.PRIO_PROCESS, 0)
    several = Execution(doubling(), threads=2, streams=2)
    before = tasks()
    request = several.beside().create_infer_request()
    request.infer([np.ones(1, np.float32)])
    patient = [os.getpriority(os.PRIO_PROCESS, task) for task in tasks() - before]
    assert len(patient) >= 2
    assert set(patient) == {own + execution.STEPS_BACK}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_a_spare_row_gives_the_same_bytes_beside_bulk_on_all_streams(minilm_folder: Path) -> None:
    model = layout.read(minilm_folder, "minilm")
    backend = OpenVINOBackend(model.encoder, Weights(model.weights), threads=2, streams=2)
    stream, spare = backend.stream(), backend.spare()
    row = Row(np.arange(1000, 1013, dtype=np.int32), np.array([13], np.int32))
    expected = stream.run(row).tobytes()
    turn = partial(backend._execution.turn, bulk=True)
    with turn(), turn():
        assert spare.run(row).tobytes() == expected
    assert stream.run(replace(row, bulk=True)).tobytes() == expected


def test_a_turn_ends_with_an_error_too() -> None:
    several = Execution(doubling(), threads=2, streams=2)
    with pytest.raises(RuntimeError, match="broken"), several.turn():
        raise RuntimeError("broken")
    with several.turn() as alone:
        assert alone


def test_a_stream_that_finds_another_running_shares_the_threads(compiled_for: list[int]) -> None:
    several = Execution(doubling(), threads=2, streams=2)
    first = several.requests()
    with several.turn():
        assert first.infer([np.ones(1, np.float32)])[0].tolist() == [2]
    assert compiled_for == [1, 2]


def test_what_is_closed_opens_no_stream() -> None:
    several = Execution(doubling(), threads=2, streams=2)
    several.close()
    with pytest.raises(RuntimeError, match="closed"):
        several.requests()


@pytest.mark.parametrize(("threads", "streams"), [(1, 2), (2, 0)])
def test_streams_without_a_thread_are_refused(threads: int, streams: int) -> None:
    with pytest.raises(ValueError, match=f"{streams} streams on {threads} threads"):
        Execution(doubling(), threads=threads, streams=streams)


def test_a_row_has_the_same_bytes_alone_and_beside_others(minilm_folder: Path) -> None:
    model = layout.read(minilm_folder, "minilm")
    backend = OpenVINOBackend(model.encoder, Weights(model.weights), threads=2, streams=2)
    stream = backend.stream()
    dice = np.random.default_rng(5)
    for lengths in ([1], [9], [16], [31], [8, 24, 9], [64], [40, 41, 47], [128], [200], [90, 110]):
        ids = dice.integers(1000, 28000, sum(lengths)).astype(np.int32)
        row = Row(ids, np.array(lengths, np.int32))
        alone = stream.run(row).tobytes()
        with backend._execution.turn():
            assert stream.run(row).tobytes() == alone


def test_streams_that_run_at_once_give_what_each_gives_alone(minilm_folder: Path) -> None:
    model = layout.read(minilm_folder, "minilm")
    backend = OpenVINOBackend(model.encoder, Weights(model.weights), threads=2, streams=2)
    dice = np.random.default_rng(6)
    rows = [
        Row(dice.integers(1000, 28000, n).astype(np.int32), np.array([n], np.int32))
        for n in (12, 33, 70, 100)
    ]
    stream = backend.stream()
    expected = [stream.run(row).tobytes() for row in rows]
    found: list[bool] = []

    def work() -> None:
        mine = backend.stream()
        for _ in range(4):
            found.extend(
                mine.run(row).tobytes() == right for row, right in zip(rows, expected, strict=True)
            )

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 32
