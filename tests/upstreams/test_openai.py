"""Whatever a server answers: the vectors that were asked for, or one clear error."""

import asyncio
import base64
import gzip
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, TypeVar

import numpy as np
import pytest

from emblem.errors import (
    ConfigError,
    DeadlineExceeded,
    DeploymentFailed,
    EmblemError,
    InvalidInput,
    InvalidRequest,
    InvalidResult,
    Overloaded,
)
from emblem.types import EmbedRequest, EmbedResult, Kind, Overflow
from emblem.upstreams.hosted import HostedUpstream
from emblem.upstreams.opening import connect, provider_at
from emblem.upstreams.provider import Provider
from emblem.upstreams.retrying import Patient
from emblem.upstreams.sending import most_bytes
from emblem.upstreams.server import Server
from emblem.wrappers.checked import Checked
from server import free_port
from upstreams.scripted import (
    WIDTH,
    Answer,
    Script,
    Scripted,
    items,
    refused,
    reply,
    right,
    vector,
    written,
)

KEY = "sk-a-key-that-nobody-may-see-anywhere"
TEXTS = ("a", "bb", "ccc", "dddd", "eeeee")

T = TypeVar("T")


@dataclass
class Time:
    """A clock that only moves when somebody waits."""

    now: float = 1000.0
    waited: list[float] = field(default_factory=list)

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def provider_of(
    base_url: str, key: str | None = KEY, max_inputs: int = 256, timeout_s: float = 60.0
) -> Provider:
    found = provider_at(base_url, key, timeout_s=timeout_s)
    return replace(found, preset=replace(found.preset, max_inputs=max_inputs))


def using(
    scripted: Scripted,
    work: Callable[[HostedUpstream], Awaitable[T]],
    script: Script | None = None,
    time: Time | None = None,
    **options: Any,
) -> T:
    """Connect, change the script, and do some work with the upstream."""

    async def run() -> T:
        clock = time or Time()
        retry_s = options.pop("retry_s", 120.0)
        provider = provider_of(scripted.base_url, **{"key": KEY, **options})
        server = Server(provider, "m", clock=lambda: clock.now)
        patient = Patient(server, retry_s, pause=clock.pause, clock=lambda: clock.now)
        upstream = await connect(provider, "m", server=patient)
        try:
            scripted.bodies.clear()
            scripted.script = script or scripted.script
            return await work(upstream)
        finally:
            await upstream.aclose()

    return asyncio.run(run())


def embedding(
    scripted: Scripted, script: Script | None = None, texts: tuple[str, ...] = TEXTS, **options: Any
) -> EmbedResult:
    return using(
        scripted, lambda upstream: Checked(upstream).embed(EmbedRequest(texts)), script, **options
    )


def test_a_servers_space_is_called_after_host_and_model_and_measured(scripted: Scripted) -> None:
    async def space(upstream: HostedUpstream) -> object:
        return upstream.space

    found = using(scripted, space)
    host = scripted.base_url.split("/")[2]
    assert (str(found), found.normalised) == (f"{host}/m/{WIDTH}", True)
    assert found.identity == f"declared:{host}/m/{WIDTH}+mean"


def test_vectors_are_those_of_the_texts(scripted: Scripted) -> None:
    result = embedding(scripted)
    np.testing.assert_array_equal(result.vectors, [vector(text) for text in TEXTS])
    assert result.vectors.dtype == np.float32
    assert (result.tokens.sum(), result.tokens.dtype) == (7, np.int32)
    (body,) = scripted.bodies
    assert body == {"model": "m", "input": list(TEXTS), "encoding_format": "base64"}
    assert scripted.headers[-1]["authorization"] == f"Bearer {KEY}"


def test_shuffled_vectors_are_put_in_the_order_of_their_index(scripted: Scripted) -> None:
    result = embedding(scripted, lambda body: reply([items(body)[at] for at in (3, 0, 4, 1, 2)]))
    np.testing.assert_array_equal(result.vectors, [vector(text) for text in TEXTS])


def test_a_server_that_ignores_base64_is_read_all_the_same(scripted: Scripted) -> None:
    scripted.script = lambda body: reply(items({**body, "encoding_format": "float"}))
    np.testing.assert_array_equal(embedding(scripted).vectors, [vector(text) for text in TEXTS])


