"""What other clients put on the wire, sent as they send it."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from server import RunningServer, linked_home, running_server

MODEL = "all-MiniLM-L6-v2"
BODY = {"model": MODEL, "input": "a river"}


@pytest.fixture(scope="module")
def open_server(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Serve without keys, with an alias whose name has a slash in it."""
    home = linked_home(tmp_path_factory.mktemp("open") / "home", model_home)
    (home / "emblem.toml").write_text(f'[aliases."acme/river"]\nmodel = "{MODEL}"\n')
    with running_server(home, env={"EMBLEM_API_KEY": ""}, args=["--no-auth"]) as running:
        yield running


def assert_error(answer: requests.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    "extra",
    [
        {"dimensions": None},
        {"encoding_format": None},
        {"user": None},
        {"user": "someone", "extra_body": {"a": [1]}, "custom_prefix": "search_query: "},
        {"truncate": True, "options": {}},
    ],
)
def test_nulls_and_unknown_fields_change_nothing(
    server: RunningServer, plain: Any, extra: dict[str, Any]
) -> None:
    answer = server.post(BODY | extra)
    assert answer.status_code == 200, answer.text
    vector = answer.json()["data"][0]["embedding"]
    np.testing.assert_array_equal(np.float32(vector), plain("a river")[0])


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "something-else"},
        {"OpenAI-Beta": "assistants=v2", "OpenAI-Organization": "org-1", "OpenAI-Project": "p"},
        {"X-OpenWebUI-User-Name": "J%C3%BCrgen", "X-OpenWebUI-User-Role": "user"},
        {"X-Stainless-Lang": "js", "Idempotency-Key": "stainless-node-retry-1"},
        {"Content-Type": "application/json; charset=utf-8"},
        {"Content-Type": "application/vnd.acme+json"},
        {"Accept": "*/*", "Accept-Encoding": "gzip, deflate, br, zstd"},
    ],
)
def test_headers_that_clients_add_change_nothing(
    server: RunningServer, plain: Any, headers: dict[str, str]
) -> None:
    answer = server.session.post(
        f"{server.base_url}/embeddings",
        data=json.dumps(BODY).encode(),
        headers=server.headers | headers,
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    vector = answer.json()["data"][0]["embedding"]
    np.testing.assert_array_equal(np.float32(vector), plain("a river")[0])


def test_a_body_without_a_content_type_is_read_as_json(server: RunningServer) -> None:
    answer = server.session.post(
        f"{server.base_url}/embeddings",
        data=json.dumps(BODY).encode(),
        headers=server.headers,
        timeout=60,
    )
    assert "Content-Type" not in answer.request.headers
    assert answer.status_code == 200, answer.text


def test_a_content_type_that_is_not_json_is_415(server: RunningServer) -> None:
    answer = server.session.post(
        f"{server.base_url}/embeddings",
        data=json.dumps(BODY).encode(),
        headers=server.headers | {"Content-Type": "text/plain"},
        timeout=60,
    )
    assert_error(answer, 415)


def test_a_base_url_that_ends_in_a_slash_gives_two_and_works(server: RunningServer) -> None:
    assert server.post(BODY, "/v1//embeddings").status_code == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer ", "Bearer anything", "Basic Zm9v"])
def test_without_keys_whatever_is_in_authorization_opens(
    open_server: RunningServer, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = open_server.session.post(
        f"{open_server.base_url}/embeddings", json=BODY, headers=headers, timeout=60
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic Zm9v", "sk-x"])
def test_with_keys_whatever_is_not_a_key_is_401_and_says_so(
    server: RunningServer, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = server.session.post(
        f"{server.base_url}/embeddings", json=BODY, headers=headers, timeout=60
    )
    assert_error(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("name", ["acme/river", "acme%2Friver", "acme%2friver"])
def test_a_model_id_with_a_slash_is_found_however_it_is_encoded(
    open_server: RunningServer, name: str
) -> None:
    model = open_server.get(f"/v1/models/{name}")
    assert model.status_code == 200, model.text
    assert model.json()["id"] == "acme/river"
    answer = open_server.post({"input": "a river"}, f"/{name}/v1/embeddings")
    assert answer.status_code == 200, answer.text
    listed = open_server.get(f"/{name}/v1/models").json()["data"]
    assert [item["id"] for item in listed] == ["acme/river"]


def test_weaviate_reads_object_and_a_string_or_null_in_every_error_field(
    server: RunningServer,
) -> None:
    assert server.post(BODY).json()["object"] == "list"
    error = assert_error(server.post({"model": MODEL, "input": []}), 400)
    assert isinstance(error["message"], str)
    assert error["param"] is None or isinstance(error["param"], str)
    assert error["code"] is None or isinstance(error["code"], str)


def test_an_offer_of_h2c_loses_no_body(server: RunningServer) -> None:
    body = json.dumps(BODY).encode()
    head = (
        "POST /v1/embeddings HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\n"
        "Connection: Upgrade, HTTP2-Settings\r\n"
        "Upgrade: h2c\r\n"
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
        f"Authorization: Bearer {server.key}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Content-Type: application/json\r\n\r\n"
    )
    assert read_status(server, head.encode() + body) == 200


def test_a_chunked_body_is_read_whole(server: RunningServer) -> None:
    body = json.dumps(BODY).encode()
    chunks = b"".join(b"1\r\n" + bytes([byte]) + b"\r\n" for byte in body) + b"0\r\n\r\n"
    head = (
        "POST /v1/embeddings HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.key}\r\n"
        "Transfer-Encoding: chunked\r\n"
        "Content-Type: application/json\r\n\r\n"
    )
    assert read_status(server, head.encode() + chunks) == 200


def test_a_client_that_expects_continue_gets_its_answer(server: RunningServer) -> None:
    body = json.dumps(BODY).encode()
    head = (
        "POST /v1/embeddings HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {server.key}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    assert read_status(server, head.encode() + body) == 200


def read_status(server: RunningServer, request: bytes) -> int:
    """Send bytes as they are and give the status of the answer, past a 100 Continue."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request)
        with connection.makefile("rb") as answer:
            status = answer.readline().split()[1]
            if status == b"100":
                assert answer.readline() == b"\r\n"
                status = answer.readline().split()[1]
    return int(status)
