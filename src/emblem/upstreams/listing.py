"""What another Emblem says of a model of its own: ``GET /v1/models/NAME``."""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from emblem.errors import DeploymentFailed
from emblem.upstreams import retry
from emblem.upstreams.keys import Keys
from emblem.upstreams.provider import Provider
from emblem.upstreams.sending import Bounds, Client, Endless, Lost, Sent, Unreached

MOST_BYTES = 1 << 20


class Widths(msgspec.Struct, frozen=True):
    """How many numbers a vector may have."""

    min: int
    max: int


class Listed(msgspec.Struct, frozen=True):
    """A model as an Emblem lists it. ``max_model_len`` is None where it reads any length."""

    id: str
    dimensions: int
    allowed_dimensions: Widths
    space: str
    max_model_len: int | None = None
    overflow: str = ""
    languages: tuple[str, ...] = ()
    prompts: Mapping[str, str] = {}


async def listed(provider: Provider, model: str) -> Listed:
    """Ask an Emblem what it says of a model. Raises DeploymentFailed."""
    url = f"{provider.base_url.rstrip('/')}/models/{quote(model, safe='')}"
    bounds = Bounds(
        provider.connect_timeout_s, provider.read_timeout_s, 1, provider.environment_proxies
    )
    client = Client(url, bounds, "GET")
    key = Keys(provider.name, provider.keys, provider.key_file).next()
    headers = {**provider.headers} | ({"authorization": f"Bearer {key}"} if key else {})
    try:
        answer = await client.send(Sent(b"", headers, MOST_BYTES, provider.timeout_s))
        if answer.status != 200:
            raise DeploymentFailed(
                f"{provider.name} answers {answer.status} where its models are listed",
                lasting=not retry.worth_retrying(answer.status, answer.headers),
            )
        return msgspec.json.decode(answer.content, type=Listed)
    except (Endless, Lost, Unreached, TimeoutError) as error:
        why = str(error) or "it did not answer in time"
        raise DeploymentFailed(f"{provider.name} cannot be asked for its models: {why}") from None
    except msgspec.MsgspecError:
        raise DeploymentFailed(
            f"{provider.name} does not list its models as Emblem does; where it is none, its preset "
            'is "openai-compatible"',
            lasting=True,
        ) from None
    finally:
        await client.aclose()
