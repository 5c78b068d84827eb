"""Models that give no vectors and are served elsewhere: for chat, and for ranking documents."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from emblem.config.numbers import Positive, Seconds


class ChatSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[chat.NAME]``: a model for chat of an upstream, which requests are passed on to."""

    upstream: str  # an [upstreams.NAME], or a preset that needs none
    model: str = ""  # what the upstream calls it; "" is NAME
    first_byte_timeout_s: Seconds = (
        300.0  # until an answer begins; without streaming, until its end
    )
    idle_timeout_s: Seconds = 60.0  # between two parts of a streamed answer
    timeout_s: Seconds = 600.0  # for a whole answer
    max_requests: Positive = 256  # that are passed on at once, by each process
    ask_for_usage: bool = True  # whether a streamed answer is asked to say its tokens at the end


class RerankSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[rerank.NAME]``: a model of an upstream that says how well documents answer a query."""

    upstream: str
    model: str = ""
    dialect: Annotated[str, Meta(pattern="^(cohere|tei)$")] = "cohere"  # how it is asked
    timeout_s: Seconds = 60.0
    max_requests: Positive = 256


def twice_named(tables: Mapping[str, Mapping[str, object]]) -> tuple[str, str, str] | None:
    """Find a name that two tables have: (the name, the first table, the second); None for none."""
    seen: dict[str, str] = {}
    for table, names in tables.items():
        for name in names:
            if name in seen:
                return name, seen[name], table
            seen[name] = table
    return None
