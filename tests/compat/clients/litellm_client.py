"""LiteLLM as a client. It sends no encoding_format, so the server's own default decides.

stdin: {"model", "texts"}; stdout: {"vectors", "tokens"}.
"""

import json
import os
import sys

import litellm

asked = json.load(sys.stdin)
response = litellm.embedding(
    model=f"openai/{asked['model']}",
    input=asked["texts"],
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
)
json.dump(
    {
        "vectors": [item["embedding"] for item in response.data],
        "tokens": response.usage.prompt_tokens,
    },
    sys.stdout,
)
