import json
import os

import requests

url = f"{os.environ['EMBED_BASE']}/{os.environ['EMBED_MODEL']}/v1/embeddings"
headers = {"Authorization": f"Bearer {os.environ['EMBED_KEY']}"}

response = requests.post(url, headers=headers, json={"input": "Your text string goes here"})
response.raise_for_status()
print(json.dumps(response.json()))
