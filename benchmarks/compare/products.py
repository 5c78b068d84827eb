"""The bare matrix products of MiniLM's six layers, one after the other: ``python products.py KIND``.

Nothing but the products: query, key, value and output (384 × 384), up (384 × 1,536) and down, with
weights of their own in each layer, as much as the model has. Prints one JSON object: GFLOP/s by rows,
the median of many passes. ``copy`` prints GB/s of a large copy instead, read and written.
"""

import json
import statistics
import sys
import time

import numpy as np

LAYERS, WIDTH, INNER = 6, 384, 1536
SHAPES = [(WIDTH, WIDTH)] * 4 + [(INNER, WIDTH), (WIDTH, INNER)]  # out, in
FLOPS_PER_TOKEN = LAYERS * sum(2 * out * into for out, into in SHAPES)
ROWS = (16, 32, 64, 128, 256, 512, 1024)
SECONDS = 0.4  # for each number of rows


def weights():
    """Give every matrix, small enough that a chain of them neither grows nor vanishes."""
    chance = np.random.default_rng(1)
    return [
        (chance.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32)
        for _ in range(LAYERS)
        for shape in SHAPES
    ]


def torch_kind(name):
    """Give what multiplies with torch."""
    import torch

    kind = getattr(torch, name)
    chain = [torch.from_numpy(one).to(kind).T.contiguous() for one in weights()]

    def prepare(rows):
        x = torch.randn(rows, WIDTH).to(kind)

        def work():
            with torch.inference_mode():
                y = x
                for one in chain:
                    y = y @ one

        return work

    return prepare


def openvino_kind(name):
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
        "PERFORMANCE_HINT": "LATENCY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "384" if name == "int8-dynamic" else "0",
    }
    model = openvino.Model([x], [given])
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()

    def prepare(rows):
        x = np.random.default_rng(2).standard_normal((rows, WIDTH)).astype(np.float32)
        return lambda: request.infer([x], share_inputs=True, share_outputs=True)

    return prepare


def copy_speed():
    """Give GB/s of copying 256 MB with all threads: what is read and what is written."""
    import torch

    source, target = torch.ones(64 << 20), torch.empty(64 << 20)
    target.copy_(source)
    times = []
    for _ in range(10):
        started = time.perf_counter()
        target.copy_(source)
        times.append(time.perf_counter() - started)
    return 2 * 4 * len(source) / statistics.median(times) / 1e9


def main():
    """Measure every number of rows and print."""
    library, _, name = sys.argv[1].partition(":")
    if library == "copy":
        print(json.dumps({"GB/s": copy_speed()}))
        return
    prepare = {"torch": torch_kind, "openvino": openvino_kind}[library](name)
    found = {}
    for rows in ROWS:
        work = prepare(rows)
        until, times = time.perf_counter() + SECONDS, []
        work()
        while time.perf_counter() < until or len(times) < 3:
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        found[rows] = rows * FLOPS_PER_TOKEN / statistics.median(times) / 1e9
    print(json.dumps(found))


if __name__ == "__main__":
    main()
