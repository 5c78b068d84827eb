"""The bare matrix products of MiniLM's six layers, one after the other: ``python products.py LIBRARY``.

Nothing but the products: query, key, value and output (384 × 384), up (384 × 1,536) and down, with
weights of their own in each layer, as much as the model has. Each kind is computed in two ways: one
stream of all threads, and as many streams of one thread each, every one with a request and a Python
thread of its own; whichever is better is the ceiling.

Reads one JSON object a line: ``rows``, numbers of rows; ``seconds`` for each of them and each way;
``kinds``. Answers with one: GFLOP/s by kind, way and rows, the sum over streams of the median of
their passes; and under ``copy`` GB/s of a large copy, read and written, where ``copy`` was asked for.
"""

import json
import os
import statistics
import sys
import threading
import time
from functools import cache

import numpy as np

LAYERS, WIDTH, INNER = 6, 384, 1536
SHAPES = [(WIDTH, WIDTH)] * 4 + [(INNER, WIDTH), (WIDTH, INNER)]  # out, in
FLOPS_PER_TOKEN = LAYERS * sum(2 * out * into for out, into in SHAPES)
KINDS = {
    "torch": {"fp32": ["float32"], "bf16": ["bfloat16"]},
    "openvino": {
        "fp32": ["float32"],
        # Emblem's own group is 128.
        "int8": ["int8-dynamic-128", "int8-dynamic-384", "int8-fixed"],
    },
}


def cores():
    """Give how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def weights():
    """Give every matrix, small enough that a chain of them neither grows nor vanishes."""
    chance = np.random.default_rng(1)
    return [
        (chance.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32)
        for _ in range(LAYERS)
        for shape in SHAPES
    ]


@cache
def torch_kind(name, streams, threads):
    """Give what multiplies with torch: for each stream, a function that prepares for some rows."""
    import torch

    kind = getattr(torch, name)
    chain = [torch.from_numpy(one).to(kind).T.contiguous() for one in weights()]

    def prepare(rows):
        torch.set_num_threads(threads)  # in the thread that multiplies
        x = torch.randn(rows, WIDTH).to(kind)

        def work():
            with torch.inference_mode():
                y = x
                for one in chain:
                    y = y @ one

        return work

    return [prepare] * streams


@cache
def openvino_kind(name, streams, threads):
    """Give what multiplies with OpenVINO: fp32, or int8 rounded as it runs or in fixed steps."""
    import openvino
    from openvino import opset13 as op

    def matrix(one):
        if name == "float32":
            return op.constant(one)
        scale = np.abs(one).max(1, keepdims=True) / 127
        rounded = np.clip(np.rint(one / scale), -127, 127).astype(np.int8)
        return op.multiply(op.convert(op.constant(rounded), "f32"), op.constant(scale))

    def step(x, one):
        if name == "int8-fixed":
            low, high = op.constant(np.float32(-4 * 128 / 127)), op.constant(np.float32(4))
            x = op.fake_quantize(x, low, high, low, high, 256)
        return op.matmul(x, matrix(one), False, True)

    x = given = op.parameter([-1, WIDTH], np.float32)
    for one in weights():
        x = step(x, one)
    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(streams * threads),
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": name.rpartition("-")[2] if "dynamic" in name else "0",
    }
    model = openvino.Core().compile_model(openvino.Model([x], [given]), "CPU", config)

    def preparing(request):
        def prepare(rows):
            x = np.random.default_rng(2).standard_normal((rows, WIDTH)).astype(np.float32)
            return lambda: request.infer([x], share_inputs=True, share_outputs=True)

        return prepare

    return [preparing(model.create_infer_request()) for _ in range(streams)]


def speed(prepares, rows, seconds):
    """Give GFLOP/s of all streams at once."""
    passes = [[] for _ in prepares]
    ready = threading.Barrier(len(prepares))

    def one(prepare, times):
        work = prepare(rows)
        for _ in range(3):
            work()
        ready.wait()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(times) < 3:
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)

    threads = [
        threading.Thread(target=one, args=each) for each in zip(prepares, passes, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rows * FLOPS_PER_TOKEN / statistics.median(times) / 1e9 for times in passes)


def copy_speed():
    """Give GB/s of copying 256 MB with all threads: what is read and what is written."""
    import torch

    torch.set_num_threads(cores())
    source, target = torch.ones(64 << 20), torch.empty(64 << 20)
    target.copy_(source)
    times = []
    for _ in range(10):
        started = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - started)
    return 2 * 4 * len(source) / statistics.median(times) / 1e9


def measure(library, kinds, numbers, seconds):
    """Give GFLOP/s by kind, way and rows."""
    make = {"torch": torch_kind, "openvino": openvino_kind}[library]
    n = cores()
    found = {}
    for kind in kinds:
        for name in KINDS[library].get(kind, ()):
            for streams, threads in sorted({(1, n), (n, 1)}):
                way = f"{library} {name}, {streams} × {threads}"
                prepares = make(name, streams, threads)
                by_rows = {rows: speed(prepares, rows, seconds) for rows in numbers}
                found.setdefault(kind, {})[way] = by_rows
    return found


def main():
    """Answer until nothing more comes."""
    library = sys.argv[1]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        numbers, seconds = asked.get("rows", [16]), asked.get("seconds", 0.0)
        found = {"products": measure(library, asked.get("kinds", ["fp32"]), numbers, seconds)}
        if asked.get("copy") and library == "torch":
            found["copy"] = copy_speed()
        print(json.dumps(found), file=answers, flush=True)


if __name__ == "__main__":
    main()
