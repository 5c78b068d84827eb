"""OpenAI's dialect, and Emblem's, which is the same with fields of its own. Pure."""

from typing import Any

from emblem.upstreams import answers
from emblem.upstreams.dialects import Dialect, Wanted, shared
from emblem.upstreams.presets import FLOAT, Preset


def encode(preset: Preset, wanted: Wanted) -> dict[str, Any]:
    """Write a request. ``input`` is always a list."""
    fields = {**shared(preset, wanted), "input": wanted.inputs}
    if preset.says_float or wanted.encoding != FLOAT:
        fields[preset.encoding_field] = wanted.encoding
    return fields


def encode_emblem(preset: Preset, wanted: Wanted) -> dict[str, Any]:
    """Write a request to another Emblem, which is told the rule for long texts and the lane."""
    fields = encode(preset, wanted)
    if wanted.overflow is not None:
        fields["overflow"] = wanted.overflow
    if wanted.lane is not None:
        fields["priority"] = wanted.lane
    return fields


OPENAI = Dialect(encode, answers.embeddings)
EMBLEM = Dialect(encode_emblem, answers.embeddings)
