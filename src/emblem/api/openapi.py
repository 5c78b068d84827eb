"""/openapi.json: the API described, in OpenAPI 3.0, from the same structs that read and write it."""

from functools import cache
from typing import Any

import msgspec

from emblem import __version__
from emblem.api import working_description
from emblem.api.admin import description
from emblem.api.models import ElsewhereItem, ModelItem, ModelList
from emblem.api.problems import ErrorBody
from emblem.api.running import RunningItem, RunningList
from emblem.api.usage import OwnUsageItem
from emblem.api.wire import EncodingFormat
from emblem.types import Kind, Lane, OutputType, Overflow

JSON = dict[str, Any]

_STATUSES = {
    400: "Something in the request is wrong; the message says what and what would be right.",
    401: "No key, or not one of this server's.",
    403: "The key has a role that does not open this address.",
    404: "There is no such address or model.",
    405: "The address takes another method.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "A limit of the key or of its team is reached; see Retry-After.",
    500: "The server's own fault; its log has the request id.",
    502: "A deployment answered with vectors that cannot be right.",
    503: "Too much work is queued, or the server is not ready; see Retry-After.",
}
_EMBEDDING_STATUSES = (400, 401, 404, 405, 408, 413, 415, 429, 500, 502, 503)
_READING_STATUSES = (401, 404, 405, 500, 503)


