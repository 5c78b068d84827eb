"""Misbehaving: answers for chat, whole or as events, and what is wrong in their form. Pure.

Nobody thinks here: what is said depends on the question and on who says it, so that a test can tell
whether an answer is whole, and whether all of it is one server's.
"""

import hashlib
import json
from typing import Any

from emblem.upstreams.misbehaving.faults import Fault
from emblem.upstreams.misbehaving.wire import Reply, json_reply, refusal

PATH = "/chat/completions"
WORDS = 12


def words(question: str, voice: str) -> tuple[str, ...]:
    """Give what one voice answers to a question, word by word."""
    said = hashlib.sha256(f"{voice}\0{question}".encode()).hexdigest()
    return tuple(f"{voice}-{place}-{said[place : place + 8]} " for place in range(WORDS))


def reply(body: bytes, fault: Fault, voice: str) -> Reply:
    """Answer a request in the voice of a server, with what is wrong in the answer's form."""
    try:
        asked = json.loads(body)
        question, streams = asked["messages"][-1]["content"], bool(asked.get("stream"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return refusal(400, "messages must be a list of messages, each with its content")
    said = words(str(question), voice)
    usage = _usage(len(str(question).split()), fault)
    if fault is Fault.HTML_IN_200:
        return Reply(200, b"<!doctype html><title>Sign in</title>", {"content-type": "text/html"})
    if fault is Fault.ERROR_IN_200:
        return json_reply(200, {"error": {"message": "It is overloaded.", "type": "server_error"}})
    if streams:
        wants_usage = (asked.get("stream_options") or {}).get("include_usage") is True
        made = Reply(
            200,
            b"".join(_events(said, voice, usage if wants_usage else {})),
            {"content-type": "text/event-stream"},
        )
    else:
        message = {"role": "assistant", "content": "".join(said)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        made = json_reply(200, {**_head("", voice), "choices": [choice], **usage})
    match fault:
        case Fault.BAD_JSON:
            return Reply(200, made.body[: len(made.body) * 2 // 3], made.headers)
        case Fault.BAD_UTF8:
            return Reply(200, made.body.replace(b"assistant", b"\xff\xfe"), made.headers)
    return made


def _usage(read: int, fault: Fault) -> dict[str, Any]:
    if fault is Fault.NO_USAGE:
        return {}
    total = -5 if fault is Fault.WRONG_USAGE else read + WORDS
    told = {"prompt_tokens": read, "completion_tokens": WORDS, "total_tokens": total}
    return {"usage": told}


def _events(said: tuple[str, ...], voice: str, usage: dict[str, Any]) -> list[bytes]:
    deltas = [{"role": "assistant"}, *({"content": word} for word in said)]
    ends: list[tuple[dict[str, str], str | None]] = [*((one, None) for one in deltas), ({}, "stop")]
    choices = [{"index": 0, "delta": delta, "finish_reason": end} for delta, end in ends]
    parts = [{**_head(".chunk", voice), "choices": [choice]} for choice in choices]
    if usage:
        parts.append({**_head(".chunk", voice), "choices": [], **usage})
    return [*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in parts), b"data: [DONE]\n\n"]


def _head(part: str, voice: str) -> dict[str, Any]:
    made = f"chat.completion{part}"
    return {"id": "chatcmpl-0", "object": made, "created": 0, "model": voice}