@pytest.mark.parametrize("wrong", [refused(400, "no such encoding_format"), "big-endian"])
def test_a_server_whose_base64_is_wrong_is_asked_for_numbers(
    scripted: Scripted, wrong: Answer | str
) -> None:
    def script(body: dict[str, Any]) -> Answer:
        if body["encoding_format"] == "float":
            return right(body)
        if isinstance(wrong, Answer):
            return wrong
        swapped = [base64.b64encode(vector(one).astype(">f4").tobytes()) for one in body["input"]]
        return reply([{"index": at, "embedding": one.decode()} for at, one in enumerate(swapped)])

    scripted.script = script
    embedding(scripted)
    assert scripted.bodies[0]["encoding_format"] == "float"


def test_many_texts_are_sent_in_parts_and_come_back_as_one(scripted: Scripted) -> None:
    result = embedding(scripted, max_inputs=2)
    assert [len(body["input"]) for body in scripted.bodies] == [2, 2, 1]
    np.testing.assert_array_equal(result.vectors, [vector(text) for text in TEXTS])
    assert result.tokens.sum() == 21


def without(at: int) -> Script:
    return lambda body: reply([one for one in items(body) if one["index"] != at])


def with_item(**change: object) -> Script:
    return lambda body: reply([*items(body)[:4], {**items(body)[4], **change}])


def with_numbers(numbers: list[object]) -> Script:
    return with_item(embedding=numbers)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (without(2), "4 vectors for 5 texts; index 2 is missing"),
        (without(4), "4 vectors for 5 texts; index 4 is missing"),
        (lambda body: reply([]), "0 vectors for 5 texts"),
        (lambda body: reply([*items(body), *items(body)[:1]]), "two vectors with index 0"),
        (with_item(index=3), "two vectors with index 3"),
        (with_item(index=5), "a vector with index 5 for 5 texts"),
        (with_item(index=-1), "a vector with index -1"),
        (with_item(index=None), "Expected `int`, got `null` - at `$.data"),
        (with_numbers(["0.5"] * WIDTH), "Expected `float | null`, got `str`"),
        (with_numbers([None] * WIDTH), "not finite in vector 4"),
        (with_numbers([0.5, float("nan"), 0.5, 0.5]), "not finite in vector 4"),
        (with_numbers([0.5, float("-inf"), 0.5, 0.5]), "not finite in vector 4"),
        (with_numbers([0.5] * 3), "3 numbers in vector 4 where 4 were due"),
        (with_numbers([]), "0 numbers in vector 4 where 4 were due"),
        (with_numbers([0.0] * WIDTH), "a zero vector at 4"),
        (with_numbers([1e300] * WIDTH), "not finite in vector 4"),
        (with_numbers([2.0] * WIDTH), "vector 4 has norm 4.0000, not 1"),
        (with_item(embedding=written(np.full(WIDTH, np.nan), "base64")), "not finite in vector 4"),
        (with_item(embedding="no base64!"), "vector 4 is not base64"),
        (with_item(embedding="AAAA"), "3 bytes in vector 4, which are no float32"),
        (lambda body: reply(items(body, 8)), "8 numbers in vector 0 where 4 were due"),
        (lambda body: Answer(200, b'{"data":[{"index":0,"embedding":[NaN]}]}'), "1 vectors for 5"),
        (lambda body: Answer(200, b'{"data":[{"index":0,"embedding":[NaN'), "no embeddings in"),
        (lambda body: Answer(200, b"<html>Welcome</html>"), "no embeddings in OpenAI's form"),
        (lambda body: Answer(200, b"[]"), "no embeddings in OpenAI's form"),
        (lambda body: Answer(200, b""), "no embeddings in OpenAI's form"),
    ],
)  # fmt: skip
def test_a_result_that_cannot_be_right_is_refused(
    scripted: Scripted, script: Script, said: str
) -> None:
    with pytest.raises(InvalidResult) as caught:
        embedding(scripted, script)
    assert said in str(caught.value)
    assert caught.value.of_one_text == ("not finite" in said or "zero vector" in said)


def of_model(name: str | None) -> Script:
    return lambda body: Answer(200, {"data": items(body), "model": name})


@pytest.mark.parametrize(
    ("before", "later", "said"),
    [
        ("m-v1", "m-v2", "vectors of the model 'm-v2', and before of 'm-v1'"),
        ("m-v1", None, "vectors of no model, and before of 'm-v1'"),
    ],
)
def test_a_server_that_names_the_model_must_go_on_naming_it(
    scripted: Scripted, before: str, later: str | None, said: str
) -> None:
    scripted.script = of_model(before)
    with pytest.raises(InvalidResult, match=said) as caught:
        embedding(scripted, of_model(later))
    assert not caught.value.of_one_text


def test_two_models_are_found_while_a_server_is_met(scripted: Scripted) -> None:
    scripted.script = lambda body: of_model(body["encoding_format"])(body)
    with pytest.raises(InvalidResult, match="vectors of the model 'base64', and before of 'float'"):
        embedding(scripted)


