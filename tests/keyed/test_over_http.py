"""Keys, teams, limits and usage over HTTP, with a real server and its ledger."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest
import requests

from emblem.accounts import Page, Quota, Role, Window
from keyed.desk import MODEL, PATIENCE_S, Desk, desk, opened, wait_for

FIVE = "one two three four five"  # as many tokens


def limits(answer: requests.Response) -> dict[str, str]:
    start = "x-ratelimit-"
    return {
        name.lower().removeprefix(start): value
        for name, value in answer.headers.items()
        if name.lower().startswith(start)
    }


# -- limits -----------------------------------------------------------------------------------


def test_limits_go_down_by_the_tokens_of_the_answer(office: Desk) -> None:
    _, secret = office.key(quota=Quota(requests_per_minute=60, tokens_per_minute=600))
    for texts in (FIVE, [FIVE, FIVE], [FIVE, "another text"]):  # some from the cache
        before = int(limits(office.ask(secret, "x"))["remaining-tokens"])
        answer = office.ask(secret, texts)
        said = limits(answer)
        assert (said["limit-requests"], said["limit-tokens"]) == ("60", "600")
        gone = before - int(said["remaining-tokens"])
        spent = answer.json()["usage"]["prompt_tokens"]
        # What drained meanwhile, ten tokens a second, is there again.
        assert spent - 10 <= gone <= spent
        assert said["reset-tokens"].endswith("s")


def test_beyond_a_limit_openai_s_client_raises_rate_limit_error(office: Desk) -> None:
    _, secret = office.key(quota=Quota(tokens_per_minute=6))
    with openai.OpenAI(
        base_url=office.server.base_url, api_key=secret, max_retries=0, timeout=PATIENCE_S
    ) as client:
        assert client.embeddings.create(model=MODEL, input=FIVE).usage.prompt_tokens == 5
        with pytest.raises(openai.RateLimitError) as refused:
            client.embeddings.create(model=MODEL, input=FIVE)
        assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "tokens")
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
        with pytest.raises(openai.RateLimitError) as hopeless:
            client.embeddings.create(model=MODEL, input=[FIVE, FIVE])
        assert hopeless.value.response.headers["x-should-retry"] == "false"


def test_a_day_s_tokens_and_a_month_s_money_are_quotas(office: Desk) -> None:
    for quota in (Quota(tokens_per_day=6), Quota(cost_per_month=6 * 20)):
        _, secret = office.key(quota=quota)
        assert office.ask(secret, FIVE).status_code == 200
        refused = office.ask(secret, FIVE)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "insufficient_quota"
        assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_two_keys_of_a_team_share_its_limit(office: Desk) -> None:
    team = office.ledger.teams.create("search", (), Quota(tokens_per_minute=8), now=time.time())
    (_, ada), (_, bob) = office.key(team=team), office.key(team=team)
    assert office.ask(ada, FIVE).status_code == 200
    refused = office.ask(bob, FIVE)
    assert refused.status_code == 429
    assert "this API key's team" in refused.json()["error"]["message"]


def test_fifty_at_once_never_get_more_tokens_than_there_are(office: Desk) -> None:
    most = 60
    key, secret = office.key(quota=Quota(tokens_per_minute=most))
    texts = [f"{FIVE} {n}" for n in range(50)]
    began = time.monotonic()
    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(lambda text: office.ask(secret, text), texts))
    took = time.monotonic() - began
    good = [one.json()["usage"]["prompt_tokens"] for one in answers if one.status_code == 200]
    assert {one.status_code for one in answers} == {200, 429}
    assert most - 10 <= sum(good) <= most + most * took / 60
    uses = office.uses(key, 50)
    assert len(uses) == 50
    assert sum(one.tokens for one in uses) == sum(good)


def test_what_is_wrong_costs_no_tokens_and_counts_as_a_request(office: Desk) -> None:
    _, secret = office.key(quota=Quota(requests_per_minute=6, tokens_per_day=100_000))
    assert office.ask(secret, ["fine", "x " * 9000]).status_code == 400
    assert office.ask(secret, [""]).status_code == 400
    assert office.ask(secret, FIVE, model="nobody").status_code == 404
    address = f"{office.server.base_url}/embeddings"
    headers = {"Authorization": f"Bearer {secret}"}
    no_json = requests.post(address, b"{", headers=headers, timeout=PATIENCE_S)
    assert no_json.status_code == 400
    said = limits(office.ask(secret, FIVE))
    assert (said["remaining-requests"], said["remaining-tokens"]) == ("1", "99995")


def test_the_key_of_the_environment_has_no_limits_and_every_role(office: Desk) -> None:
    answer = office.server.post({"model": MODEL, "input": FIVE})
    assert answer.status_code == 200
    assert limits(answer) == {}
    assert office.server.get("/ps").status_code == 200


# -- models and roles -------------------------------------------------------------------------


def test_a_key_sees_and_gets_its_own_models_only(office: Desk) -> None:
    _, secret = office.key(models=("mine",))
    listed = office.get("/v1/models", secret).json()["data"]
    assert [one["id"] for one in listed] == ["mine"]
    assert office.ask(secret, model="mine").status_code == 200
    refused, missing = office.ask(secret, model=MODEL), office.ask(secret, model="nobody")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert refused.text.replace(MODEL, "NAME") == missing.text.replace("nobody", "NAME")


def test_an_address_needs_its_role(office: Desk) -> None:
    for role, status in ((Role.INFERENCE, 403), (Role.READ, 200), (Role.ADMIN, 200)):
        _, secret = office.key(role=role)
        assert office.get("/ps", secret).status_code == status
        assert office.get("/v1/models", secret).status_code == 200
        assert office.get("/admin/keys", secret).status_code == (200 if role is Role.ADMIN else 403)


# -- who gets in ------------------------------------------------------------------------------


def test_a_key_that_has_expired_opens_nothing(office: Desk) -> None:
    ends = time.time() + 1.5
    _, secret = office.key(expires=ends)
    assert office.get("/v1/models", secret).status_code == 200
    wait_for(lambda: time.time() > ends)
    assert office.get("/v1/models", secret).status_code == 401


def test_an_open_connection_is_refused_within_a_second_of_its_key_s_revocation(
    office: Desk,
) -> None:
    key, secret = office.key()
    headers = {"Authorization": f"Bearer {secret}"}
    address = f"{office.server.root}/v1/models"
    with requests.Session() as session:
        assert session.get(address, headers=headers, timeout=PATIENCE_S).status_code == 200
        office.ledger.keys.revoke(key.id, now=time.time())
        revoked = time.monotonic()
        while session.get(address, headers=headers, timeout=PATIENCE_S).status_code == 200:
            assert time.monotonic() - revoked < 1.0, "still open"
        answer = session.get(address, headers=headers, timeout=PATIENCE_S)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_a_secret_that_is_replaced_while_its_body_arrives_gets_no_answer(office: Desk) -> None:
    key, secret = office.key()
    body = json.dumps({"model": MODEL, "input": FIVE}).encode()
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    port = urlsplit(office.server.root).port
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
        client.sendall(head + body[:9])
        _, new = office.ledger.keys.rotate(key.id, overlap_s=0.0, now=time.time())
        wait_for(lambda: office.get("/v1/models", secret).status_code == 401)
        client.sendall(body[9:])
        assert client.recv(9999).startswith(b"HTTP/1.1 401 ")
    assert office.ask(new, FIVE).status_code == 200


def test_a_key_opens_from_its_own_networks_only(office: Desk) -> None:
    _, elsewhere = office.key(sources=("192.0.2.0/24",))
    refused = office.get("/v1/models", elsewhere)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "ip_not_authorized")
    _, here = office.key(sources=("192.0.2.0/24", "127.0.0.0/8"))
    assert office.get("/v1/models", here).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        b"Bearer \xff\xfe\xfd",
        b"Bearer sk-" + b"x" * 60_000,
        b"Bearer ' OR 1=1; DROP TABLE keys; --",
        b"Bearer " + b"\xc3\xa9" * 40,
        b"Basic " + b"a" * 5000,
        b"Bearer a b c",
        b"," * 3000,
    ],
)
def test_a_strange_authorization_is_refused_and_nothing_breaks(office: Desk, given: bytes) -> None:
    answer = requests.get(
        f"{office.server.root}/v1/models", headers={"Authorization": given}, timeout=PATIENCE_S
    )
    assert answer.status_code == 401
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("size", [500_000, 5_000_000])
def test_headers_beyond_all_measure_are_refused_or_not_listened_to(office: Desk, size: int) -> None:
    try:
        answer = requests.get(
            f"{office.server.root}/v1/models",
            headers={"Authorization": "Bearer " + "x" * size},
            timeout=PATIENCE_S,
        )
    except requests.ConnectionError:
        pass  # it is closed while the rest is still being sent
    else:
        assert answer.status_code in (401, 431)
    assert office.server.get("/health").status_code == 200
    assert "Traceback" not in office.server.log.read_text()


# -- usage ------------------------------------------------------------------------------------


def test_each_request_leaves_one_record_with_what_it_was(office: Desk) -> None:
    key, secret = office.key("ada", quota=Quota(requests_per_minute=5))
    first = office.ask(secret, ["never seen " + key.id, FIVE], x_emblem_tag="nightly, b")
    second = office.ask(secret, ["never seen " + key.id, FIVE], model="mine")
    wrong = office.ask(secret, FIVE, x_emblem_tag="t" * 65)
    missing = office.ask(secret, FIVE, model="nobody")
    third = office.ask(secret, [1, "x"])
    refused = office.ask(secret, FIVE)
    assert [one.status_code for one in (wrong, missing, third, refused)] == [400, 404, 400, 429]
    uses = {one.id: one for one in office.uses(key, 6)}
    assert len(uses) == 6
    use = uses[first.headers["x-request-id"]]
    tokens = first.json()["usage"]["prompt_tokens"]
    assert (use.model, use.served_by, use.inputs) == (MODEL, MODEL, 2)
    assert (use.tokens, use.cost, use.status) == (tokens, 20 * tokens, 200)
    assert (use.user, use.tags) == ("ada", ("nightly", "b"))
    assert use.space == first.headers["x-embedding-space"]
    again = uses[second.headers["x-request-id"]]
    assert (again.model, again.hits, again.tokens) == (MODEL, 2, tokens)
    for answer, status in ((wrong, 400), (missing, 404), (third, 400), (refused, 429)):
        use = uses[answer.headers["x-request-id"]]
        assert (use.status, use.tokens, use.cost) == (status, 0, 0)
    assert FIVE not in repr(uses)


def test_a_key_may_see_what_it_used_and_what_is_left(office: Desk) -> None:
    key, secret = office.key(quota=Quota(tokens_per_day=1000))
    office.ask(secret, FIVE)
    office.uses(key, 1)
    said = office.get("/v1/usage", secret).json()
    assert (said["key"], said["today"]["tokens"]) == (key.id, 5)
    assert [(one["unit"], one["remaining"]) for one in said["limits"]] == [("tokens", 995)]


def test_without_keys_nothing_is_asked_limited_or_recorded(home: Path) -> None:
    with desk(home, "--no-auth") as free:
        for key in ("", "anything"):
            answer = free.ask(key, FIVE)
            assert answer.status_code == 200
            assert limits(answer) == {}
        assert free.get("/ps", "").status_code == 200
        assert free.get("/v1/usage", "").json()["limits"] == []
    with opened(home) as ledger:
        assert ledger.usage.records(Window(), Page()) == []
