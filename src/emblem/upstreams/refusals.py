"""What a provider's refusal means: which error it becomes. Pure.

Its own words are kept, on one line, without its keys, whom they belong to, or where it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from emblem.core.redact import on_one_line, redacted
from emblem.errors import (
    DeploymentFailed,
    EmblemError,
    InvalidInput,
    InvalidRequest,
    Overloaded,
)
from emblem.upstreams import answers, retry
from emblem.upstreams.answers import Detail

_TOO_LARGE = ("max_tokens_per_request", "request_too_large")
_TOO_LONG = ("context_length_exceeded", "maximum context length")
_WHOSE = re.compile(r"\b(?:org|proj|user)-[A-Za-z0-9]{6,}")


class TooLarge(Exception):
    """The provider takes these texts in smaller parts, if at all."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked: of whom, of which model, with how many texts; and what is not to be shown."""

    provider: str
    model: str
    texts: int
    keys: Sequence[str]
    hidden: Sequence[str] = ()


def key_refused(status: int) -> bool:
    """Tell whether another key may help."""
    return status in (401, 403)


def words(asked: Asked, status: int, content: bytes) -> Detail:
    """Give what the provider says, without keys and whose they are."""
    detail = answers.refusal(status, content)
    detail.message = redacted(_WHOSE.sub("…", detail.message), (*asked.keys, *asked.hidden))
    if detail.param is not None:
        param = redacted(_WHOSE.sub("…", detail.param), (*asked.keys, *asked.hidden))
        detail.param = on_one_line(answers.short(param))
    return detail


def _said(detail: Detail) -> str:
    return on_one_line(answers.short(detail.message))


def error(
    asked: Asked, status: int, headers: Mapping[str, str], detail: Detail, delay_s: float | None
) -> EmblemError | TooLarge:
    """Say what an answer other than 200 means; ``delay_s`` is what it asks to be waited."""
    name, said = asked.provider, _said(detail)
    if key_refused(status):
        what = "refused the API key" if asked.keys else "wants an API key"
        return DeploymentFailed(f"{name} {what} ({status}): {said}", lasting=True)
    if status == 429 and retry.worth_retrying(status, headers):
        return Overloaded(f"{name} answers 429: {said}", delay_s or 1.0)
    if retry.worth_retrying(status, headers):
        if status == 503:
            return Overloaded(f"{name} answers 503: {said}", delay_s or 1.0)
        return DeploymentFailed(f"{name} answers {status}: {said}")
    return _final(asked, status, headers, detail)


def _final(
    asked: Asked, status: int, headers: Mapping[str, str], detail: Detail
) -> EmblemError | TooLarge:
    """Say what asking again would not change."""
    name, said = asked.provider, _said(detail)
    if (named := _named(detail, asked.texts)) is not None:
        return named
    everything = f"{detail.code} {detail.message}"
    if status == 413 or any(one in everything for one in (*_TOO_LARGE, *_TOO_LONG)):
        return TooLarge(said)
    if status in (400, 422):
        return InvalidRequest(f"{name} refused the request: {said}", param=detail.param)
    if status == 404:
        return DeploymentFailed(
            f"{name} answers 404: {said} (a base URL ends in /v1 as a rule, and the server must "
            f"have the model {asked.model!r})",
            lasting=True,
        )
    if (where := headers.get("location")) and 300 <= status < 400:
        host = on_one_line(answers.short(_host(where)))
        said = f"it points to {host}, which is not followed"
    return DeploymentFailed(f"{name} answers {status}: {said}", lasting=True)


def _host(where: str) -> str:
    try:
        return urlsplit(where).netloc or "another path"
    except ValueError:
        return "what is no address"


def _named(detail: Detail, texts: int) -> InvalidInput | None:
    """Give the inputs that the provider names."""
    found = [
        (index, on_one_line(answers.short(why)))
        for index, why in answers.named_inputs(detail.message)
        if index < texts
    ]
    return InvalidInput(found) if found else None
