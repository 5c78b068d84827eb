"""Keys in several processes of one server."""

import sys
import time
from pathlib import Path

import pytest
import requests

from emblem.accounts import Terms
from keyed.desk import MODEL, PATIENCE_S, opened
from serve.processes import started

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes share the port's socket"),
]

CLOSE = {"Connection": "close"}  # so that the next request may reach the other process


def test_a_key_that_is_revoked_works_in_no_process_after_a_second(home: Path) -> None:
    (home / "emblem.toml").write_text("limits = false\n")
    with opened(home) as ledger:
        key, secret = ledger.keys.issue(Terms("laptop"), now=time.time())
        with started(home, MODEL, "--processes", "2") as server:
            server.until("Ready in")
            headers = {"Authorization": f"Bearer {secret}", **CLOSE}

            def status() -> int:
                address = f"{server.root}/v1/models"
                return requests.get(address, headers=headers, timeout=PATIENCE_S).status_code

            assert {status() for _ in range(20)} == {200}
            ledger.keys.revoke(key.id, now=time.time())
            revoked = time.monotonic()
            answers = []
            while time.monotonic() - revoked < 2.0:
                answers.append((time.monotonic() - revoked, status()))
            late = [one for began, one in answers if began > 1.0]
            assert len(late) >= 10
            assert set(late) == {401}
            assert server.stop() == 0
