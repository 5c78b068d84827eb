"""LangChain with its defaults: it sends arrays of cl100k tokens, whatever the model is called.

stdin: {"model", "texts"}; stdout: {"vectors", "query"}.
"""

import json
import sys

from langchain_openai import OpenAIEmbeddings

asked = json.load(sys.stdin)
embeddings = OpenAIEmbeddings(model=asked["model"])
json.dump(
    {
        "vectors": embeddings.embed_documents(asked["texts"]),
        "query": embeddings.embed_query(asked["texts"][0]),
    },
    sys.stdout,
)
