"""LlamaIndex: OpenAIEmbedding with a name that is not OpenAI's, and OpenAILikeEmbedding.

stdin: {"model", "texts"}; stdout: {"openai", "like"}, each {"vectors", "query"}.
"""

import json
import os
import sys

from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.embeddings.openai_like import OpenAILikeEmbedding

asked = json.load(sys.stdin)
base, key = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
models = {
    "openai": OpenAIEmbedding(model_name=asked["model"], api_base=base, api_key=key),
    "like": OpenAILikeEmbedding(model_name=asked["model"], api_base=base, api_key=key),
}
json.dump(
    {
        name: {
            "vectors": model.get_text_embedding_batch(asked["texts"]),
            "query": model.get_query_embedding(asked["texts"][0]),
        }
        for name, model in models.items()
    },
    sys.stdout,
)
