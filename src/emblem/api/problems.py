"""The one place where errors become answers, in the shape that OpenAI's clients read.

Source: ``ErrorResponse`` in openai/openai-openapi; the words are those seen from the hosted API.
"""

import math
import re

import msgspec

from emblem.api.limits import Headers as Headers  # for those who make problems too
from emblem.api.limits import refusal_code, refusal_headers, refusal_type
from emblem.errors import (
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidRequest,
    InvalidResult,
    LedgerUnavailable,
    LimitReached,
    LimitsUnavailable,
    NotAuthenticated,
    Overloaded,
    RefusedElsewhere,
    SourceRefused,
    TooManyTokens,
    UnknownModel,
)

NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY). Make one with: emblem keys create NAME"
)


class Detail(msgspec.Struct, frozen=True):
    """What went wrong. All four fields are always present."""

    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    error: Detail


class Problem(Exception):
    """An answer that is an error. Raised by the API itself where no use case is reached."""

    def __init__(self, status: int, detail: Detail, headers: Headers = ()) -> None:
        super().__init__(detail.message)
        self.status = status
        self.detail = detail
        self.headers = headers

    @property
    def body(self) -> bytes:
        """The answer's bytes."""
        return msgspec.json.encode(ErrorBody(self.detail))


def invalid(message: str, param: str | None = None) -> Problem:
    """Say that the request itself is wrong."""
    return Problem(400, Detail(message, param=param))


HALF_PAIR = "has a \\u escape that is half of a surrogate pair"
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def unparsed(error: Exception, json: bytes, param: str | None = None) -> Problem:
    """Say why JSON could not be read, wholly or (``param``) in the value of one field."""
    where = f" ('$.{param}')" if param else ""
    return invalid(
        f"We could not parse the JSON body of your request{where}: {_why(error, json)}.", param
    )


def _why(error: Exception, json: bytes) -> str:
    said = str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if not json:
        return "it is empty"
    if "surrogate" in said or (
        _LONE_SURROGATE.search(json) and ("truncated" in said or "hex escape" in said)
    ):
        return f"it {HALF_PAIR}"
    return said


# JSON's types in plain words, by what Python and msgspec call them.
PYTHON_KINDS = {
    "null": "null",
    "NoneType": "null",
    "bool": "a boolean",
    "str": "a string",
    "int": "a number",
    "float": "a number with a fraction or an exponent",
    "list": "an array",
    "array": "an array",
    "dict": "an object",
    "object": "an object",
}


def kind_of(value: object) -> str:
    """Name a JSON value's type."""
    return PYTHON_KINDS[type(value).__name__]


def unknown_url(method: str, path: str) -> Problem:
    """Say that there is nothing at this address."""
    return Problem(404, Detail(f"Invalid URL ({method} {path[:200]})", code="unknown_url"))


def wrong_method(method: str, path: str, allowed: str) -> Problem:
    """Say that this address takes other methods."""
    message = f"Not allowed to {method} on {path[:200]}; allowed here: {allowed}"
    detail = Detail(message, code="method_not_supported")
    return Problem(405, detail, ((b"allow", allowed.encode()),))


def broken_off() -> Problem:
    """Say that the body ended before its end. Whoever has left does not hear it."""
    detail = Detail(
        "We could not parse the JSON body of your request: it broke off before its end, or its "
        "chunks are malformed."
    )
    return Problem(400, detail, ((b"connection", b"close"),))


def too_large_head(headers: int, size: int) -> Problem:
    """Say that the headers of a request are more than the server reads."""
    message = (
        f"The headers of your request are too large: at most {headers} headers, and {size} bytes "
        "together with its first line, are read."
    )
    return Problem(431, Detail(message, code="headers_too_large"))


def too_large(maximum: int) -> Problem:
    """Say that the body has more bytes than a request may have."""
    detail = Detail(
        f"The request's body is larger than {maximum} bytes. Send the inputs in several requests.",
        code="request_too_large",
    )
    return Problem(413, detail, ((b"connection", b"close"),))


