"""What /openapi.json says of chat, rankings and the addresses of TEI."""

from collections.abc import Callable
from typing import Any

from emblem.api.models import ElsewhereItem
from emblem.api.tei_wire import TeiError, TeiInfo

JSON = dict[str, Any]

SCHEMAS: tuple[type, ...] = (ElsewhereItem, TeiError, TeiInfo)

_REFUSED = (400, 401, 404, 405, 408, 413, 415, 429, 500, 502, 503)
_TEXT: JSON = {"type": "string"}
_INPUT: JSON = {"type": "string", "minLength": 1}
_TEXTS: JSON = {"anyOf": [_INPUT, {"type": "array", "minItems": 1, "items": _INPUT}]}
_NUMBERS: JSON = {"type": "array", "items": {"type": "number"}}

Errors = Callable[[tuple[int, ...]], JSON]


def paths(model: JSON, errors: Errors) -> JSON:
    """Give the paths. ``model`` is the parameter of a path, ``errors`` describes statuses."""
    tei = _tei_errors()
    rerank, embed, tokenize, info = _rerank(errors), _embed(tei), _tokenize(tei), _info(tei)
    chat, chat_there = _chat(errors, "messages", "model"), _chat(errors, "messages")
    return {
        "/v1/chat/completions": {"post": _operation("chat", chat)},
        "/{model}/v1/chat/completions": {
            "post": _operation("chatWithModelInPath", chat_there, model)
        },
        "/v1/rerank": {"post": _operation("rerank", rerank)},
        "/rerank": {"post": _operation("rerankAtRoot", rerank)},
        "/": {"post": _operation("teiEmbedAtRoot", embed)},
        "/embed": {"post": _operation("teiEmbed", embed)},
        "/{model}/embed": {"post": _operation("teiEmbedWithModelInPath", embed, model)},
        "/tokenize": {"post": _operation("teiTokenize", tokenize)},
        "/{model}/tokenize": {"post": _operation("teiTokenizeWithModelInPath", tokenize, model)},
        "/info": {"get": _operation("teiInfo", info)},
        "/{model}/info": {"get": _operation("teiInfoWithModelInPath", info, model)},
    }


def _operation(name: str, described: JSON, *parameters: JSON) -> JSON:
    return {"operationId": name, "parameters": [*parameters], **described}


def _chat(errors: Errors, *required: str) -> JSON:
    message: JSON = {"type": "object"}
    answer = {
        "description": "The upstream's answer, as it came; events where stream is true.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/event-stream": {"schema": {"type": "object"}},  # of each event
        },
    }
    return {
        "summary": "Talk to a model elsewhere",
        "requestBody": _body(
            [*required],
            model=_TEXT,
            messages={"type": "array", "minItems": 1, "items": message},
            stream={"type": "boolean", "nullable": True},
        ),
        "responses": {"200": answer, **errors(_REFUSED)},
    }


def _rerank(errors: Errors) -> JSON:
    document: JSON = {"anyOf": [_TEXT, {"type": "object", "properties": {"text": _TEXT}}]}
    result: JSON = {
        "type": "object",
        "required": ["index", "relevance_score"],
        "properties": {
            "index": {"type": "integer"},
            "relevance_score": {"type": "number"},
            "document": {"type": "object"},
        },
    }
    answer: JSON = {
        "type": "object",
        "required": ["id", "model", "results"],
        "properties": {
            "id": _TEXT,
            "model": _TEXT,
            "results": {"type": "array", "items": result},
        },
    }
    return {
        "summary": "Say how well documents answer a query",
        "requestBody": _body(
            ["model", "query", "documents"],
            model=_TEXT,
            query=_INPUT,
            documents={"type": "array", "minItems": 1, "items": document},
            top_n={"type": "integer", "minimum": 1, "nullable": True},
            return_documents={"type": "boolean", "nullable": True},
        ),
        "responses": {"200": _json("The documents, the best first.", answer), **errors(_REFUSED)},
    }


def _embed(errors: JSON) -> JSON:
    vectors: JSON = {"type": "array", "items": _NUMBERS}
    return {
        "summary": "Turn texts into vectors, as Text Embeddings Inference does",
        "requestBody": _body(
            ["inputs"],
            inputs=_TEXTS,
            normalize={"type": "boolean", "default": True},
            truncate={"type": "boolean", "nullable": True},
            truncation_direction={"type": "string", "enum": ["Right", "right"]},
            prompt_name={"type": "string", "nullable": True},
            dimensions={"type": "integer", "minimum": 1, "nullable": True},
        ),
        "responses": {"200": _json("A vector for each text.", vectors), **errors},
    }


def _tokenize(errors: JSON) -> JSON:
    place: JSON = {"type": "integer", "nullable": True}
    token: JSON = {
        "type": "object",
        "required": ["id", "text", "special"],
        "properties": {
            "id": {"type": "integer"},
            "text": _TEXT,
            "special": {"type": "boolean"},
            "start": place,
            "stop": place,
        },
    }
    tokens: JSON = {"type": "array", "items": {"type": "array", "items": token}}
    return {
        "summary": "Give the tokens of texts, as Text Embeddings Inference does",
        "requestBody": _body(
            ["inputs"],
            inputs=_TEXTS,
            add_special_tokens={"type": "boolean", "default": True},
            prompt_name={"type": "string", "nullable": True},
        ),
        "responses": {"200": _json("The tokens of each text.", tokens), **errors},
    }


def _info(errors: JSON) -> JSON:
    answer = _json("The model and the bounds of requests.", _ref("TeiInfo"))
    kept = {status: one for status, one in errors.items() if status not in ("408", "413", "415")}
    return {
        "summary": "Describe a model, as Text Embeddings Inference does",
        "responses": {"200": answer, **kept},
    }


def _tei_errors() -> JSON:
    said = {
        400: "There is no text.",
        401: "No key, or not one of this server's; in OpenAI's shape.",
        404: "There is no such model, or no such address.",
        405: "The address takes another method.",
        408: "The body did not arrive in time.",
        413: "A text is longer than the model reads, there are too many, or the body is too large.",
        415: "The body is not JSON.",
        422: "Something else in the request is wrong.",
        429: "A limit of the key or of its team is reached; see Retry-After.",
        500: "The server's own fault; its log has the request id.",
        502: "A deployment answered with vectors that cannot be right.",
        503: "Too much work is queued, or the server is not ready; see Retry-After.",
    }
    shape = dict.fromkeys(said, _ref("TeiError"))
    shape[401] = shape[405] = _ref("ErrorBody")
    shape[404] = {"anyOf": [_ref("TeiError"), _ref("ErrorBody")]}
    return {str(status): _json(words, shape[status]) for status, words in said.items()}


def _body(required: list[str], **properties: JSON) -> JSON:
    schema = {"type": "object", "required": required, "properties": properties}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _json(description: str, schema: JSON) -> JSON:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(schema: str) -> JSON:
    return {"$ref": f"#/components/schemas/{schema}"}
