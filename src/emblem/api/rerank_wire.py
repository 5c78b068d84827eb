"""Bodies of requests to rank documents, for the two ways in which servers are asked. Pure.

Sources: Cohere's reference of ``POST /v2/rerank``, which Jina, vLLM and others follow, and
``RerankRequest`` and ``Rank`` in docs/openapi.json of huggingface/text-embeddings-inference.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from emblem.api.chat_wire import Fields, fields_of, taken
from emblem.api.passed import MAX_TOKENS, guessed
from emblem.api.problems import invalid, kind_of
from emblem.core.ranking import best_first, ranking_problem
from emblem.errors import InvalidResult

MAX_DOCUMENTS = 10_000
TEI = "tei"

_TEI_FIELDS = ("raw_scores", "truncate", "truncation_direction")

Ranked = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """A request as it came: every field as its JSON, and what is read of them."""

    fields: Fields = field(repr=False)
    model: str | None
    query: str = field(repr=False)
    documents: tuple[Any, ...] = field(repr=False)
    top_n: int | None
    return_documents: bool
    user: str
    guess: int

    @property
    def inputs(self) -> int:
        """How many documents it has."""
        return len(self.documents)


@dataclass(frozen=True, slots=True)
class Ranking:
    """How documents rank, the best first, and the JSON of what the upstream says of its cost."""

    ranked: Ranked
    usage: bytes = b""
    meta: bytes = b""

    @property
    def tokens(self) -> int | None:
        """What it cost, None where nothing tells."""
        usage, meta = _object(self.usage), _object(self.meta)
        for where in (usage, _inside(meta, "tokens"), _inside(meta, "billed_units")):
            for name in ("total_tokens", "input_tokens", "prompt_tokens"):
                told: Any = where.get(name)
                if type(told) in (int, float) and 0 <= told <= MAX_TOKENS:
                    return int(told)
        return None


def read(body: bytes) -> RerankRequest:
    """Read a request. Raises Problem, naming the field that is wrong."""
    fields = fields_of(body)
    query = taken(fields, "query", str, "a string")
    if not query:
        raise invalid("'$.query' is invalid: it must be a string that is not empty.", "query")
    if "documents" not in fields and "texts" in fields:
        raise invalid(
            "'$.texts' is invalid: this address takes the documents as 'documents', as Cohere's and "
            "Jina's do.",
            "texts",
        )
    top_n = taken(fields, "top_n", int, "a whole number of at least 1")
    if top_n is not None and top_n < 1:
        raise invalid(
            f"'$.top_n' is invalid: it must be a whole number of at least 1, and is {top_n}.",
            "top_n",
        )
    return RerankRequest(
        fields=fields,
        model=taken(fields, "model", str, "a string"),
        query=query,
        documents=_documents(taken(fields, "documents", list[Any], "an array")),
        top_n=top_n,
        return_documents=bool(taken(fields, "return_documents", bool, "true or false")),
        user=taken(fields, "user", str, "a string") or "",
        guess=guessed(len(body)),
    )


def _documents(given: list[Any] | None) -> tuple[Any, ...]:
    if not given:
        raise invalid(
            "'$.documents' is invalid: it must be an array with at least one document.", "documents"
        )
    if len(given) > MAX_DOCUMENTS:
        raise invalid(
            f"'$.documents' is invalid: it has {len(given)} items and may have at most "
            f"{MAX_DOCUMENTS}.",
            "documents",
        )
    for index, one in enumerate(given):
        if not isinstance(one, str | dict):
            raise invalid(
                f"'$.documents' is invalid: $.documents[{index}] must be a string or an object "
                f"with 'text', and is {kind_of(one)}.",
                "documents",
            )
        if isinstance(one, dict) and not isinstance(one.get("text", ""), str):
            raise invalid(
                f"'$.documents' is invalid: $.documents[{index}].text must be a string, and is "
                f"{kind_of(one['text'])}.",
                "documents",
            )
    # An object that holds a text and nothing else says no more than the text, which all take.
    return tuple(
        one["text"] if isinstance(one, dict) and [*one] == ["text"] else one for one in given
    )


def refuse_unsayable(asked: RerankRequest, dialect: str) -> None:
    """Raise Problem for what a dialect cannot say."""
    if dialect != TEI:
        return
    for index, one in enumerate(asked.documents):
        if not isinstance(one, str):
            raise invalid(
                f"'$.documents' is invalid: $.documents[{index}] must be a string for this model, "
                "or an object with 'text' alone.",
                "documents",
            )


def encode(asked: RerankRequest, model: str, dialect: str) -> bytes:
    """Write a request for an upstream, in a dialect that can say it."""
    if dialect == TEI:
        kept = {name: asked.fields[name] for name in _TEI_FIELDS if name in asked.fields}
        return msgspec.json.encode({"query": asked.query, "texts": asked.documents, **kept})
    # The documents are not asked back: they are put beside their scores here.
    kept = {
        name: raw for name, raw in asked.fields.items() if name not in ("return_documents", "model")
    }
    return msgspec.json.encode({"model": model, **kept, "documents": asked.documents})


class _Result(msgspec.Struct):
    index: int
    relevance_score: float


class _Reply(msgspec.Struct):
    results: list[_Result]
    usage: msgspec.Raw = msgspec.Raw()
    meta: msgspec.Raw = msgspec.Raw()


class _Rank(msgspec.Struct):
    index: int
    score: float


def decode(answer: bytes, asked: RerankRequest, dialect: str, name: str) -> Ranking:
    """Read an upstream's answer, the best first. Raises InvalidResult for one that cannot be right.

    ``name`` is whose.
    """
    documents, top_n = len(asked.documents), asked.top_n
    try:
        if dialect == TEI:
            ranks = msgspec.json.decode(answer, type=list[_Rank])
            ranking = Ranking([(one.index, one.score) for one in ranks])
        else:
            reply = msgspec.json.decode(answer, type=_Reply)
            ranked = [(one.index, one.relevance_score) for one in reply.results]
            ranking = Ranking(ranked, bytes(reply.usage), bytes(reply.meta))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidResult(name, f"no ranking ({error})") from None
    due = None if dialect == TEI else top_n  # it knows no top_n and ranks all of them
    if (problem := ranking_problem(ranking.ranked, documents, due)) is not None:
        raise InvalidResult(name, problem)
    return Ranking(best_first(ranking.ranked)[:top_n], ranking.usage, ranking.meta)


def written(ranking: Ranking, asked: RerankRequest, model: str, request_id: str) -> bytes:
    """Write the answer, with the documents as they came where they are asked for."""
    results = [
        {"index": index, "relevance_score": score, **_beside(asked, index)}
        for index, score in ranking.ranked
    ]
    told = {"usage": ranking.usage, "meta": ranking.meta}
    more = {name: msgspec.Raw(raw) for name, raw in told.items() if raw}
    return msgspec.json.encode({"id": request_id, "model": model, "results": results, **more})


def _beside(asked: RerankRequest, index: int) -> dict[str, Any]:
    if not asked.return_documents:
        return {}
    document = asked.documents[index]
    return {"document": {"text": document} if isinstance(document, str) else document}


def _object(raw: bytes) -> dict[str, Any]:
    found = msgspec.json.decode(raw) if raw else None
    return found if isinstance(found, dict) else {}


def _inside(where: dict[str, Any], name: str) -> dict[str, Any]:
    found = where.get(name)
    return found if isinstance(found, dict) else {}
