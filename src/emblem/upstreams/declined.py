"""What it means that an upstream does not do what was passed on to it. Pure."""

import re
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from emblem.core.redact import on_one_line, redacted
from emblem.errors import DeploymentFailed, EmblemError, Overloaded, RefusedElsewhere
from emblem.upstreams import retry

MAX_SAID = 1000  # characters of its own words
MAX_WORD = 200  # of the name of a field, or a code

_WHOSE = re.compile(r"\b(?:org|proj|user)-[A-Za-z0-9]{6,}")
_QUOTA = "insufficient_quota"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Said(msgspec.Struct):
    """What an upstream says of a request that it refuses, in OpenAI's words."""

    message: str = ""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _Wrapped(msgspec.Struct):
    error: Said


class _Plain(msgspec.Struct):
    """What others answer: Cohere and Jina, FastAPI, TEI."""

    message: str = ""
    detail: str = ""
    error: str = ""


def said(content: bytes) -> Said:
    """Read the body of a refusal, in whichever form; one without words is empty."""
    with suppress(*_UNREADABLE):
        return msgspec.json.decode(content, type=_Wrapped).error
    with suppress(*_UNREADABLE):
        plain = msgspec.json.decode(content, type=_Plain)
        return Said(plain.message or plain.detail or plain.error)
    return Said()


class _Errant(msgspec.Struct):
    error: Said
    choices: msgspec.Raw | None = None


def error_status(event: bytes) -> int | None:
    """Give the status that an event is an error of, None for one that is none.

    Its code says so, as vLLM's and others' do; without one it is the server's own fault.
    """
    try:
        found = msgspec.json.decode(event, type=_Errant)
    except _UNREADABLE:
        return None
    if found.choices is not None:
        return None
    code = str(found.error.code)
    status = int(code) if code.isascii() and code.isdecimal() and len(code) == 3 else 500
    return status if 400 <= status < 600 else 500


def declined(
    name: str, status: int, content: bytes, secrets: Sequence[str], asked_s: float | None
) -> EmblemError:
    """Say what a status other than 200 means. ``asked_s`` is how long the upstream asks to wait.

    Its words are passed on where they are about the request, and never where they are about the key.
    What it would refuse again is ``lasting``.
    """
    words = said(content)
    if status in (401, 403):
        return DeploymentFailed(f"{name} refuses this server's API key ({status}).", lasting=True)
    if status == 429 and _QUOTA in (words.code, words.type):
        what = f"This server's account with {name} is used up ({status})."
        return DeploymentFailed(what, lasting=True)
    if status in (429, 503, 529):
        return Overloaded(f"{name} takes no more requests now ({status}).", asked_s or 1.0)
    if status in (400, 413, 422):
        return _refused(name, words, secrets)
    if status == 404:
        what = f"{name} does not have the model or the address ({status})."
        return DeploymentFailed(what, lasting=True)
    lasting = status not in retry.PASSING and status < 500
    return DeploymentFailed(f"{name} answers {status}.", lasting=lasting)


def _refused(name: str, words: Said, secrets: Sequence[str]) -> RefusedElsewhere:
    message, param, kind, code = (
        None if one is None else on_one_line(redacted(_WHOSE.sub("…", str(one)), secrets))[:most]
        for one, most in (
            (words.message, MAX_SAID),
            (words.param, MAX_WORD),
            (words.type, MAX_WORD),
            (words.code, MAX_WORD),
        )
    )
    shown = f"{name} refused the request: {message or 'it does not say why'}"
    return RefusedElsewhere(shown, param=param, kind=kind, code=code)