@pytest.mark.parametrize("name", ["what-it-is-called-there", "", None])
def test_a_server_may_call_its_model_as_it_likes(scripted: Scripted, name: str | None) -> None:
    scripted.script = of_model(name)
    result = embedding(scripted, max_inputs=2)
    np.testing.assert_array_equal(result.vectors, [vector(text) for text in TEXTS])


def test_a_model_that_is_named_late_is_held_to_from_then_on(scripted: Scripted) -> None:
    scripted.script = of_model(None)
    names = iter(["one", "one", "other"])
    with pytest.raises(InvalidResult, match="vectors of the model 'other', and before of 'one'"):
        embedding(scripted, lambda body: of_model(next(names))(body), max_inputs=2)
    assert len(scripted.bodies) == 3


def test_an_answer_without_an_end_is_not_read_to_it(scripted: Scripted) -> None:
    with pytest.raises(InvalidResult) as caught:
        embedding(scripted, lambda body: Answer(200, repeat(b" " * 100_000)))
    most = most_bytes(len(TEXTS), WIDTH)
    assert f"an answer that does not end after {most:,} bytes" in str(caught.value)
    assert len(scripted.bodies) == 1


@pytest.mark.parametrize("status", [200, 500])
def test_a_first_answer_without_an_end_is_not_read_to_it(scripted: Scripted, status: int) -> None:
    scripted.script = lambda body: Answer(status, repeat(b"[" * 100_000))
    with pytest.raises(InvalidResult, match="does not end after 4,194,304 bytes"):
        embedding(scripted)


def test_little_that_unpacks_to_much_is_not_unpacked_to_its_end(scripted: Scripted) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    with pytest.raises(InvalidResult, match="does not end after"):
        embedding(scripted, lambda body: Answer(200, bomb, {"content-encoding": "gzip"}))
    scripted.script = right
    with pytest.raises(InvalidResult, match="cannot be unpacked"):
        embedding(scripted, lambda body: Answer(200, b"[]", {"content-encoding": "gzip"}))


def test_the_longest_right_answer_is_shorter_than_what_is_read() -> None:
    number = -1.2345678901234567e-300
    item = {"object": "embedding", "index": 255, "embedding": [number] * 1536}
    body = json.dumps({"object": "list", "data": [item] * 256}, indent=4)
    assert len(body) < most_bytes(256, 1536)


def test_an_answer_that_trickles_is_not_waited_for_beyond_its_time(scripted: Scripted) -> None:
    left = threading.Event()

    def drops() -> Iterator[bytes]:
        while not left.wait(0.01):
            yield b" "

    time = Time()
    try:
        with pytest.raises(DeploymentFailed, match="did not answer in time"):
            embedding(
                scripted, lambda body: Answer(200, drops()), time=time, timeout_s=0.2, retry_s=1.0
            )
    finally:
        left.set()
    assert len(scripted.bodies) >= 2
    assert sum(time.waited) < 1


def test_a_connection_that_is_lost_each_time_is_given_up(
    scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    time = Time()
    with pytest.raises(DeploymentFailed, match=r"127\.0\.0\.1:\d+: connection lost: it was closed"):
        embedding(scripted, lambda body: Answer(200, None), time=time)
    assert 100 <= sum(time.waited) <= 120
    assert len(scripted.bodies) <= 20
    said = [record.getMessage() for record in caplog.records if record.name.startswith("emblem")]
    assert len(said) == len(scripted.bodies) - 1
    assert "connection lost" in said[0]
    assert [one.rpartition("; ")[2] for one in said[:2]] == ["trying again (2)", "trying again (3)"]


def test_another_width_in_a_later_part_is_refused(scripted: Scripted) -> None:
    def script(body: dict[str, Any]) -> Answer:
        return reply(items(body, 8 if "ccc" in body["input"] else WIDTH))

    with pytest.raises(InvalidResult, match="8 numbers in vector 0 where 4 were due"):
        embedding(scripted, script, max_inputs=2)


def failing(times: int, answer: Answer) -> Script:
    """Fail so many times and then answer as one should."""
    left = [times]

    def script(body: dict[str, Any]) -> Answer:
        left[0] -= 1
        return answer if left[0] >= 0 else right(body)

    return script


@pytest.mark.parametrize(
    "answer",
    [
        refused(429, "slow down"),
        refused(500, "sorry"),
        refused(503, "loading"),
        Answer(502, b"<html>Bad gateway</html>"),
        refused(409, "again", {"x-should-retry": "true"}),
        Answer(200, None),
    ],
    ids=["429", "500", "503", "html", "asked to", "dropped midway"],
)
def test_what_passes_is_tried_again_after_longer_and_longer_waits(
    scripted: Scripted, answer: Answer
) -> None:
    time = Time()
    result = embedding(scripted, failing(3, answer), time=time)
    np.testing.assert_array_equal(result.vectors, [vector(text) for text in TEXTS])
    assert len(scripted.bodies) == 4
    for wait, most in zip(time.waited, (0.5, 1.0, 2.0), strict=True):
        assert most / 2 <= wait <= most


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "7"}, 7.0, 7.7),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25, 0.275),
        ({"retry-after": "soon"}, 0.25, 0.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0, 0.0),
    ],
)
def test_the_server_says_when_to_come_back(
    scripted: Scripted, headers: dict[str, str], least: float, most: float
) -> None:
    time = Time()
    embedding(scripted, failing(1, refused(429, "slow down", headers)), time=time)
    (wait,) = time.waited
    assert least <= wait <= most