@cache
def document() -> bytes:
    """Give the document, in JSON."""
    return msgspec.json.encode(
        {
            "openapi": "3.0.3",
            "info": {
                "title": "Emblem",
                "version": __version__,
                "description": "OpenAI-compatible embeddings, and vectors that can be trusted.",
                "license": {"name": "Apache-2.0"},
            },
            "security": [{"bearer": []}],
            "paths": _paths(),
            "components": {
                "schemas": _schemas(),
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _paths() -> JSON:
    model = _parameter("model", "A served model's name; it may hold slashes.")
    one = _parameter("id", "A served model's name, or NAME@digest.")
    return {
        "/v1/embeddings": {"post": _embed("embed", [])},
        "/{model}/v1/embeddings": {"post": _embed("embedWithModelInPath", [model])},
        "/v1/models": {"get": _read("listModels", "ModelList", [])},
        "/v1/models/{id}": {"get": _read("getModel", "AnyModelItem", [one])},
        "/{model}/v1/models": {"get": _read("listModelsInPath", "ModelList", [model])},
        "/{model}/v1/models/{id}": {"get": _read("getModelInPath", "AnyModelItem", [model, one])},
        "/v1/usage": {"get": _read("getOwnUsage", "OwnUsageItem", [], "What the key has used")},
        "/ps": {"get": _running()},
        "/metrics": {"get": _scraped()},
        "/health": {"get": _probe("health", "The process lives.", ())},
        "/ready": {"get": _probe("ready", "Every model that is loaded answers.", (503,))},
        **working_description.paths(model, _errors),
        **description.paths(_STATUSES),
    }


def _embed(operation: str, parameters: list[JSON]) -> JSON:
    required = ["input"] if parameters else ["input", "model"]
    body = {"allOf": [_ref("EmbeddingsRequest"), {"type": "object", "required": required}]}
    answer = _answer("The vectors, in the order of the inputs.", "EmbeddingsResponse")
    answer["headers"] = {
        "x-request-id": _header("Names the request in the server's log."),
        "x-embedding-space": _header("The space of the vectors, with what the request changed."),
        "x-served-by": _header("Which deployments of the model computed them."),
        "x-embedding-overflow": _header("Which inputs were longer than the model reads at once."),
        "x-embedding-cache": _header("How many of the inputs were not computed for this answer."),
        **_limit_headers(),
    }
    return {
        "operationId": operation,
        "summary": "Turn texts into vectors",
        "parameters": parameters,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": answer, **_errors(_EMBEDDING_STATUSES)},
    }


def _read(
    operation: str, schema: str, parameters: list[JSON], summary: str = "What is served"
) -> JSON:
    return {
        "operationId": operation,
        "summary": summary,
        "parameters": parameters,
        "responses": {"200": _answer(f"{summary}.", schema), **_errors(_READING_STATUSES)},
    }


def _running() -> JSON:
    described = _read("listRunning", "RunningList", [], "Which models are in memory")
    described["responses"] |= _errors((403,))
    return described


def _scraped() -> JSON:
    text = {"schema": {"type": "string"}}
    formats = ("text/plain", "application/openmetrics-text")
    answer = {
        "description": "In Prometheus' format, or in OpenMetrics where the Accept header asks for it.",
        "content": dict.fromkeys(formats, text),
    }
    return {
        "operationId": "getMetrics",
        "summary": "All metrics, for Prometheus",
        "responses": {"200": answer, **_errors((401, 403, 405, 500, 503))},
    }


def _probe(operation: str, description: str, statuses: tuple[int, ...]) -> JSON:
    return {
        "operationId": operation,
        "summary": description,
        "security": [],
        "responses": {"200": _answer(description, "Status"), **_errors((405, 500, *statuses))},
    }


def _errors(statuses: tuple[int, ...]) -> JSON:
    return {str(status): _answer(_STATUSES[status], "ErrorBody") for status in statuses}


def _answer(description: str, schema: str) -> JSON:
    return {
        "description": description,
        "content": {"application/json": {"schema": _ref(schema)}},
    }


def _header(description: str) -> JSON:
    return {"description": description, "schema": {"type": "string"}}


def _limit_headers() -> JSON:
    """Describe what an answer to a key with limits says of them."""
    return {
        f"x-ratelimit-{what}-{unit}": _header(f"{says} of {unit}, where it is limited.")
        for what, says in (
            ("limit", "The tightest limit"),
            ("remaining", "What could be asked for now"),
            ("reset", "How long until none is used"),
        )
        for unit in ("requests", "tokens")
    }


def _parameter(name: str, description: str) -> JSON:
    schema = {"type": "string", "minLength": 1}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
    }


def _ref(schema: str) -> JSON:
    return {"$ref": f"#/components/schemas/{schema}"}


def _schemas() -> JSON:
    _, components = msgspec.json.schema_components(
        [
            ErrorBody,
            ModelItem,
            ElsewhereItem,
            ModelList,
            RunningItem,
            RunningList,
            OwnUsageItem,
            *working_description.SCHEMAS,
            *description.SCHEMAS,
        ],
        ref_template="#/components/schemas/{name}",
    )
    # What is listed gives vectors, or is passed on to for something else; msgspec has no such union.
    components["ModelList"]["properties"]["data"]["items"] = _ref("AnyModelItem")
    return {
        **{name: _in_3_0(schema) for name, schema in components.items()},
        "AnyModelItem": {"anyOf": [_ref("ModelItem"), _ref("ElsewhereItem")]},
        "Status": {
            "type": "object",
            "required": ["status"],
            "properties": {"status": {"type": "string"}},
        },
        "EmbeddingsRequest": _request(),
        "EmbeddingsResponse": _response(),
    }


def _in_3_0(schema: Any) -> Any:
    """Write ``anyOf: […, {type: null}]`` as OpenAPI 3.0 does: nullable."""
    if isinstance(schema, list):
        return [_in_3_0(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    choices = schema.get("anyOf", [])
    if {"type": "null"} in choices:
        rest = [_in_3_0(one) for one in choices if one != {"type": "null"}]
        kept = {key: value for key, value in schema.items() if key != "anyOf"}
        one = rest[0] if len(rest) == 1 else {"anyOf": rest}
        # What stands beside a $ref counts for nothing.
        return {**kept, **({"allOf": [one]} if "$ref" in one else one), "nullable": True}
    return {key: _in_3_0(value) for key, value in schema.items()}


def _request() -> JSON:
    ids = {"type": "array", "minItems": 1, "maxItems": 8192, "items": {"type": "integer"}}
    texts = {
        "type": "array",
        "minItems": 1,
        "maxItems": 2048,
        "items": {"type": "string", "minLength": 1},
    }
    return {
        "type": "object",
        "properties": {
            "input": {
                "description": "A text, texts, token ids of cl100k_base, or arrays of such ids.",
                "anyOf": [
                    {"type": "string", "minLength": 1},
                    texts,
                    ids,
                    {"type": "array", "minItems": 1, "maxItems": 2048, "items": ids},
                ],
            },
            "model": {"type": "string", "nullable": True, "description": "See /v1/models."},
            "encoding_format": _choice(EncodingFormat, "base64 holds little-endian float32."),
            "dimensions": {"type": "integer", "minimum": 1, "nullable": True},
            "user": {"type": "string", "nullable": True},
            "input_type": _choice(Kind, "What the text is for, if the model tells them apart."),
            "overflow": _choice(Overflow, "For texts longer than the model reads at once."),
            "output_dtype": _choice(OutputType, "The format of the numbers."),
            "priority": _choice(Lane, "Who goes first; small requests do if nothing is said."),
        },
    }


def _choice(values: Any, description: str) -> JSON:
    allowed = [*map(str, values), None]
    return {"type": "string", "enum": allowed, "nullable": True, "description": description}


def _response() -> JSON:
    number = {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}]}
    item = {
        "type": "object",
        "required": ["object", "index", "embedding"],
        "properties": {
            "object": {"type": "string", "enum": ["embedding"]},
            "index": {"type": "integer"},
            "embedding": number,
        },
    }
    usage = {
        "type": "object",
        "required": ["prompt_tokens", "total_tokens"],
        "properties": {
            "prompt_tokens": {"type": "integer"},
            "total_tokens": {"type": "integer"},
        },
    }
    return {
        "type": "object",
        "required": ["object", "data", "model", "usage"],
        "properties": {
            "object": {"type": "string", "enum": ["list"]},
            "data": {"type": "array", "items": item},
            "model": {"type": "string"},
            "usage": usage,
        },
    }
