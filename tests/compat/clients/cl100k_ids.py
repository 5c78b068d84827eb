"""The cl100k tokens of each text, for tests that send token arrays themselves.

stdin: {"texts"}; stdout: {"ids"}.
"""

import json
import sys

import tiktoken

asked = json.load(sys.stdin)
encoding = tiktoken.get_encoding("cl100k_base")
json.dump({"ids": [encoding.encode(text) for text in asked["texts"]]}, sys.stdout)
