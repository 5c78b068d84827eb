import os

from openai import OpenAI

client = OpenAI(
    api_key=os.environ["EMBED_KEY"],
    base_url=os.environ["EMBED_BASE"] + "/v1",
)

response = client.embeddings.create(
    model="text-embedding-3-small",
    input=["First document", "Second document", "Third document"],
)

for item in response.data:
    print(f"Index {item.index}: {len(item.embedding)}-dimension vector")
