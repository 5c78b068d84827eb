"""What a limited key is charged for a model elsewhere whose tokenizer nobody here knows."""

import subprocess
import sys
from pathlib import Path

import requests

from emblem.core.pieces import most_tokens
from emblem.upstreams.misbehaving import Fault, Hashed, Manners, always, running
from server import RunningServer, running_server

MOST = 2000
CONFIG = """
serve = ["far"]

[models.far]
source = "t"
upstream = "there"
width = 8
max_length = 4096
normalised = true

[upstreams.there]
preset = "openai-compatible"
base_url = "{url}"
"""


def key_of(home: Path) -> str:
    command = [sys.executable, "-m", "emblem", "keys", "create", "one", "--tpm", str(MOST)]
    made = subprocess.run(
        [*command, "--quiet"], env={"EMBLEM_HOME": str(home)}, capture_output=True, check=True
    )
    return made.stdout.decode().strip()


def asked(server: RunningServer, key: str, *texts: str) -> tuple[requests.Response, int]:
    """Give the answer, and what is left of the limit by what it says."""
    answer = server.session.post(
        f"{server.base_url}/embeddings",
        json={"model": "far", "input": [*texts]},
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    )
    return answer, int(answer.headers["x-ratelimit-remaining-tokens"])


def test_a_key_is_charged_in_the_end_what_the_provider_says_and_never_passes_its_limit(
    tmp_path: Path,
) -> None:
    text, other, long = "many words " * 40, "and others " * 40, "word " * 500
    with running(manners=Manners(model="t"), truth=Hashed(8)) as upstream:
        (tmp_path / "emblem.toml").write_text(CONFIG.format(url=upstream.base_url))
        key = key_of(tmp_path)
        with running_server(tmp_path) as server:
            answer, left = asked(server, key, text)
            cost = answer.json()["usage"]["total_tokens"]
            assert (answer.status_code, cost < most_tokens(text) / 4) == (200, True)
            assert left == MOST - cost
            again, left = asked(server, key, text)
            assert again.headers["x-embedding-cache"] == "hits=1/1"
            assert again.json()["usage"]["total_tokens"] == cost
            assert left >= MOST - 2 * cost
            refused, _ = asked(server, key, long)
            assert refused.status_code == 429
            assert "Request too large" in refused.text
            upstream.play(always(Fault.NO_USAGE))
            silent, left = asked(server, key, other)
            assert silent.json()["usage"]["total_tokens"] == most_tokens(other)
            assert left <= MOST - most_tokens(other)
