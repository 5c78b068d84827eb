"""LangChain's chat model: an answer at once, and one that streams.

stdin: {"model", "text", "base_url", "key"}; stdout: {"whole", "streamed", "tokens"}.
"""

import json
import sys

from langchain_openai import ChatOpenAI

asked = json.load(sys.stdin)
chat = ChatOpenAI(
    model=asked["model"],
    base_url=asked["base_url"],
    api_key=asked["key"],
    max_retries=0,
    stream_usage=True,
)
parts = list(chat.stream(asked["text"]))
json.dump(
    {
        "whole": chat.invoke(asked["text"]).content,
        "streamed": [part.content for part in parts if part.content],
        "tokens": sum(part.usage_metadata["total_tokens"] for part in parts if part.usage_metadata),
    },
    sys.stdout,
)
