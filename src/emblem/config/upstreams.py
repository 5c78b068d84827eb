"""Somebody else's servers: what can be set of them, and where their keys are."""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from emblem.config.fields import HeaderSettings, Scalar
from emblem.config.numbers import Positive, Seconds

Weight = Annotated[float, Meta(gt=0, le=1000)]


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """``[upstreams.NAME]``: a server of embeddings. What is not said is as its preset has it."""

    preset: str = ""  # such as "openai" or "openai-compatible"; "" is the one called NAME
    base_url: str = ""  # what OpenAI's clients call so: it ends in /v1 as a rule
    key_env: tuple[str, ...] = ()  # variables that hold its keys
    key_file: str = ""  # a file that holds its keys, one in a line
    dimensions_field: str | None = None  # what its field for dimensions is called; "" has none
    encodings: tuple[str, ...] = ()  # "base64", "float": what it gives, the best first
    refuses_long: bool | None = None  # whether it refuses texts that are too long, and cuts none
    max_inputs: Positive | None = None  # in one request to it
    max_request_tokens: Positive | None = None
    max_request_bytes: Positive | None = None
    api_version: str = ""  # Azure OpenAI's
    connect_timeout_s: Seconds = 5.0
    read_timeout_s: Seconds = 60.0  # between two parts of an answer
    timeout_s: Seconds = 120.0  # for a whole answer
    environment_proxies: bool = False  # whether it is reached by way of HTTPS_PROXY and its like
    headers: Mapping[str, HeaderSettings] = {}  # that are sent with every request
    kinds: Mapping[str, Mapping[str, Scalar]] = {}  # the fields that say query, and document


class DeploymentSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One of ``deployments``: the model here (``local = true``), or that of an upstream."""

    upstream: str = ""
    model: str = ""  # what the upstream calls it; "" is what it is called here
    local: bool = False
    weight: Weight = 1.0  # how much of the work it gets, beside the others
    max_requests: Positive = 64  # that it is sent at once


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def upstream_keys(
    settings: UpstreamSettings, usual: str, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Give the keys that variables hold, those of ``usual`` where none is named; none where unset.

    A variable may hold several, with commas between. Those of a file are read where they are used,
    for it may change while a server runs.
    """
    named = settings.key_env or ((usual,) if usual and not settings.key_file else ())
    given = [one.strip() for name in named for one in environ.get(name, "").split(",")]
    return tuple(dict.fromkeys(one for one in given if one))


def variable_problem(name: str) -> str | None:
    """Say why something is no name of a variable, such as a key that was written there."""
    if _VARIABLE.fullmatch(name):
        return None
    return "key_env holds names of variables, such as OPENAI_API_KEY, and never a key itself"
