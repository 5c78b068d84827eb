"""A server that answers as the provider of a preset does, by the documentation that the row cites."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from emblem.space import Space
from emblem.upstreams.hosted import HostedUpstream
from emblem.upstreams.opening import Provider, open_upstream
from emblem.upstreams.presets import Preset
from upstreams.scripted import WIDTH, Answer, Scripted, vector, written

KEY = "key-that-nobody-may-see-anywhere"


@dataclass
class Time:
    """A clock that only moves when somebody moves it."""

    now: float = 1000.0
    waited: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def texts_of(body: dict[str, Any]) -> list[str]:
    """Give the texts of a request, whatever the dialect."""
    found: list[str] = body["texts"] if "texts" in body else body["input"]
    return found


def encoding_of(preset: Preset, body: dict[str, Any]) -> str:
    """Give the form of the vectors that a request asks for."""
    said = body.get(preset.encoding_field, "float")
    return str(said[0] if isinstance(said, list) else said)


def answering(preset: Preset, width: int = WIDTH) -> Callable[[dict[str, Any]], Answer]:
    """Give a script that answers every request of a preset rightly, vectors shortened if asked."""

    def script(body: dict[str, Any]) -> Answer:
        asked = body.get(preset.dimensions_field or "", width)
        rows = [vector(text, width)[:asked] for text in texts_of(body)]
        forms = [written(row, encoding_of(preset, body)) for row in rows]
        if preset.dialect == "cohere":
            units = {"billed_units": {"input_tokens": 7}}
            embeddings = {encoding_of(preset, body): forms}
            return Answer(200, {"id": "x", "embeddings": embeddings, "meta": units})
        data = [{"index": index, "embedding": one} for index, one in enumerate(forms)]
        usage = {"prompt_tokens": 7, "total_tokens": 7}
        headers = {"x-embedding-space": f"m@0123abcd/{asked}"} if preset.dialect == "emblem" else {}
        return Answer(200, {"data": data[::-1], "model": "m", "usage": usage}, headers)

    return script


def provider_for(preset: Preset, scripted: Scripted, **options: Any) -> Provider:
    """Give a preset's provider, at the address of a test's server."""
    return Provider("mine", preset, scripted.base_url, **{"keys": (KEY,), **options})


def opened(
    preset: Preset, scripted: Scripted, clock: Time | None = None, **options: Any
) -> HostedUpstream:
    """Open the model ``m``, of ``WIDTH`` numbers, of a test's server."""
    shortening = options.pop("shortening", None)
    space = Space.declared("mine/m", WIDTH, normalised=True)
    clocked = {} if clock is None else {"clock": clock}
    return open_upstream(
        provider_for(preset, scripted, **options), "m", space, shortening=shortening, **clocked
    )


def only_floats(preset: Preset) -> Preset:
    """Give the preset of a provider that gives numbers alone."""
    return replace(preset, encodings=("float",))
