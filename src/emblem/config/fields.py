"""What is sent to an upstream besides texts: headers, and the fields that say what a text is for."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from emblem.errors import ConfigError

# What Emblem itself says in a request's head, or the HTTP client for it.
OWN_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# What it says in the body, whoever is asked.
OWN_FIELDS = frozenset(
    {
        "model",
        "input",
        "texts",
        "dimensions",
        "output_dimension",
        "encoding_format",
        "embedding_types",
        "output_dtype",
        "overflow",
        "priority",
        "truncate",
        "truncation",
        "user",
    }
)
KINDS = ("query", "document")
MIN_SECRET = 8  # characters of a header's value that is hidden wherever it appears: no short word

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.1
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Scalar = str | bool | int | float
Placed = Callable[[str, Any], Any]  # a key and its value, with folders as they are seen from here


class HeaderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of ``headers``: its value, or the variable or the file that holds it. It is never shown."""

    value: str = ""
    env: str = ""
    file: str = ""

    def __repr__(self) -> str:
        """Say where the value is, and never what it is."""
        where = self.env or self.file or "****"
        return f"HeaderSettings({where})"


def read_headers(given: Any, where: str, placed: Placed) -> Mapping[str, HeaderSettings]:
    """Check ``headers``. Raises ConfigError for the first that is wrong, without any value."""
    if not isinstance(given, dict):
        raise ConfigError(
            f'{where} must be a table, such as {{ x-team = "search", x-pass = {{ env = "PASS" }} }}'
        )
    lower = [name.lower() for name in given]
    for name in given:
        if problem := header_problem(name):
            raise ConfigError(f"{where.removesuffix(' headers')} {problem}")
        if lower.count(name.lower()) > 1:
            raise ConfigError(f"{where} has {name!r} twice: upper and lower case are the same")
    return {name: _header(one, f"{where} {name!r}", placed) for name, one in given.items()}


def header_problem(name: str, key_header: str = "") -> str | None:
    """Say why a header cannot be set; None where it can. The key is sent in ``key_header``."""
    if not _TOKEN.fullmatch(name):
        return f"cannot send {name!r}, which is no name of a header"
    if name.lower() in {*OWN_HEADERS, key_header}:
        return f"may not set the header {name!r}: Emblem itself does"
    return None


def is_secret(value: str) -> bool:
    """Tell whether a header's value is to be in no message."""
    return len(value) >= MIN_SECRET


def _header(given: Any, where: str, placed: Placed) -> HeaderSettings:
    if isinstance(given, str):
        given = {"value": given}
    said = [*given.values()] if isinstance(given, dict) else []
    known = isinstance(given, dict) and given.keys() <= {"value", "env", "file"}
    if not known or len(said) != 1 or not isinstance(said[0], str) or not said[0].strip():
        raise ConfigError(f'{where} must be a text, {{ env = "VARIABLE" }} or {{ file = "PATH" }}')
    found = HeaderSettings(**given)
    if found.env and not _VARIABLE.fullmatch(found.env):
        raise ConfigError(f"{where}: env is the name of a variable, and never the value itself")
    if found.file:
        return HeaderSettings(file=placed("key_file", found.file))
    return found


def read_kinds(given: Any, where: str, _: Placed) -> Mapping[str, Mapping[str, Scalar]]:
    """Check ``kinds``: for a query and for a document, the fields of a request that say so."""
    tables = isinstance(given, dict) and all(isinstance(one, dict) for one in given.values())
    if not tables or set(given) != set(KINDS) or not any(given.values()):
        raise ConfigError(
            f'{where} must say both, such as {{ query = {{ input_type = "search_query" }}, '
            'document = { input_type = "search_document" } }'
        )
    for kind, fields in given.items():
        for name, value in fields.items():
            if not name or name in OWN_FIELDS:
                raise ConfigError(f"{where} {kind} may not set {name!r}: Emblem itself does")
            if not isinstance(value, Scalar):
                raise ConfigError(f"{where} {kind} {name!r} must be a text, a number or a boolean")
    return {kind: dict(given[kind]) for kind in KINDS}
