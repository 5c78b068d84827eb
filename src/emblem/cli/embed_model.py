"""Who embeds: a model in this process, or a server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from emblem.cli.embed_asked import Asked
from emblem.errors import InvalidRequest
from emblem.job import Choices, Manner, NumberFormat
from emblem.ports import Embedder
from emblem.space import Space
from emblem.types import EmbedRequest, Overflow

CANARY = "A short text that tells whether what is asked for can be had."


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """An embedder, and what is said of it.

    ``written`` is the space of the vectors as they are asked for; ``reads`` is how many tokens the
    model reads at once, None where that is not known or any length is read. ``answered`` is what a
    server calls the model in its answers.
    """

    embedder: Embedder
    model: str
    written: str
    reads: int | None
    manner: Manner
    answered: str | None = None

    @property
    def identity(self) -> str:
        """What must be the same for a job to be gone on with."""
        return f"{self.space} ({self.answered})" if self.answered else str(self.space)

    @property
    def space(self) -> Space:
        """The space of the model."""
        return self.embedder.space


@asynccontextmanager
async def opened(asked: Asked) -> AsyncIterator[Opened]:
    """Open what embeds, for as long as the block runs. Raises EmblemError."""
    one = await (_here(asked) if asked.base_url is None else _there(asked, asked.base_url))
    try:
        yield one
    finally:
        await one.embedder.aclose()


async def _here(asked: Asked) -> Opened:
    import asyncio

    from emblem import opening, serving
    from emblem.cli.progress import bars
    from emblem.names import Options, Served, check_options

    choices, settings = asked.choices, asked.settings
    with bars() as report:
        reference = asked.model or settings.default_model
        model = await asyncio.to_thread(serving.model, reference, settings, report)
    output = choices.dtype.output
    options = Options(choices.dimensions, choices.kind, output, choices.overflow)
    try:
        check_options(Served(model.name, model, 0), options)
    except InvalidRequest as error:  # which names a field of the API, and here it is a flag
        raise InvalidRequest(str(error).replace("input_type", "--kind")) from None
    written = model.written(dimensions=choices.dimensions, overflow=choices.overflow, output=output)
    embedder = await asyncio.to_thread(opening.open_engine, model, settings)
    return Opened(embedder, model.name, written, model.tokenization.max_length, Manner())


async def _there(asked: Asked, base_url: str) -> Opened:
    from emblem.config import environment
    from emblem.upstreams.opening import connect, provider_at
    from emblem.wrappers.checked import Checked

    # Not EMBLEM_API_KEY: it opens one's own server, and this may be anybody's.
    key = environment().get("OPENAI_API_KEY") or None
    name = asked.model or asked.settings.default_model
    choices = asked.choices
    upstream = await connect(provider_at(base_url, key), name)
    embedder = Checked(upstream)
    try:
        _check(embedder.space, choices)
        await embedder.embed(
            EmbedRequest((CANARY,), choices.kind, choices.dimensions, choices.overflow)
        )
    except BaseException:
        await embedder.aclose()
        raise
    written = embedder.space.written(
        dimensions=choices.dimensions, overflow=choices.overflow, output=choices.dtype.output
    )
    found = upstream.found
    manner = Manner(found is not None and found.named is not None, in_process=False)
    called = None if found is None else found.model
    return Opened(embedder, name, written, None, manner, called)


def _check(space: Space, choices: Choices) -> None:
    """Refuse what cannot be made of such vectors. Raises InvalidRequest."""
    dimensions = choices.dimensions or space.width
    if dimensions > space.width:
        raise InvalidRequest(
            f"--dimensions is {dimensions}, and the vectors of {space.name} have {space.width}"
        )
    if choices.dtype in (NumberFormat.INT8, NumberFormat.UINT8) and not space.normalised:
        raise InvalidRequest(
            f"--dtype {choices.dtype} has a fixed scale, for unit vectors, which {space.name} does "
            "not give; use float32"
        )
    if choices.dtype in (NumberFormat.BINARY, NumberFormat.UBINARY) and dimensions % 8:
        raise InvalidRequest(
            f"--dtype {choices.dtype} packs eight numbers into a byte, and {dimensions} is no "
            "multiple of 8"
        )


def overflow_rule(one: Opened, choices: Choices) -> Overflow:
    """Say what became of texts that were too long."""
    return choices.overflow or one.space.overflow
