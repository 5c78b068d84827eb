"""What is asked of a provider for a request, or why it cannot be expressed there. Pure."""

from dataclasses import dataclass, field, replace

from emblem.errors import InvalidRequest
from emblem.offer import Prompts
from emblem.space import Space
from emblem.types import EmbedRequest, Overflow
from emblem.upstreams.dialects import Input, Wanted
from emblem.upstreams.finding import Probed, Spoken


@dataclass(frozen=True, slots=True)
class Hosted:
    """A model that is served elsewhere: its declared space, of whom it is asked for, and how.

    ``shortening`` tells that its maker shortens a vector to its first numbers, made of norm 1
    again. ``prompts`` are put before texts here, for a provider that knows nothing of kinds.
    """

    space: Space
    spoken: Spoken
    shortening: bool = False
    prompts: Prompts = field(default_factory=Prompts)


def inputs_for(request: EmbedRequest, hosted: Hosted) -> tuple[Input, ...]:
    """Give the texts, with their prompts. Raises InvalidRequest for what cannot be expressed."""
    name, preset = hosted.spoken.provider, hosted.spoken.preset
    inputs = request.inputs
    if not inputs or not all(isinstance(one, str) for one in inputs):
        raise InvalidRequest(f"{name} is sent texts only, and at least one", param="input")
    if preset.dialect != "emblem":
        _refuse_rule(request, hosted.spoken)
    kind = request.kind
    if kind is None:
        if preset.needs_kind:
            raise InvalidRequest(
                f"{name} must be told what the texts are for: input_type is query or document",
                param="input_type",
            )
        return inputs
    if kind in preset.kinds:
        return inputs
    if not hosted.prompts:
        raise InvalidRequest(
            f"{name} is no Emblem and knows no kinds of text. Leave input_type out, and put the "
            "model's own prompt before each text instead",
            param="input_type",
        )
    prompt = hosted.prompts.of(kind)
    return tuple(f"{prompt}{one}" for one in inputs) if prompt else inputs


def wanted_of(
    request: EmbedRequest, inputs: tuple[Input, ...], hosted: Hosted, found: Probed
) -> Wanted:
    """Give what to ask for. Raises InvalidRequest for dimensions that cannot be had.

    The full width is asked for wherever fewer numbers can be made of it here.
    """
    preset, space = hosted.spoken.preset, hosted.space
    dimensions = found.dimensions
    if request.dimensions not in (None, space.width) and not hosted.shortening:
        if preset.dimensions_field is None:
            raise InvalidRequest(
                f"{hosted.spoken.provider} has no field for dimensions, and the vectors of "
                f"{space.name} cannot be shortened here: dimensions must be {space.width}, or be "
                "left out",
                param="dimensions",
            )
        dimensions = request.dimensions
    kind = request.kind if request.kind in preset.kinds else None
    wanted = Wanted(hosted.spoken.model, inputs, found.encoding, kind, dimensions)
    if preset.dialect == "emblem":
        return replace(wanted, overflow=_rule(request, space, found), lane=request.lane)
    return wanted


def caching_of(request: EmbedRequest) -> str:
    """Give what servers in between are told, so that none answers from memory what is to be computed.

    A proof in particular would not show another model behind one that remembers.
    """
    if request.reuse and request.keep:
        return ""
    said = ("no-cache", not request.reuse), ("no-store", not request.keep)
    return ", ".join(word for word, meant in said if meant)


def _refuse_rule(request: EmbedRequest, spoken: Spoken) -> None:
    rule, refuses = request.overflow, spoken.preset.refuses_long is not None
    if rule is None or (rule is Overflow.ERROR and refuses):
        return
    allowed = "may be error, or be left out" if refuses else "must be left out"
    raise InvalidRequest(
        f"{spoken.provider} is no Emblem; what it does with long texts cannot be chosen here: "
        f"overflow {allowed}",
        param="overflow",
    )


def _rule(request: EmbedRequest, space: Space, found: Probed) -> Overflow | None:
    """Say which rule another Emblem is told: the space's, where its own is another one."""
    if request.overflow is not None or found.named is None:
        return request.overflow
    return None if space.overflow is found.named.overflow else space.overflow