def body_timeout(seconds: float) -> Problem:
    """Say that the body did not arrive."""
    detail = Detail(f"The request's body did not arrive within {seconds:g} s.", code="body_timeout")
    return Problem(408, detail, ((b"connection", b"close"),))


def unsupported(header: str, given: str, wanted: str) -> Problem:
    """Say that a body is not JSON, or is packed."""
    detail = Detail(
        f"The {header} {given[:100]!r} cannot be read. Send {wanted}.",
        code=f"unsupported_{header.lower().replace('-', '_')}",
    )
    return Problem(415, detail)


def permission_denied(needed: str) -> Problem:
    """Say that a key of another role is needed."""
    message = f"This address needs an API key of the role {needed}."
    return Problem(403, Detail(message, code="permission_denied"))


def internal(request_id: str) -> Problem:
    """Say that the fault is ours, and no more than that."""
    message = f"The server had an error while processing your request. Its log has {request_id}."
    return Problem(500, Detail(message, type="server_error", code="internal_error"))


def not_ready(problems: list[str]) -> Problem:
    """Say which models cannot answer now."""
    return _unavailable(f"Not ready: {'; '.join(problems)}.", "not_ready", 1.0)


def problem_of(error: EmblemError, request_id: str) -> Problem:
    """Translate an error of the use cases. What is no business of the caller's is ``internal``."""
    message = str(error)
    match error:
        case TooManyTokens():
            kind = "max_tokens_per_request"
            return Problem(400, Detail(message, type=kind, param=error.param, code=kind))
        case InvalidRequest():
            return _invalid(error)
        case UnknownModel():
            return Problem(404, Detail(message, param="model", code="model_not_found"))
        case NotAuthenticated() | SourceRefused():
            return _not_let_in(error)
        case LedgerUnavailable():
            return _unavailable("Keys cannot be checked now.", "ledger_unavailable", 1.0)
        case Overloaded():
            return _unavailable(message, "server_overloaded", error.retry_after_s)
        case LimitReached():
            return _refused(error)
        case LimitsUnavailable():
            return _unavailable(message, "limits_unavailable", 1.0)
        case DeadlineExceeded():
            return _unavailable(message, "deadline_exceeded", 1.0)
        case InvalidResult():
            code = "upstream_invalid_response"
            return Problem(502, Detail(message, type="server_error", code=code))
        case DeploymentFailed():
            return _unavailable(message, "deployment_failed", error.retry_after_s)
        case _:
            return internal(request_id)


def _invalid(error: InvalidRequest) -> Problem:
    if isinstance(error, RefusedElsewhere):
        kind = error.kind or "invalid_request_error"
        return Problem(400, Detail(str(error), type=kind, param=error.param, code=error.code))
    return invalid(str(error), error.param)


def _not_let_in(error: NotAuthenticated | SourceRefused) -> Problem:
    if isinstance(error, SourceRefused):
        return Problem(403, Detail(str(error), code="ip_not_authorized"))
    bearer = ((b"www-authenticate", b"Bearer"),)
    if error.given is None:
        return Problem(401, Detail(NO_KEY), bearer)
    message = f"Incorrect API key provided: {masked(error.given)}. See the server's keys with: emblem keys list"
    return Problem(401, Detail(message, code="invalid_api_key"), bearer)


def masked(key: str) -> str:
    """Show enough of a key to recognise it, and too little to use or guess it."""
    if len(key) < 20 or not key.isascii() or not key.isprintable():
        return "****"
    return f"{key[:3]}****{key[-4:]}"


def _refused(error: LimitReached) -> Problem:
    detail = Detail(str(error), type=refusal_type(error), code=refusal_code(error))
    return Problem(429, detail, refusal_headers(error))


def _unavailable(message: str, code: str, retry_after_s: float) -> Problem:
    after = str(math.ceil(retry_after_s)).encode()
    detail = Detail(message, type="server_error", code=code)
    return Problem(503, detail, ((b"retry-after", after),))
