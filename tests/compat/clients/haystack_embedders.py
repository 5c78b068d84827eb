"""Haystack's text and document embedders.

stdin: {"model", "texts"}; stdout: {"vectors", "query", "usage"}.
"""

import json
import os
import sys

from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder

asked = json.load(sys.stdin)
base = os.environ["OPENAI_BASE_URL"]
texts = OpenAITextEmbedder(model=asked["model"], api_base_url=base)
documents = OpenAIDocumentEmbedder(
    model=asked["model"], api_base_url=base, progress_bar=False, raise_on_failure=True
)
done = documents.run([Document(content=text) for text in asked["texts"]])
json.dump(
    {
        "vectors": [document.embedding for document in done["documents"]],
        "query": texts.run(asked["texts"][0])["embedding"],
        "usage": done["meta"]["usage"],
    },
    sys.stdout,
)
