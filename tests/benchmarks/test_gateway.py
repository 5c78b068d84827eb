"""The gateway's benchmark runs, and would notice a wrong vector."""

import base64
import json
import subprocess
import sys

import numpy as np
import pytest
from benchmarks.gateway import __main__ as gateway
from benchmarks.gateway.upstream import VECTORS, place, table

from system import ROOT

WORK = gateway.Workload("two", 2, 3, "base64", 1)


def answered(*places: int) -> bytes:
    vectors = table()
    data = [
        {"index": index, "embedding": base64.b64encode(vectors[one].tobytes()).decode()}
        for index, one in enumerate(places)
    ]
    return json.dumps({"data": data}).encode()


def test_a_right_answer_passes_and_one_of_other_texts_or_another_order_ends_the_run() -> None:
    system = gateway.System("any", None, 0)  # type: ignore[arg-type]  # nobody is asked
    asked = json.dumps({"input": ["7 words here", "9 words here"]}).encode()
    gateway.check(system, WORK, asked, answered(7, 9))
    for wrong in (answered(9, 7), answered(7), answered(7, 8)):
        with pytest.raises(SystemExit, match="any, two: a wrong vector"):
            gateway.check(system, WORK, asked, wrong)


def test_a_text_has_the_vector_of_its_number() -> None:
    assert place("300 and more") == 300 % VECTORS
    assert place("no number") == place("no number")
    np.testing.assert_allclose(np.linalg.norm(table(), axis=1), 1, atol=1e-6)


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