def test_a_wait_beyond_the_deadline_is_not_begun(scripted: Scripted) -> None:
    time = Time()
    request = EmbedRequest(("a",), deadline=time.now + 5)
    with pytest.raises(Overloaded) as caught:
        using(
            scripted,
            lambda upstream: upstream.embed(request),
            lambda body: refused(429, "slow down", {"retry-after": "6"}),
            time,
        )
    assert caught.value.retry_after_s == 6
    assert time.waited == []


def test_trying_ends_with_the_last_failure(scripted: Scripted) -> None:
    time = Time()
    with pytest.raises(DeploymentFailed, match="answers 500: sorry"):
        embedding(scripted, lambda body: refused(500, "sorry"), time=time, retry_s=30.0)
    assert 15 <= sum(time.waited) <= 30


def test_a_passed_deadline_sends_nothing(scripted: Scripted) -> None:
    with pytest.raises(DeadlineExceeded):
        using(scripted, lambda upstream: upstream.embed(EmbedRequest(("a",), deadline=1.0)))
    assert scripted.bodies == []


def test_a_quota_that_is_used_up_is_not_tried_again(scripted: Scripted) -> None:
    answer = refused(429, "quota", {"x-should-retry": "false"}, code="insufficient_quota")
    with pytest.raises(DeploymentFailed, match="answers 429: quota"):
        embedding(scripted, lambda body: answer)
    assert len(scripted.bodies) == 1


def test_inputs_that_the_server_names_are_named_as_the_request_has_them(
    scripted: Scripted,
) -> None:
    def script(body: dict[str, Any]) -> Answer:
        if "dddd" not in body["input"]:
            return right(body)
        message = (
            "'$.input' is invalid: $.input[0] is an empty string; $.input[1] is long; and 3 more."
        )
        return refused(400, message, param="input")

    with pytest.raises(InvalidInput) as caught:
        embedding(scripted, script, max_inputs=2)
    assert caught.value.problems == ((2, "is an empty string"), (3, "is long"))


def test_another_refusal_is_the_requests(scripted: Scripted) -> None:
    answer = refused(400, "This model has no dimensions.", param="dimensions")
    with pytest.raises(InvalidRequest, match="This model has no dimensions") as caught:
        embedding(scripted, lambda body: answer)
    assert caught.value.param == "dimensions"
    assert not isinstance(caught.value, InvalidInput)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(413, {"error": "batch size 5 > maximum allowed batch size 2", "error_type": "V"}),
        refused(400, "Requested 9 tokens, max 5", code="max_tokens_per_request"),
    ],
)
def test_what_is_too_much_at_once_is_sent_in_halves(scripted: Scripted, answer: Answer) -> None:
    result = embedding(scripted, lambda body: answer if len(body["input"]) > 2 else right(body))
    np.testing.assert_array_equal(result.vectors, [vector(text) for text in TEXTS])
    assert [len(body["input"]) for body in scripted.bodies] == [5, 2, 3, 1, 2]


