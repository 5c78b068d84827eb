"""A real server in front of upstreams that misbehave: what its clients get, and what is left behind."""

import asyncio
import base64
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emblem.upstreams.misbehaving import (
    Fault,
    Hashed,
    Manners,
    Running,
    always,
    at_random,
    in_turn,
    running,
    vector,
)
from emblem.upstreams.misbehaving.truth import shortened
from gateway.storms import SEEN
from server import RunningServer, free_port, running_server

KEY = "sk-planted-upstream-5e0d9a"
WIDTH = 32
MODELS = 8  # with pools of their own: a pool that leaves its deployments alone tests nothing
UNTOUCHED = MODELS - 2  # by storms, as is the next one
UPSTREAMS = 2
TIMEOUT_S = 2.0  # of a request to the server
SLACK_S = 10.0  # that a machine with much to do may be late
# A minute's pause is kept to, and would end the test: tests/gateway/test_deployments.py has it.
FAULTS = [one for one in SEEN if one is not Fault.BUSY_HUGE]
FAILED = {429, 502, 503, 504}

CONFIG = """
request_timeout_s = {timeout}
cache_bytes = {cache}
serve = [{names}]
"""
UPSTREAM = """
[upstreams.u{number}]
preset = "openai-compatible"
base_url = "{url}"
key_env = ["UPSTREAM_KEY"]
max_inputs = 4
timeout_s = 0.5
connect_timeout_s = 1
"""
MODEL = """
[models.truth-{number}]
width = {width}
max_length = 4096
normalised = true
shortening = true
space = "truth"
deployments = [{{ upstream = "u0", model = "t" }}, {{ upstream = "u1", model = "t" }}]
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The server, and what is behind it."""

    server: RunningServer
    upstreams: tuple[Running, ...]
    statuses: Counter[int] = field(default_factory=Counter)

    def play(self, scripts: Sequence[Sequence[Fault]]) -> None:
        for one, script in zip(self.upstreams, scripts, strict=True):
            one.play(in_turn(script, loop=True))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A server with two upstreams, which are well while it starts; leaving looks at what is left."""
    home = tmp_path_factory.mktemp("gateway")
    with ExitStack() as stack:
        manners = Manners(model="t", key=KEY, trickle_s=0.2, slow_s=0.05)
        upstreams = tuple(
            stack.enter_context(running(manners=manners, truth=Hashed(WIDTH)))
            for _ in range(UPSTREAMS)
        )
        names = ", ".join(f'"truth-{number}"' for number in range(MODELS))
        (home / "emblem.toml").write_text(
            CONFIG.format(timeout=TIMEOUT_S, cache=1 << 20, names=names)
            + "".join(
                UPSTREAM.format(number=number, url=one.base_url)
                for number, one in enumerate(upstreams)
            )
            + "".join(MODEL.format(number=number, width=WIDTH) for number in range(MODELS))
        )
        with running_server(home, env={"UPSTREAM_KEY": KEY}) as server:
            made = Gateway(server, upstreams)
            yield made
            log = server.log
        many = made.statuses.total() > 50  # else nothing is to be said
        assert not many or made.statuses[200] > 10, made.statuses
        assert not many or made.statuses.total() - made.statuses[200] > 10, made.statuses
        assert KEY not in log.read_text(errors="replace")
        assert "Traceback" not in log.read_text(errors="replace")
        for one in upstreams:
            seen = one.seen()
            assert (seen.open, seen.strayed) == (0, 0)


async def embed(
    client: httpx2.AsyncClient, gateway: Gateway, body: dict[str, object]
) -> tuple[httpx2.Response, float]:
    began = time.monotonic()
    answer = await client.post(
        f"{gateway.server.base_url}/embeddings", json=body, headers=gateway.server.headers
    )
    return answer, time.monotonic() - began


def check(body: dict[str, object], answer: httpx2.Response, seconds: float) -> None:
    """An answer is right, or says that there is none, in time and without a secret."""
    assert seconds < TIMEOUT_S + SLACK_S
    assert KEY not in answer.text + str(answer.headers)
    if answer.status_code != 200:
        refused = "refused the request" in answer.text  # which Fault.REFUSED does
        assert answer.status_code in FAILED or (answer.status_code == 400 and refused), answer.text
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        return
    texts = body["input"]
    assert isinstance(texts, list)
    found = answer.json()
    assert [item["index"] for item in found["data"]] == list(range(len(texts)))
    given = [item["embedding"] for item in found["data"]]
    if body.get("encoding_format") == "base64":
        given = [np.frombuffer(base64.b64decode(one), "<f4") for one in given]
    dimensions = body.get("dimensions")
    due = shortened(
        np.stack([vector(text, WIDTH) for text in texts]),
        dimensions if isinstance(dimensions, int) else None,
    )
    np.testing.assert_allclose(np.array(given), due, atol=1e-5)
    served = {one.strip() for one in answer.headers["x-served-by"].split(",")}
    assert served <= {"u0", "u1", body["model"]}, served  # the last is what was remembered


async def ask_all(gateway: Gateway, bodies: Sequence[dict[str, object]]) -> list[int]:
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        answers = await asyncio.gather(*(embed(client, gateway, body) for body in bodies))
    for body, (answer, seconds) in zip(bodies, answers, strict=True):
        check(body, answer, seconds)
        gateway.statuses[answer.status_code] += 1
    return [answer.status_code for answer, _ in answers]


TEXTS = st.lists(st.text("abc é", min_size=1, max_size=12), min_size=1, max_size=14)
STORMS = given(
    scripts=st.lists(
        st.lists(st.sampled_from([*FAULTS, *[Fault.OK] * 20]), min_size=1, max_size=8),
        min_size=UPSTREAMS,
        max_size=UPSTREAMS,
    ),
    asked=st.lists(
        st.tuples(
            st.integers(0, MODELS - 3),
            TEXTS,
            st.sampled_from(["float", "base64"]),
            st.sampled_from([None, 8, WIDTH]),
        ),
        min_size=1,
        max_size=8,
    ),
)
BOUNDED = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "derandomize": True,
    "phases": [Phase.generate],  # a storm takes a second: making one smaller would take minutes
}


def weather(
    gateway: Gateway, scripts: list[list[Fault]], asked: list[tuple[int, list[str], str, int]]
) -> None:
    gateway.play(scripts)
    bodies = [
        {"model": f"truth-{model}", "input": texts, "encoding_format": form}
        | ({} if dimensions is None else {"dimensions": dimensions})
        for model, texts, form, dimensions in asked
    ]
    asyncio.run(ask_all(gateway, [*bodies, *bodies]))  # the same texts twice, at the same time


@settings(max_examples=10, **BOUNDED)
@STORMS
def test_clients_never_get_a_wrong_vector(
    gateway: Gateway, scripts: list[list[Fault]], asked: list[tuple[int, list[str], str, int]]
) -> None:
    weather(gateway, scripts, asked)


@pytest.mark.slow
@settings(max_examples=200, **BOUNDED)
@STORMS
def test_clients_never_get_a_wrong_vector_in_a_long_storm(
    gateway: Gateway, scripts: list[list[Fault]], asked: list[tuple[int, list[str], str, int]]
) -> None:
    weather(gateway, scripts, asked)


def test_clients_that_leave_take_their_requests_along(gateway: Gateway) -> None:
    for one in gateway.upstreams:
        one.play(always(Fault.HANG))

    async def leave() -> None:
        async with httpx2.AsyncClient(timeout=0.2, trust_env=False) as client:
            for number in range(3):
                body = {"model": f"truth-{UNTOUCHED}", "input": f"left {number}"}
                with pytest.raises(httpx2.TimeoutException):
                    await embed(client, gateway, body)

    before = sum(one.seen().abandoned for one in gateway.upstreams)
    asyncio.run(leave())
    end = time.monotonic() + 10
    while sum(one.seen().abandoned for one in gateway.upstreams) < before + 1:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
def test_a_gateway_is_well_again_once_its_upstreams_are(gateway: Gateway) -> None:
    for number, one in enumerate(gateway.upstreams):
        one.play(at_random(FAULTS, rate=0.9, seed=number))
    bodies = [
        {"model": f"truth-{number % MODELS}", "input": [f"text {number}"]} for number in range(200)
    ]
    asyncio.run(ask_all(gateway, bodies))
    for one in gateway.upstreams:
        one.play(always(Fault.OK))
    end = time.monotonic() + 90
    for number in range(MODELS):
        for attempt in itertools.count():  # of a text that no memory knows
            body = {"model": f"truth-{number}", "input": [f"well again {number} {attempt}"]}
            if asyncio.run(ask_all(gateway, [body])) == [200]:
                break
            assert time.monotonic() < end
            time.sleep(0.5)


def test_connections_to_upstreams_are_used_again(gateway: Gateway) -> None:
    for one in gateway.upstreams:
        one.play(always(Fault.OK))
    before = [one.seen().connections for one in gateway.upstreams]

    async def one_after_another() -> None:
        async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
            for number in range(40):
                body = {"model": f"truth-{UNTOUCHED + 1}", "input": [f"one of many {number}"]}
                answer, seconds = await embed(client, gateway, body)
                check(body, answer, seconds)
                assert answer.status_code == 200, answer.text

    asyncio.run(one_after_another())
    opened = [
        one.seen().connections - was for one, was in zip(gateway.upstreams, before, strict=True)
    ]
    assert sum(opened) <= 8, json.dumps(opened)  # they are used again


def test_what_a_start_needs_to_know_of_an_upstream_is_said(tmp_path: Path) -> None:
    """A wrong key is one line at the start, without the key."""
    with running(manners=Manners(key="sk-right")) as upstream:
        (tmp_path / "emblem.toml").write_text(
            'serve = ["truth"]\n'
            + UPSTREAM.format(number=0, url=upstream.base_url)
            + '[models.truth]\nmax_length = 512\nupstream = "u0"\nsource = "t"\n'
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith("EMBLEM_")}
        done = subprocess.run(
            [sys.executable, "-m", "emblem", "serve", "--port", str(free_port())],
            cwd=tmp_path,
            env={**kept, "EMBLEM_HOME": str(tmp_path / "home"), "UPSTREAM_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "refused the API key" in done.stderr
    assert KEY not in done.stderr + done.stdout


@pytest.mark.slow
def test_a_server_whose_upstream_fails_now_and_then_gets_ready(
    tmp_path: Path,
) -> None:
    failing = at_random([Fault.RESET, Fault.ERROR_502, Fault.HANG], rate=0.3, seed=3)
    with running(failing, Manners(model="t", key=KEY), Hashed(WIDTH)) as upstream:
        (tmp_path / "emblem.toml").write_text(
            CONFIG.format(timeout=TIMEOUT_S, cache=0, names='"truth-0"')
            + UPSTREAM.format(number=0, url=upstream.base_url)
            + MODEL.format(number=0, width=WIDTH).replace(', { upstream = "u1", model = "t" }', "")
        )
        with running_server(tmp_path, env={"UPSTREAM_KEY": KEY}) as server:
            upstream.play(always(Fault.OK))
            gateway = Gateway(server, (upstream,))
            body = {"model": "truth-0", "input": ["at last"]}
            end = time.monotonic() + 60
            while asyncio.run(ask_all(gateway, [body])) != [200]:
                assert time.monotonic() < end
                time.sleep(0.5)
