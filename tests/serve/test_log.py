"""What a server writes never holds what was sent to it: no text, no vector, no key."""

import socket
from pathlib import Path

import requests

from serve.processes import Started, run, started, wait_for

KEY = "sk-logged-PLANTEDKEY-0123456789"
WRONG = "sk-wrong-PLANTEDKEY-0123456789"
TEXT = "PLANTEDTEXT of a private letter"
MINILM = "all-MiniLM-L6-v2"


def send_all_kinds(server: Started, issued: str) -> list[int]:
    """Send texts and keys wherever a client can put them; give the statuses."""
    url = f"{server.root}/v1/embeddings"
    good = {"Authorization": f"Bearer {KEY}"}
    body = {"model": MINILM, "input": TEXT}
    requests_made: list[tuple[dict[str, str], dict[str, object]]] = [
        (good, {"json": body}),
        (good, {"json": {**body, "input": [f"{TEXT} {n}" for n in range(50)]}}),
        (good, {"json": {**body, "input": f"{TEXT} " * 400}}),
        (good, {"json": {**body, "input": f"{TEXT} " * 400, "overflow": "error"}}),
        (good, {"json": {**body, "input": f"{TEXT} " * 9000}}),
        (good, {"json": {**body, "input": {TEXT: TEXT}}}),
        (good, {"json": {**body, "input": [TEXT, 1, None]}}),
        (good, {"json": {**body, "encoding_format": TEXT}}),
        (good, {"json": {**body, "dimensions": TEXT}}),
        (good, {"json": {**body, "user": TEXT}}),
        (good, {"data": f'{{"model": "x", "input": "{TEXT}'.encode()}),
        (good, {"data": b'{"input": "\\ud800 ' + TEXT.encode() + b'"}'}),
        (good, {"data": TEXT.encode(), "headers": {"Content-Type": "text/plain"}}),
        ({"Authorization": f"Bearer {issued}"}, {"json": body}),
        ({"Authorization": f"Bearer {WRONG}"}, {"json": body}),
        ({"Authorization": WRONG}, {"json": body}),
        ({"Authorization": f"Basic {WRONG}"}, {"json": body}),
        ({"x-api-key": WRONG}, {"json": body}),
    ]
    statuses = []
    for headers, arguments in requests_made:
        more = arguments.pop("headers", {})
        assert isinstance(more, dict)
        answer = requests.post(url, headers={**headers, **more}, timeout=60, **arguments)  # type: ignore[arg-type]
        statuses.append(answer.status_code)
    return statuses


def vanish(server: Started) -> None:
    """Leave in the middle of a body."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        head = f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        client.sendall(f'{head}Content-Length: 999\r\n\r\n{{"input": "{TEXT}'.encode())
        wait_for(lambda: requests.get(f"{server.root}/health", timeout=30).status_code == 200)


def test_no_text_and_no_key_is_ever_logged(home: Path) -> None:
    with started(home, "--log-level", "debug", env={"EMBLEM_API_KEY": KEY}) as server:
        server.until("Ready in")
        issued = run(home, "keys", "create", "laptop", "--quiet").stdout.strip()
        statuses = send_all_kinds(server, issued)
        assert statuses == [200] * 3 + [400] * 6 + [200] + [400] * 2 + [415] + [200] + [401] * 4
        vanish(server)
        wait_for(lambda: server.said().count("POST /v1/embeddings 400") == statuses.count(400) + 1)
        assert server.stop() == 0
        said = server.said()
        assert said.count("POST /v1/embeddings ") == len(statuses) + 1
        assert "sent texts longer than" in said
        for secret in ("PLANTED", KEY[-8:], WRONG[3:12], issued, issued[3:20], "private letter"):
            assert secret not in said
        assert "Traceback" not in said


def test_the_files_of_the_home_hold_no_key(home: Path) -> None:
    with started(home, env={"EMBLEM_API_KEY": KEY}) as server:
        server.until("Ready in")
        issued = run(home, "keys", "create", "laptop", "--quiet").stdout.strip()
        assert server.ask(MINILM, KEY, TEXT).status_code == 200
        assert server.ask(MINILM, issued, TEXT).status_code == 200
        server.stop()
    for file in home.glob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert KEY.encode() not in content
            assert issued.encode() not in content
            assert b"PLANTEDTEXT" not in content