def test_one_text_that_is_too_long_is_found_among_many(scripted: Scripted) -> None:
    def script(body: dict[str, Any]) -> Answer:
        message = "This model's maximum context length is 4 tokens, however you requested 5"
        return refused(400, message) if "dddd" in body["input"] else right(body)

    with pytest.raises(InvalidInput) as caught:
        embedding(scripted, script)
    ((index, why),) = caught.value.problems
    assert (index, "maximum context length is 4" in why) == (3, True)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refused(401, f"Incorrect API key provided: {KEY}."), "refused the API key (401)"),
        (refused(403, f"Not for {KEY}"), "refused the API key (403): Not for ****"),
        (refused(404, f"no model for {KEY}"), "the server must have the model 'm'"),
        (
            Answer(302, b"-", {"location": "https://login.example.com"}),
            "it points to login.example.com",
        ),
        (Answer(405, b'{"detail":"Method Not Allowed"}'), "answers 405: Method Not Allowed"),
    ],
)
def test_what_a_person_has_to_mend_is_said_once_and_without_the_key(
    scripted: Scripted, answer: Answer, said: str
) -> None:
    with pytest.raises(DeploymentFailed) as caught:
        embedding(scripted, lambda body: answer)
    assert said in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(scripted.bodies) == 1


def test_a_server_that_wants_a_key_says_so(scripted: Scripted) -> None:
    scripted.script = lambda body: refused(401, "You didn't provide an API key.")
    with pytest.raises(DeploymentFailed, match="wants an API key"):
        embedding(scripted, key=None)
    assert "authorization" not in scripted.headers[0]


def test_a_server_that_is_not_there_is_not_waited_for() -> None:
    async def run() -> None:
        await connect(provider_at(f"http://127.0.0.1:{free_port()}/v1"), "m")

    with pytest.raises(DeploymentFailed, match=r"127\.0\.0\.1:\d+ cannot be reached"):
        asyncio.run(run())


def test_dimensions_are_asked_for_and_measured(scripted: Scripted) -> None:
    request = EmbedRequest(("a",), dimensions=2)
    result = using(
        scripted,
        lambda upstream: upstream.embed(request),
        lambda body: reply(items(body, body.get("dimensions", WIDTH))),
    )
    assert result.vectors.shape == (1, 2)
    with pytest.raises(InvalidResult, match="4 numbers in vector 0 where 2 were due"):
        using(scripted, lambda upstream: upstream.embed(request), right)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (EmbedRequest(("a",), kind=Kind.QUERY), "knows no kinds of text"),
        (EmbedRequest(("a",), overflow=Overflow.TRUNCATE), "what it does with long texts"),
        (EmbedRequest(((1, 2),)), "is sent texts only"),
        (EmbedRequest(()), "and at least one"),
        (EmbedRequest(("a", "\ud800")), r"\$\.input\[1\] has half of a surrogate pair"),
    ],
)  # fmt: skip
def test_what_the_server_would_not_understand_is_not_sent(
    scripted: Scripted, request_: EmbedRequest, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        using(scripted, lambda upstream: upstream.embed(request_))
    assert scripted.bodies == []


def of_space(space: str, width: int = WIDTH) -> Script:
    return lambda body: reply(items(body, width), x_embedding_space=space)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (of_space("mine@ffff/4"), r"space mine@ffff/4; those of mine@0123abcd/4 were due"),
        (right, "without the name of their space"),
        (of_space("mine@0123abcd/4+truncate"), r"mine@0123abcd/4\+truncate; those of"),
    ],
)
def test_a_server_that_names_its_space_is_held_to_it(
    scripted: Scripted, script: Script, said: str
) -> None:
    scripted.script = of_space("mine@0123abcd/4")
    with pytest.raises(InvalidResult, match=said):
        embedding(scripted, script)


@pytest.mark.parametrize("space", ["mine@01/4+int8", "mine@01/5", "mine", "mine@01/", "%E2%80%A8"])
def test_a_space_that_is_not_that_of_the_numbers_is_refused(scripted: Scripted, space: str) -> None:
    scripted.script = of_space(space)
    with pytest.raises(InvalidResult):
        embedding(scripted)


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("localhost:8080", "must be like http://"),
        ("ftp://x/v1", "must be like http://"),
        ("http://", "must be like http://"),
        ("http://me:secret@host/v1", "no password"),
        ("http://host/v1?key=secret", "no password, query"),
        ("http://host:port/v1", "is none"),
        ("", "needs a base_url"),
    ],
)
def test_a_base_url_that_is_none_is_said_to_be(base_url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        provider_at(base_url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        provider_at("http://host/v1", "sk-secret\n")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(provider_at("http://host/v1", "sk-secret"))


def test_closing_ends_what_is_left(scripted: Scripted) -> None:
    async def work(upstream: HostedUpstream) -> EmblemError:
        assert upstream.problem() is None
        await upstream.aclose()
        assert upstream.problem() == "is closed"
        with pytest.raises(DeploymentFailed) as caught:
            await upstream.embed(EmbedRequest(("a",)))
        return caught.value

    assert "is closed" in str(using(scripted, work))
