"""What to do about a model that is not served."""

import difflib

from emblem.models import catalog
from emblem.models.catalog import Row
from emblem.models.reference import INT8, LATEST
from emblem.names import OPENAI_WIDTHS
from emblem.serving import Plan


def hint(plan: Plan, name: str) -> str:
    """Say what to do about a model that is not served."""
    listed = "GET /v1/models lists what is served."
    base = name.partition("@")[0]
    if name in plan.settings.chat:
        return "It is for chat: POST /v1/chat/completions."
    if name in plan.settings.rerank:
        return "It is for rankings: POST /v1/rerank."
    if base in OPENAI_WIDTHS:
        return (
            "It stands for the default model only while no models are configured; "
            f"[aliases.{base}] in emblem.toml names one. {listed}"
        )
    source = base.removesuffix(f":{INT8}")
    if source != base and (catalog.find(source) or source in plan.models or "/" in source):
        return (
            f"To make it here, run: emblem quantize {source}, and start the server again. {listed}"
        )
    if base == catalog.CL100K.name:
        return f"It is the vocabulary that OpenAI's token ids are read with, and no model. {listed}"
    if (row := catalog.find(base.removesuffix(f":{LATEST}"))) is not None:
        return _hint_of_row(plan, row, listed)
    served = {one.name.lower(): one.name for one in plan.served}
    if near := difflib.get_close_matches(base.lower(), served, n=1, cutoff=0.8):
        return f"Did you mean {served[near[0]]}? {listed}"
    if (known := catalog.nearest(base)) is not None:
        return f"Did you mean {known}? {listed}"
    if "/" in base:
        return f"If it is a model of the hub, run: emblem pull {base}, and start the server again."
    return listed


def _hint_of_row(plan: Plan, row: Row, listed: str) -> str:
    for one in plan.served:
        same = one.model.space.weights == row.weights or one.model.name in row.names
        if one.alias_of is None and same:
            return f"It is served here as `{one.name}`."
    if plan.settings.serve or plan.settings.models:
        return f"To serve it, add it to the models of `emblem serve` or of emblem.toml. {listed}"
    return f"To serve it, run: emblem pull {row.name}, and start the server again."
