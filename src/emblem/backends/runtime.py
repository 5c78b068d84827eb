"""OpenVINO's runtime, and the only place that imports it.

``import openvino`` also imports ``openvino.tools`` where it can, and importing that reports to its
makers over the network and leaves files in the home folder, unless somebody has opted out. So that
import is made to fail, which OpenVINO allows for, and made possible again afterwards for whoever
wants it.
"""

import sys

_TOOLS = "openvino.tools"

if _TOOLS in sys.modules:  # somebody else's choice, made already
    import openvino
else:
    sys.modules[_TOOLS] = None  # type: ignore[assignment] # this is how an import is forbidden
    try:
        import openvino
    finally:
        del sys.modules[_TOOLS]

from openvino import Node  # noqa: E402 - only after the above
from openvino import opset13 as op  # noqa: E402

__all__ = ["Node", "compiled", "op", "openvino"]


def compiled(
    model: openvino.Model, *, threads: int, streams: int, group_size: int = 0
) -> openvino.CompiledModel:
    """Compile a graph for the CPU, in float32. ``threads`` are shared by ``streams``.

    What is multiplied with weights of eight bits is rounded to eight bits too, in groups of
    ``group_size`` numbers of a token; 0 leaves it as it is, and so does a CPU without VNNI.
    Raises whatever OpenVINO raises.
    """
    return openvino.Core().compile_model(
        model,
        "CPU",
        {
            # Where a CPU has bfloat16 or float16 units the default is to use them.
            "INFERENCE_PRECISION_HINT": "f32",
            "EXECUTION_MODE_HINT": "ACCURACY",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(group_size),
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": threads,
            # Pinned, all containers of a host would sit on its first cores.
            "ENABLE_CPU_PINNING": False,
        },
    )
