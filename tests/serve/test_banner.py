"""What ``emblem serve`` says when it starts, and to whom: what is pasted from it works."""

import re
import subprocess
from pathlib import Path

import pytest
import requests

from emblem.config import Settings
from emblem.ledger.opening import open_ledger
from serve.processes import (
    STATIC,
    Started,
    at_terminal,
    environment,
    refused,
    run,
    started,
    wait_for,
)
from server import free_port

SECRET = re.compile(r"sk-[A-Za-z0-9_-]{20,}")
GIVEN = "sk-given-0123456789abcdef"


def pasted(line: str, home: Path, env: dict[str, str] | None = None) -> str:
    """Run a line in a shell as a newcomer does and give what it prints."""
    done = subprocess.run(
        ["sh", "-ec", line],
        env=environment(home, env),
        cwd=home,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def line_of(said: str, start: str) -> str:
    (line,) = (line for line in said.splitlines() if line.strip().startswith(start))
    return line.strip()


def secret_of(said: str) -> str:
    return line_of(said, "Your key, shown this once: ").rpartition(" ")[2]


def status(server: Started, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return requests.get(f"{server.root}/v1/models", headers=headers, timeout=30).status_code


def test_the_first_start_shows_a_key_and_lines_that_work_as_they_stand(home: Path) -> None:
    with at_terminal(home) as server:
        said = server.until("Ready in")
        secret = secret_of(said)
        assert set(SECRET.findall(said)) == {secret}
        answer = pasted(line_of(said, "curl "), home)
        assert '"model":"all-MiniLM-L6-v2"' in answer
        exports = "\n".join(line for line in said.splitlines() if line.startswith("  export "))
        asked = 'curl -sSf "$OPENAI_BASE_URL/models" -H "Authorization: Bearer $OPENAI_API_KEY"'
        assert STATIC in pasted(f"{exports}\n{asked}", home)
        assert server.stop() == 0
        assert server.said().count(secret) == said.count(secret)


def test_later_starts_list_keys_by_name_and_last_four(home: Path) -> None:
    with at_terminal(home, STATIC) as server:
        secret = secret_of(server.until("Ready in"))
        server.stop()
    laptop = run(home, "keys", "create", "laptop", "--quiet").stdout.strip()
    gone = run(home, "keys", "create", "gone", "--quiet").stdout.strip()
    run(home, "keys", "revoke", "gone")
    with at_terminal(home, STATIC) as server:
        said = server.until("Ready in")
        line = line_of(said, "Keys: ")
        assert line == (
            f"Keys: first (…{secret[-4:]}), laptop (…{laptop[-4:]}). "
            "Make one with: emblem keys create NAME"
        )
        assert not SECRET.search(said)
        assert gone[-4:] not in said
        assert status(server, secret) == 200


def test_without_a_terminal_no_key_is_made_and_none_reaches_the_log(home: Path) -> None:
    with started(home, STATIC) as server:
        said = server.until("Ready in")
        assert "There is no key yet. Make one with: emblem keys create NAME" in said
        assert not SECRET.search(said)
    ledger = open_ledger(Settings(home=str(home)))
    assert ledger.keys.every() == []
    ledger.close()


def test_the_key_goes_to_the_terminal_where_stdout_is_a_file(home: Path) -> None:
    log = home / "out.log"
    with at_terminal(home, STATIC, stdout_to=log) as server:
        said = server.until("Your key, shown this once")
        wait_for(lambda: "Ready in" in log.read_text())
        assert status(server, secret_of(said)) == 200
        assert not SECRET.search(log.read_text())


def test_the_line_with_emblem_env_makes_a_key_that_works(home: Path) -> None:
    with started(home, STATIC) as server:
        said = server.until("Ready in")
        line = line_of(said, "or, with a new key:").partition(":")[2].strip()
        assert line == 'eval "$(emblem env)"'
        asked = 'curl -sSf "$OPENAI_BASE_URL/models" -H "Authorization: Bearer $OPENAI_API_KEY"'
        port = {"EMBLEM_PORT": str(server.port)}
        assert STATIC in pasted(f"{line}\n{asked}", home, port)
        curl = line_of(said, "curl ")
        assert STATIC in pasted(f"{line}\n{curl}", home, port)


def test_the_line_with_emblem_env_has_the_flags_that_the_server_had(
    home: Path, tmp_path: Path
) -> None:
    port = free_port()
    with started(tmp_path, STATIC, "--home", str(home), "--port", str(port), port=port) as server:
        line = line_of(server.until("Ready in"), "or, with a new key:").partition(":")[2]
        assert line.strip() == f'eval "$(emblem env --home {home} --port {port})"'
        asked = 'curl -sSf "$OPENAI_BASE_URL/models" -H "Authorization: Bearer $OPENAI_API_KEY"'
        assert STATIC in pasted(f"{line}\n{asked}", tmp_path)


def test_a_key_of_the_environment_is_taken_and_none_is_made(home: Path) -> None:
    with at_terminal(home, STATIC, env={"EMBLEM_API_KEY": GIVEN}) as server:
        said = server.until("Ready in")
        assert "Keys: the one in EMBLEM_API_KEY." in said
        assert GIVEN not in said
        assert not SECRET.search(said)
        assert (status(server, GIVEN), status(server, GIVEN + "x")) == (200, 401)
    assert GIVEN.encode() not in (home / "emblem.db").read_bytes()
    assert "There is no key yet" in run(home, "keys", "list").stderr


def test_keys_can_be_made_and_revoked_while_the_server_runs(home: Path) -> None:
    with started(home, STATIC) as server:
        server.until("Ready in")
        secret = run(home, "keys", "create", "laptop", "--quiet").stdout.strip()
        assert status(server, secret) == 200
        assert run(home, "keys", "revoke", "laptop").returncode == 0
        # The command itself takes some of the second that a server may need to hear of it.
        wait_for(lambda: status(server, secret) == 401)


def test_without_auth_nobody_is_asked_and_only_loopback_is_listened_on(home: Path) -> None:
    with at_terminal(home, STATIC, "--no-auth") as server:
        said = server.until("Ready in")
        assert "No key is asked for (--no-auth), and only this machine is answered." in said
        assert STATIC in pasted(line_of(said, "curl "), home)
        exports = "\n".join(line for line in said.splitlines() if line.startswith("  export "))
        assert f"http://127.0.0.1:{server.port}/v1" in pasted(
            f'{exports}\necho "$OPENAI_BASE_URL $OPENAI_API_KEY"', home
        )
        assert not SECRET.search(said)
    assert "without keys Emblem listens on" in refused(home, "--no-auth", "--host", "0.0.0.0")


@pytest.mark.parametrize("models", [(), (STATIC,)])
def test_the_warning_stands_wherever_openais_names_are_served(
    home: Path, models: tuple[str, ...]
) -> None:
    with started(home, *models) as server:
        said = server.until("Ready in")
        assert ("WARNING: they are not OpenAI's vectors" in said) == (not models)
        assert ("text-embedding-3-small" in said) == (not models)


def test_models_that_nobody_asked_for_are_said_to_be_loaded_on_first_use(home: Path) -> None:
    with started(home) as server:
        said = server.until("Ready in")
        assert "space all-MiniLM-L6-v2@53aa5117/384\n" in said
        assert f"space {STATIC}@64b47a2d/256; loaded on first use\n" in said
