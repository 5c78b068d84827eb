"""LangChain with a text that it cuts in pieces itself: the vector, and the pieces it made.

stdin: {"model", "text"}; stdout: {"vector", "pieces"}, where a piece is a list of cl100k tokens.
"""

import json
import sys

import tiktoken
from langchain_openai import OpenAIEmbeddings

asked = json.load(sys.stdin)
embeddings = OpenAIEmbeddings(model=asked["model"])
tokens = tiktoken.get_encoding("cl100k_base").encode(asked["text"], disallowed_special=())
size = embeddings.embedding_ctx_length
json.dump(
    {
        "vector": embeddings.embed_documents([asked["text"]])[0],
        "pieces": [tokens[start : start + size] for start in range(0, len(tokens), size)],
    },
    sys.stdout,
)
