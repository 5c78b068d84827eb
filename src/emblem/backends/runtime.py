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

__all__ = ["Node", "op", "openvino"]
