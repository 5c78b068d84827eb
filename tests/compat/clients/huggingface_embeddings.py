"""huggingface_hub's client of TEI.

stdin: {"url", "texts"}; stdout: {"vectors", "one"}.
"""

import json
import os
import sys

from huggingface_hub import InferenceClient

asked = json.load(sys.stdin)
client = InferenceClient(model=asked["url"], token=os.environ["EMBED_KEY"])
json.dump(
    {
        "vectors": client.feature_extraction(asked["texts"], truncate=True).tolist(),
        "one": client.feature_extraction(asked["texts"][0], normalize=True).tolist(),
    },
    sys.stdout,
)
