"""The admin API in OpenAPI 3.0, from the structs that read and write it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from emblem.accounts import By, KeyState, Role
from emblem.api.admin import audit, state, usage, wire
from emblem.api.admin.once import MAX_LENGTH
from emblem.api.admin.pages import DEFAULT_SIZE, MAX_SIZE
from emblem.api.admin.query import MAX_TEXT
from emblem.api.admin.usage import MAX_GROUPED_BY

JSON = dict[str, Any]

SCHEMAS = (
    wire.KeyItem,
    wire.KeyWithSecret,
    wire.KeyList,
    wire.NewKey,
    wire.KeyChanges,
    wire.Rotation,
    wire.TeamItem,
    wire.TeamList,
    wire.DeletedTeam,
    wire.NewTeam,
    wire.TeamChanges,
    usage.UsageSums,
    usage.RecordList,
    audit.ChangeList,
    state.AdminModelList,
    state.LiveList,
    state.HealthItem,
)

STATUSES = {
    403: "The key has another role than admin.",
    409: "Something else stands in the way; the message says what.",
}
_READING = (400, 401, 403, 405, 500, 503)
_FINDING = (400, 401, 403, 404, 405, 500, 503)
_CHANGING = (*_FINDING, 408, 409, 413, 415)
_CREATING = tuple(status for status in _CHANGING if status != 404)


def paths(statuses: dict[int, str]) -> JSON:
    """Give the addresses. ``statuses`` has what each status of an error means."""
    describe = _Describing({**statuses, **STATUSES})
    return {**_keys(describe), **_teams(describe), **_usage(describe), **_state(describe)}


class _Describing:
    """Describes operations."""

    def __init__(self, statuses: dict[int, str]) -> None:
        self._statuses = statuses

    def read(
        self, operation: str, summary: str, schema: str, parameters: Iterable[JSON] = ()
    ) -> JSON:
        """Describe a question."""
        given = list(parameters)
        found = any(one["in"] == "path" for one in given)
        return self._operation(
            operation, summary, {"200": schema}, _FINDING if found else _READING, given
        )

    def write(
        self, operation: str, summary: str, answers: dict[str, str], body: str, given: list[JSON]
    ) -> JSON:
        """Describe a change that takes a body."""
        found = any(one["in"] == "path" for one in given)
        described = self._operation(
            operation, summary, answers, _CHANGING if found else _CREATING, given
        )
        content = {"application/json": {"schema": _ref(body)}}
        return {**described, "requestBody": {"required": True, "content": content}}

    def remove(self, operation: str, summary: str, schema: str, given: list[JSON]) -> JSON:
        """Describe a change without a body."""
        return self._operation(operation, summary, {"200": schema}, (*_FINDING, 409), given)

    def _operation(
        self,
        operation: str,
        summary: str,
        answers: dict[str, str],
        errors: Iterable[int],
        given: list[JSON],
    ) -> JSON:
        good = {status: _answer(f"{summary}.", schema) for status, schema in answers.items()}
        bad = {str(one): _answer(self._statuses[one], "ErrorBody") for one in sorted(errors)}
        return {
            "operationId": operation,
            "summary": summary,
            "tags": ["admin"],
            "parameters": given,
            "responses": {**good, **bad},
        }


def _keys(describe: _Describing) -> JSON:
    one = [_id("A key's id.")]
    filters = [
        *_PAGED,
        _text("name", "Of this name."),
        _text("team", "Of this team, by its id or name."),
        _choice("role", Role, "Of this role."),
        _choice("state", KeyState, "That work, have expired or were revoked."),
        _text("search", "A part of a name, an owner, an id or the last four characters."),
    ]
    made = {"201": "KeyWithSecret", "200": "KeyWithSecret"}
    changed = {"200": "KeyItem"}
    rotated = {"200": "KeyWithSecret"}
    return {
        "/admin/keys": {
            "get": describe.read("listKeys", "List keys, the newest first", "KeyList", filters),
            "post": describe.write("createKey", "Make a key", made, "NewKey", [_ONCE]),
        },
        "/admin/keys/{id}": {
            "get": describe.read("getKey", "What is known of a key", "KeyItem", one),
            "patch": describe.write("changeKey", "Change a key", changed, "KeyChanges", one),
            "delete": describe.remove("revokeKey", "Revoke a key, for good", "KeyItem", one),
        },
        "/admin/keys/{id}/rotate": {
            "post": describe.write("rotateKey", "Give a key a new secret", rotated, "Rotation", one)
        },
    }


def _teams(describe: _Describing) -> JSON:
    one = [_id("A team's id.")]
    filters = [
        *_PAGED,
        _text("name", "Of this name."),
        _text("search", "A part of a name or an id."),
    ]
    made = {"201": "TeamItem", "200": "TeamItem"}
    changed = {"200": "TeamItem"}
    return {
        "/admin/teams": {
            "get": describe.read("listTeams", "List teams, by name", "TeamList", filters),
            "post": describe.write("createTeam", "Make a team", made, "NewTeam", [_ONCE]),
        },
        "/admin/teams/{id}": {
            "get": describe.read("getTeam", "What is known of a team", "TeamItem", one),
            "patch": describe.write("changeTeam", "Change a team", changed, "TeamChanges", one),
            "delete": describe.remove("deleteTeam", "Forget a team", "DeletedTeam", one),
        },
    }


def _usage(describe: _Describing) -> JSON:
    window = [
        *_BOUNDED,
        _text("key", "Of the key with this id."),
        _text("team", "Of this team, by its id or name."),
        _text("model", "Of this model."),
    ]
    sums = [
        *window,
        _list("by", By, f"What to group by: at most three, with commas between. {_FINE}."),
        _flag("percentiles", "Whether percentiles of the milliseconds are wanted (true)."),
        _choice("format", usage.Format, "json, or csv for the groups alone."),
    ]
    added = describe.read("sumUsage", "Usage, added up", "UsageSums", sums)
    added["responses"]["200"]["content"]["text/csv"] = {"schema": {"type": "string"}}
    records = describe.read(
        "listUsage", "Records of requests, the newest first", "RecordList", [*_PAGED, *window]
    )
    return {"/admin/usage": {"get": added}, "/admin/usage/records": {"get": records}}


def _state(describe: _Describing) -> JSON:
    lines = [
        *_PAGED,
        *_SPAN,
        _text("subject", "Of the thing with this id."),
        _text("who", "By the key with this id, or by cli."),
        _text("what", "Such as key.revoke, or key for all that was done to keys."),
    ]
    return {
        "/admin/audit": {
            "get": describe.read(
                "listChanges", "What was changed, and by whom", "ChangeList", lines
            )
        },
        "/admin/models": {
            "get": describe.read("listServed", "Every name that is served", "AdminModelList")
        },
        "/admin/live": {"get": describe.read("getLive", "What runs now, and how fast", "LiveList")},
        "/admin/health": {
            "get": describe.read("getHealth", "How the parts of the server are", "HealthItem")
        },
    }


def _answer(description: str, schema: str) -> JSON:
    content = {"application/json": {"schema": _ref(schema)}}
    return {"description": description, "content": content}


def _ref(schema: str) -> JSON:
    return {"$ref": f"#/components/schemas/{schema}"}


def _parameter(name: str, description: str, schema: JSON, where: str = "query") -> JSON:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": schema,
    }


def _id(description: str) -> JSON:
    return _parameter("id", description, {"type": "string", "minLength": 1}, "path")


def _text(name: str, description: str) -> JSON:
    return _parameter(name, description, {"type": "string", "maxLength": MAX_TEXT})


def _choice(name: str, kind: type[StrEnum], description: str) -> JSON:
    return _parameter(name, description, {"type": "string", "enum": [*map(str, kind)]})


def _list(name: str, kind: type[StrEnum], description: str) -> JSON:
    items = {"type": "string", "enum": [*map(str, kind)]}
    schema = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_GROUPED_BY,
        "uniqueItems": True,
        "items": items,
    }
    return {**_parameter(name, description, schema), "style": "form", "explode": False}


def _flag(name: str, description: str) -> JSON:
    return _parameter(name, description, {"type": "boolean"})


def _moment(name: str, description: str) -> JSON:
    says = "Seconds since the epoch, a date or time (in UTC if it does not say), or a span: 7d ago."
    return _parameter(name, f"{description} {says}", {"type": "string", "minLength": 1})


_DAYS = usage.MAX_DAYS_OTHERWISE
_FINE = ", ".join(f"By {one} {days} days at most" for one, days in usage.MAX_DAYS.items())
_PAGED = (
    _parameter(
        "limit",
        "How many to give.",
        {"type": "integer", "minimum": 1, "maximum": MAX_SIZE, "default": DEFAULT_SIZE},
    ),
    _parameter(
        "cursor", "The next_cursor of the page before.", {"type": "string", "maxLength": MAX_TEXT}
    ),
)
_SPAN = (
    _moment("since", "From when on."),
    _moment("until", "Until when, which does not count."),
)
_BOUNDED = (
    _moment("since", f"From when on: {_DAYS} days before until at most."),
    _SPAN[1],
)
_ONCE = _parameter(
    "Idempotency-Key",
    "What comes again with the same name and body within a day is done once.",
    {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH, "pattern": "^[ -~]+$"},
    "header",
)
