"""Opening models: ``load`` in this process, ``connect`` on a server."""

import math
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from emblem import config as configuration
from emblem import opening, serving
from emblem.config import Settings
from emblem.errors import ConfigError
from emblem.local.loop import Loop
from emblem.local.model import Abilities, EmbeddingModel
from emblem.models.progress import Progress
from emblem.types import Overflow

_FLAG = re.compile(r"^--(?:no-)?([a-z][a-z-]*)")


def load(
    reference: str | os.PathLike[str] | None = None,
    *,
    home: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    overflow: Overflow | Literal["mean", "truncate", "error"] | None = None,
    threads: int | None = None,
    streams: int | None = None,
    device: str | None = None,
    offline: bool | None = None,
) -> EmbeddingModel:
    """Open a model in this process, fetching it first where it is not here.

    ``reference`` is what ``emblem serve`` takes: a name of the catalogue or of emblem.toml, a hub
    repository, a folder; None is the default model. Whatever else is None comes from ``EMBLEM_*``
    and emblem.toml, as on the command line. The vectors are those that a server with these settings
    gives. Raises ConfigError or ModelError.
    """
    flags = {
        "home": _path(home),
        "overflow": overflow,
        "threads": None if threads is None else str(threads),
        "streams": None if streams is None else str(streams),
        "device": device,
        "offline": offline,
    }
    settings = _settings(flags, config)
    if reference is None:
        reference = settings.default_model
    elif not isinstance(reference, str):
        reference = str(Path(reference).absolute())
    if overflow is not None and (own := settings.models.get(reference)) is not None:
        own = msgspec.structs.replace(own, overflow=settings.overflow)
        settings = msgspec.structs.replace(settings, models={**settings.models, reference: own})
    return opened(reference, settings)


def opened(reference: str, settings: Settings, progress: Progress | None = None) -> EmbeddingModel:
    """Open a model in this process with these settings. Raises ConfigError or ModelError."""
    model = serving.model(reference, settings, progress)
    embedder = opening.open_engine(model, _unbounded(settings))
    abilities = Abilities(
        model.tokenization.max_length, bool(model.prompts), settings.empty_input == "embed"
    )
    return EmbeddingModel(model.name, embedder, Loop(model.name), abilities)


def connect(
    model: str,
    base_url: str | None = None,
    *,
    api_key: str | None = None,
    timeout_s: float = 60.0,
) -> EmbeddingModel:
    """Open a model of an OpenAI-compatible server, with the methods of one in this process.

    ``base_url`` ends in ``/v1`` as a rule; it and ``api_key`` come from ``OPENAI_BASE_URL`` and
    ``OPENAI_API_KEY`` where they are None. ``timeout_s`` is for one HTTP request; what passes is
    tried again. Raises ConfigError, or DeploymentFailed where there is no such server or model.
    """
    variables = configuration.environment()
    base_url = base_url or variables.get("OPENAI_BASE_URL")
    if not base_url:
        raise ConfigError("connect needs a base_url, or the variable OPENAI_BASE_URL")
    key = api_key or variables.get("OPENAI_API_KEY") or None
    loop = Loop(model)
    try:
        embedder = loop.run(opening.open_upstream(base_url, model, key, timeout_s=timeout_s))
    except BaseException:
        loop.stop()
        raise
    return EmbeddingModel(model, embedder, loop, Abilities())


def _settings(
    flags: Mapping[str, str | bool | None], config: str | os.PathLike[str] | None
) -> Settings:
    """Read the settings; what is wrong is named as Python names it, not as a flag."""
    file = None if config is None else Path(config)
    try:
        return configuration.load(flags=flags, config_file=file).settings
    except ConfigError as error:
        found = _FLAG.match(str(error))
        if found is None:
            raise
        name = found[1].replace("-", "_")
        raise ConfigError(f"{name}{str(error)[found.end() :]}") from None


def _unbounded(settings: Settings) -> Settings:
    """Let work wait for as long as it takes: whoever calls waits, and a few parts at a time do."""
    return msgspec.structs.replace(
        settings,
        interactive_queue_s=math.inf,
        bulk_queue_s=math.inf,
        max_queue_bytes=sys.maxsize,
    )


def _path(given: str | os.PathLike[str] | None) -> str | None:
    return None if given is None else os.fspath(given)
