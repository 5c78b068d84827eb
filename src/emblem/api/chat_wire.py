"""Bodies of chat completions, of which only what has to be known is read. Pure.

Source: ``CreateChatCompletionRequest``, ``CreateChatCompletionResponse`` and
``CreateChatCompletionStreamResponse`` in openai/openai-openapi.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from emblem.api.passed import MAX_TOKENS, guessed
from emblem.api.problems import invalid, unparsed
from emblem.core.events import data
from emblem.errors import InvalidResult

Fields = dict[str, msgspec.Raw]

# A picture or a recording among the messages: what it costs has nothing to do with its bytes.
_NO_TEXT = re.compile(rb'"[A-Za-z0-9+/=_:;,.-]{1024,}"')

# The last event of a stream, or an answer's last part.
_FINISHED = re.compile(rb'^data: ?\[DONE\]|"finish_reason"\s*:\s*"', re.MULTILINE)

_fields = msgspec.json.Decoder(Fields)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request as it came: every field as its JSON, and what is read of them.

    ``guess`` is how many tokens are read, ``most`` how many may be written besides, 0 where nothing
    was said of that.
    """

    fields: Fields = field(repr=False)
    model: str | None
    stream: bool
    wants_usage: bool
    user: str
    guess: int
    most: int
    inputs: int = 1


def fields_of(body: bytes) -> Fields:
    """Read a body's fields, each as its JSON. Raises Problem for what is no object."""
    try:
        body.decode()
        return _fields.decode(body)
    except msgspec.ValidationError:
        raise invalid("The JSON body of your request is invalid: it must be an object.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unparsed(error, body) from None


def taken(fields: Fields, name: str, kind: Any, words: str) -> Any:
    """Read one field, None where it was left out or is null. Raises Problem, naming it."""
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind | None)
    except msgspec.ValidationError:
        raise invalid(f"'$.{name}' is invalid: it must be {words}, or null.", name) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unparsed(error, bytes(raw), name) from None


def read(body: bytes) -> ChatRequest:
    """Read a request. Raises Problem, naming the field that is wrong."""
    fields = fields_of(body)
    messages = bytes(fields.get("messages", msgspec.Raw()))
    if not re.match(rb"\[\s*[^\s\]]", messages):
        raise invalid(
            "'$.messages' is invalid: it must be an array with at least one message.", "messages"
        )
    whole = "a whole number"
    options = taken(fields, "stream_options", Fields, "an object") or {}
    most = taken(fields, "max_completion_tokens", int, whole)
    if most is None:
        most = taken(fields, "max_tokens", int, whole) or 0
    choices = taken(fields, "n", int, whole) or 1
    return ChatRequest(
        fields=fields,
        model=taken(fields, "model", str, "a string"),
        stream=bool(taken(fields, "stream", bool, "true or false")),
        wants_usage=bool(taken(options, "include_usage", bool, "true or false")),
        user=taken(fields, "user", str, "a string") or "",
        guess=guessed(len(_NO_TEXT.sub(b'""', body))),
        most=min(max(0, most) * max(1, choices), MAX_TOKENS),
    )


def renamed(asked: ChatRequest, model: str, *, ask_for_usage: bool) -> bytes:
    """Write a request for an upstream: with its own name for the model, and all else as it came.

    With ``ask_for_usage`` a stream is asked to end with what it cost.
    """
    fields = {**asked.fields, "model": msgspec.Raw(msgspec.json.encode(model))}
    if asked.stream and ask_for_usage and not asked.wants_usage:
        options = taken(fields, "stream_options", Fields, "an object") or {}
        options["include_usage"] = msgspec.Raw(b"true")
        fields["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return msgspec.json.encode(fields)


@dataclass(frozen=True, slots=True)
class Told:
    """What an answer says that it cost: all tokens, and those of them that were written."""

    tokens: int
    written: int


class Usage(msgspec.Struct):
    """What an answer cost, as it says itself."""

    total_tokens: int | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @property
    def told(self) -> Told | None:
        """All tokens, None where nothing tells or what is told cannot be."""
        if self.total_tokens is None and self.prompt_tokens is None:
            return None
        written = self.completion_tokens or 0
        tokens = self.total_tokens or (self.prompt_tokens or 0) + written
        if not 0 <= tokens <= MAX_TOKENS:
            return None
        return Told(tokens, min(max(0, written), tokens))


class _Answer(msgspec.Struct):
    """An answer, or a part of one in a stream."""

    usage: Usage | None = None
    choices: list[msgspec.Raw] | None = None


_answer = msgspec.json.Decoder(_Answer)


def told_by(answer: bytes, name: str) -> Told | None:
    """Give what an answer says that it cost; None where it does not say.

    Raises InvalidResult where it is none; ``name`` is whose.
    """
    found = _read(answer)
    if found is None or found.choices is None:
        raise InvalidResult(name, "an answer without choices")
    return found.usage.told if found.usage else None


class Tally:
    """Counts what a stream has cost, event by event.

    With ``hide`` the event that tells it is not for the client, who did not ask for it.
    """

    def __init__(self, *, hide: bool) -> None:
        self._hide = hide
        self.told: Told | None = None
        self.parts = 0  # of the answer: each is a token or a few
        self.ended = False  # whether the answer has said that it is over

    def passes(self, event: bytes) -> bool:
        """Take note of an event, and tell whether it is passed on."""
        self.ended = self.ended or _FINISHED.search(event) is not None
        if b'"usage"' not in event:
            self.parts += b'"choices"' in event
            return True
        found = _read(data(event))
        if found is None or found.usage is None:
            self.parts += 1
            return True
        told = found.usage.told
        if told is not None:
            self.told = told
        return not self._hide or bool(found.choices)


def _read(answer: bytes) -> _Answer | None:
    try:
        return _answer.decode(answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
