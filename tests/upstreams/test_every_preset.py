"""One contract for every provider that is known: what is sent, what is given, what is refused."""

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
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
from emblem.offer import Prompts
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Kind, Overflow
from emblem.upstreams.hosted import HostedUpstream
from emblem.upstreams.opening import Provider, open_upstream, probe
from emblem.upstreams.presets import PRESETS, Preset, preset
from emblem.wrappers.checked import Checked
from server import free_port
from upstreams.provided import KEY, Time, answering, opened, provider_for, texts_of
from upstreams.scripted import WIDTH, Answer, Script, Scripted, refused, vector

TEXTS = ("a", "bb", "ccc", "dddd", "eeeee")

T = TypeVar("T")

DIALECTS = [preset(name) for name in ("openai-compatible", "emblem", "azure", "cohere")]

each_dialect = pytest.mark.parametrize("known", DIALECTS, ids=lambda one: one.name)
every = pytest.mark.parametrize("known", PRESETS, ids=lambda one: one.name)


def using(
    known: Preset,
    scripted: Scripted,
    work: Callable[[HostedUpstream], Awaitable[T]],
    script: Script | None = None,
    **options: Any,
) -> T:
    """Let the model embed a text, change the script, and do some work with it."""

    async def run() -> T:
        scripted.script = answering(known)
        upstream = opened(known, scripted, **options)
        try:
            await upstream.embed(EmbedRequest(("first",), kind=kind_for(known)))
            scripted.bodies.clear()
            scripted.paths.clear()
            scripted.headers.clear()
            scripted.script = script or scripted.script
            return await work(upstream)
        finally:
            await upstream.aclose()

    return asyncio.run(run())


def kind_for(known: Preset) -> Kind | None:
    return Kind.DOCUMENT if known.needs_kind else None


def embedding(
    known: Preset, scripted: Scripted, script: Script | None = None, **options: Any
) -> EmbedResult:
    request = EmbedRequest(TEXTS, kind=kind_for(known))
    return using(
        known, scripted, lambda upstream: Checked(upstream).embed(request), script, **options
    )


def failure(
    known: Preset, scripted: Scripted, script: Script | None = None, **options: Any
) -> EmblemError:
    with pytest.raises(EmblemError) as caught:
        embedding(known, scripted, script, **options)
    assert KEY not in f"{caught.value!r} {caught.value}"
    return caught.value


@every
def test_every_text_gets_its_own_vector(known: Preset, scripted: Scripted) -> None:
    result = embedding(known, scripted)
    np.testing.assert_array_equal(result.vectors, [vector(text) for text in TEXTS])
    assert (result.tokens.sum(), result.tokens.dtype, len(result.tokens)) == (7, np.int32, 5)
    assert result.served_by == "mine"


@every
def test_the_key_is_in_its_header_and_nowhere_else(known: Preset, scripted: Scripted) -> None:
    embedding(known, scripted)
    (headers,), (path,) = scripted.headers, scripted.paths
    bearer = known.key_header == "authorization"
    assert headers[known.key_header] == (f"Bearer {KEY}" if bearer else KEY)
    assert [name for name, value in headers.items() if KEY in value] == [known.key_header]
    assert KEY not in path
    assert path == f"/v1{known.path.replace('{model}', 'm')}" + (
        f"?{known.query}" if known.query else ""
    )


@every
def test_it_is_asked_for_the_cheapest_form_and_to_refuse_what_is_too_long(
    known: Preset, scripted: Scripted
) -> None:
    embedding(known, scripted)
    (body,) = scripted.bodies
    form: object = [known.encodings[0]] if known.dialect == "cohere" else known.encodings[0]
    assert body[known.encoding_field] == form
    assert (known.refuses_long or {}).items() <= body.items()
    assert known.extra.items() <= body.items()
    assert body["model"] == "m"
    assert known.dimensions_field not in body


@every
def test_numbers_are_asked_for_where_base64_is_not_honoured(
    known: Preset, scripted: Scripted
) -> None:
    right = answering(known)

    def script(body: dict[str, Any]) -> Answer:
        if body.get(known.encoding_field) in ("base64", ["base64"]):
            return refused(400, "no such form")
        return right(body)

    async def run() -> EmbedResult:
        scripted.script = script
        upstream = opened(known, scripted)
        try:
            return await upstream.embed(EmbedRequest(TEXTS, kind=kind_for(known)))
        finally:
            await upstream.aclose()

    np.testing.assert_array_equal(asyncio.run(run()).vectors, [vector(text) for text in TEXTS])
    said = scripted.bodies[-1].get(known.encoding_field)
    assert said == (
        None if not known.says_float else ["float"] if known.dialect == "cohere" else "float"
    )


@every
def test_what_a_text_is_for_is_said_or_refused(known: Preset, scripted: Scripted) -> None:
    async def work(upstream: HostedUpstream) -> None:
        for kind in Kind:
            await upstream.embed(EmbedRequest(("a",), kind=kind))

    if not known.kinds:
        with pytest.raises(InvalidRequest, match="knows no kinds of text") as caught:
            using(known, scripted, work)
        assert caught.value.param == "input_type"
        assert scripted.bodies == []
        return
    using(known, scripted, work)
    for body, kind in zip(scripted.bodies, Kind, strict=True):
        assert known.kinds[kind].items() <= body.items()
    assert len({str(one) for one in scripted.bodies}) == len(Kind)


def test_a_provider_that_must_be_told_what_a_text_is_for_is_not_asked_without_it(
    scripted: Scripted,
) -> None:
    known = preset("cohere")
    with pytest.raises(InvalidRequest, match="input_type is query or document") as caught:
        using(known, scripted, lambda upstream: upstream.embed(EmbedRequest(("a",))))
    assert caught.value.param == "input_type"
    assert scripted.bodies == []


def test_the_models_own_prompts_are_put_before_texts_where_nobody_else_does(
    scripted: Scripted,
) -> None:
    known = preset("vllm")
    scripted.script = answering(known)
    space = Space.declared("mine/m", WIDTH, normalised=True)

    async def run() -> None:
        upstream = open_upstream(
            provider_for(known, scripted), "m", space, prompts=Prompts("query: ", None)
        )
        try:
            for kind in (Kind.QUERY, Kind.DOCUMENT, None):
                await upstream.embed(EmbedRequest(("a",), kind=kind))
        finally:
            await upstream.aclose()

    asyncio.run(run())
    assert [body["input"] for body in scripted.bodies[2:]] == [["query: a"], ["a"], ["a"]]


def test_a_known_model_is_shortened_here_without_being_told(scripted: Scripted) -> None:
    known = preset("openai")
    scripted.script = answering(known, 1536)
    space = Space.declared("openai/text-embedding-3-small", 1536, normalised=True)

    async def run() -> EmbedResult:
        upstream = open_upstream(provider_for(known, scripted), "text-embedding-3-small", space)
        try:
            return await upstream.embed(EmbedRequest(("a",), dimensions=256))
        finally:
            await upstream.aclose()

    result = asyncio.run(run())
    assert result.vectors.shape == (1, 256)
    assert np.linalg.norm(result.vectors) == pytest.approx(1.0)
    assert not any("dimensions" in body for body in scripted.bodies)


@each_dialect
def test_a_look_at_a_server_says_what_it_is(known: Preset, scripted: Scripted) -> None:
    scripted.script = answering(known)
    found = asyncio.run(probe(provider_for(known, scripted), "m"))
    assert (found.width, found.normalised, found.base64, found.dimensions) == (4, True, True, None)
    assert found.model == (None if known.dialect == "cohere" else "m")
    assert (found.named is not None) == (known.dialect == "emblem")
    with pytest.raises(InvalidResult, match="4 numbers in a vector where 8 were due"):
        asyncio.run(probe(provider_for(known, scripted), "m", width=8))


@every
def test_fewer_dimensions_are_asked_for_or_refused(known: Preset, scripted: Scripted) -> None:
    request = EmbedRequest(("a",), dimensions=2, kind=kind_for(known))
    if known.dimensions_field is None:
        with pytest.raises(InvalidRequest, match="no field for dimensions") as caught:
            using(known, scripted, lambda upstream: upstream.embed(request))
        assert caught.value.param == "dimensions"
        return
    result = using(known, scripted, lambda upstream: upstream.embed(request))
    assert result.vectors.shape == (1, 2)
    assert scripted.bodies[0][known.dimensions_field] == 2


@every
def test_vectors_that_may_be_shortened_come_whole_and_are_shortened_here(
    known: Preset, scripted: Scripted
) -> None:
    request = EmbedRequest(("a",), dimensions=2, kind=kind_for(known))
    result = using(known, scripted, lambda upstream: upstream.embed(request), shortening=True)
    due = vector("a")[:2] / np.linalg.norm(vector("a")[:2])
    np.testing.assert_allclose(result.vectors, [due], atol=1e-6)
    assert known.dimensions_field not in scripted.bodies[0]


@every
def test_a_rule_for_long_texts_is_refused_where_it_cannot_be_kept(
    known: Preset, scripted: Scripted
) -> None:
    request = EmbedRequest(("a",), overflow=Overflow.TRUNCATE, kind=kind_for(known))
    if known.dialect == "emblem":
        using(known, scripted, lambda upstream: upstream.embed(request))
        assert scripted.bodies[0]["overflow"] == "truncate"
        return
    allowed = "may be error" if known.refuses_long is not None else "must be left out"
    with pytest.raises(InvalidRequest, match=allowed):
        using(known, scripted, lambda upstream: upstream.embed(request))


@every
def test_no_more_texts_go_into_one_request_than_it_takes(known: Preset, scripted: Scripted) -> None:
    result = embedding(replace(known, max_inputs=2), scripted)
    assert [len(texts_of(body)) for body in scripted.bodies] == [2, 2, 1]
    np.testing.assert_array_equal(result.vectors, [vector(text) for text in TEXTS])


@each_dialect
@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (refused(400, "no such thing"), InvalidRequest, "mine refused the request: no such thing"),
        (refused(401, f"wrong key {KEY}"), DeploymentFailed, r"refused the API key \(401\)"),
        (refused(403, f"not for {KEY}"), DeploymentFailed, r"refused the API key \(403\)"),
        (refused(404, "no such model"), DeploymentFailed, "must have the model 'm'"),
        (refused(429, "slow down"), Overloaded, "mine answers 429: slow down"),
        (refused(500, f"oh {KEY}"), DeploymentFailed, r"answers 500: oh \*\*\*\*"),
        (Answer(502, b"<html>gateway</html>"), DeploymentFailed, "502: a page of HTML"),
        (refused(503, "loading"), Overloaded, "mine answers 503: loading"),
        (
            Answer(307, b"", {"location": f"https://elsewhere.example/{KEY}?k={KEY}"}),
            DeploymentFailed,
            "it points to elsewhere.example, which is not followed",
        ),
        (Answer(200, {"error": {"message": "no"}}), InvalidResult, "no embeddings in"),
        (Answer(200, None), DeploymentFailed, "connection lost"),
        (Answer(200, repeat(b" " * 100_000)), InvalidResult, "does not end after"),
    ],
    ids=lambda one: str(one.status) if isinstance(one, Answer) else "",
)  # fmt: skip
def test_each_way_to_fail_has_its_own_error_and_is_tried_once(
    known: Preset, scripted: Scripted, answer: Answer, error: type[EmblemError], said: str
) -> None:
    found = failure(known, scripted, lambda body: answer)
    assert type(found) is error
    assert re.search(said, str(found))
    assert len(scripted.bodies) == 1
    if isinstance(
        found, DeploymentFailed
    ):  # what a person has to mend is not asked again and again
        assert found.lasting is (answer.status in (401, 403, 404, 307))


@each_dialect
def test_servers_in_between_are_told_what_must_not_come_from_memory(
    known: Preset, scripted: Scripted
) -> None:
    async def work(upstream: HostedUpstream) -> None:
        for reuse, keep in ((True, True), (False, True), (True, False), (False, False)):
            asked = EmbedRequest(("one",), kind=kind_for(known), reuse=reuse, keep=keep)
            await upstream.embed(asked)

    using(known, scripted, work)
    said = [headers.get("cache-control") for headers in scripted.headers]
    assert said == [None, "no-cache", "no-store", "no-cache, no-store"]


@each_dialect
def test_the_first_look_at_a_server_is_no_look_at_somebodys_memory(
    known: Preset, scripted: Scripted
) -> None:
    scripted.script = answering(known)
    asyncio.run(probe(provider_for(known, scripted), "m"))
    assert {headers.get("cache-control") for headers in scripted.headers} == {"no-cache"}


@each_dialect
def test_one_text_that_is_too_much_is_named(known: Preset, scripted: Scripted) -> None:
    right = answering(known)
    answer = Answer(413, {"message": "too long"})
    found = failure(
        known, scripted, lambda body: answer if "ccc" in texts_of(body) else right(body)
    )
    assert isinstance(found, InvalidInput)
    assert [index for index, _ in found.problems] == [2]


@each_dialect
def test_another_text_missing_or_too_many_vectors_are_refused(
    known: Preset, scripted: Scripted
) -> None:
    right = answering(known)
    field = "texts" if known.dialect == "cohere" else "input"
    for texts in (TEXTS[:-1], (*TEXTS, "f")):
        script = partial(lambda given, body: right({**body, field: given}), texts)
        assert isinstance(failure(known, scripted, script), InvalidResult)


@each_dialect
def test_vectors_of_another_width_are_refused(known: Preset, scripted: Scripted) -> None:
    for width in (WIDTH * 2, WIDTH // 2):
        found = failure(known, scripted, answering(known, width))
        assert isinstance(found, InvalidResult)
        assert f"{width} numbers in vector" in str(found) or "were due" in str(found)


def test_a_model_that_gives_more_numbers_is_asked_for_those_that_are_due(
    scripted: Scripted,
) -> None:
    known = preset("openai")
    scripted.script = answering(known, 2 * WIDTH)

    async def run() -> EmbedResult:
        upstream = opened(known, scripted)
        try:
            return await upstream.embed(EmbedRequest(TEXTS))
        finally:
            await upstream.aclose()

    assert asyncio.run(run()).vectors.shape == (5, WIDTH)
    assert [body.get("dimensions") for body in scripted.bodies] == [None, WIDTH, WIDTH, WIDTH]


def test_another_emblem_must_give_the_very_space_where_that_is_computed(
    scripted: Scripted,
) -> None:
    known = preset("emblem")
    scripted.script = answering(known)

    async def run(digest: str) -> None:
        space = Space("m", digest * 8, digest * 8, WIDTH, normalised=True, known_recipe=True)
        upstream = open_upstream(provider_for(known, scripted), "m", space)
        try:
            await upstream.embed(EmbedRequest(("a",)))
        finally:
            await upstream.aclose()

    asyncio.run(run("0123abcd"))
    with pytest.raises(InvalidResult, match="m@0123abcd/4; those of m@ffff0000/4 were due"):
        asyncio.run(run("ffff0000"))


def test_the_deadline_of_the_request_is_kept(scripted: Scripted) -> None:
    gone = threading.Event()

    def drops() -> Iterator[bytes]:
        while not gone.wait(0.01):
            yield b" "

    known, clock = preset("openai-compatible"), Time()

    async def work(upstream: HostedUpstream) -> None:
        await upstream.embed(EmbedRequest(("a",), deadline=clock.now + 0.1))

    try:
        with pytest.raises(DeadlineExceeded, match="mine did not answer in time"):
            using(known, scripted, work, lambda body: Answer(200, drops()), clock=clock)
        assert scripted.left.acquire(timeout=5)  # the connection is closed, not left to itself
        with pytest.raises(DeadlineExceeded):
            using(
                known,
                scripted,
                lambda upstream: upstream.embed(EmbedRequest(("a",), deadline=1.0)),
                clock=clock,
            )
        assert scripted.bodies == []
    finally:
        gone.set()


@pytest.mark.parametrize("limit", ["read_timeout_s", "timeout_s"])
def test_a_server_that_is_too_slow_has_failed(scripted: Scripted, limit: str) -> None:
    gone = threading.Event()

    def silence() -> Iterator[bytes]:
        gone.wait(10)
        yield b"{}"

    def drops() -> Iterator[bytes]:
        while not gone.wait(0.01):
            yield b" "

    try:
        body = silence() if limit == "read_timeout_s" else drops()
        found = failure(
            preset("openai-compatible"), scripted, lambda _: Answer(200, body), **{limit: 0.2}
        )
    finally:
        gone.set()
    assert isinstance(found, DeploymentFailed)
    assert "mine did not answer in time" in str(found)


def test_a_caller_who_leaves_closes_the_connection(scripted: Scripted) -> None:
    begun, gone = threading.Event(), threading.Event()

    def drops() -> Iterator[bytes]:
        begun.set()
        while not gone.wait(0.01):
            yield b" "

    async def work(upstream: HostedUpstream) -> None:
        task = asyncio.create_task(upstream.embed(EmbedRequest(("a",))))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(scripted.left.acquire, timeout=5)
        scripted.script = answering(preset("openai-compatible"))
        await upstream.embed(EmbedRequest(("a",)))

    try:
        using(preset("openai-compatible"), scripted, work, lambda _: Answer(200, drops()))
    finally:
        gone.set()


def test_a_server_that_is_not_there_is_said_to_be_out_of_reach() -> None:
    async def run() -> None:
        address = f"http://127.0.0.1:{free_port()}/v1"
        await probe(Provider("mine", preset("openai-compatible"), address), "m")

    with pytest.raises(DeploymentFailed, match="mine cannot be reached"):
        asyncio.run(run())


def test_all_who_come_at_once_share_the_first_look_at_a_server(scripted: Scripted) -> None:
    known = preset("openai-compatible")
    scripted.script = answering(known)

    async def run() -> None:
        upstream = opened(known, scripted)
        try:
            await asyncio.gather(*(upstream.embed(EmbedRequest((text,))) for text in TEXTS))
        finally:
            await upstream.aclose()

    asyncio.run(run())
    assert len(scripted.bodies) == 2 + len(TEXTS)


def test_whoever_waits_for_the_first_look_waits_no_longer_than_he_may(scripted: Scripted) -> None:
    known, clock = preset("openai-compatible"), Time()
    gone = threading.Event()

    def drops() -> Iterator[bytes]:
        while not gone.wait(0.01):
            yield b" "

    scripted.script = lambda body: Answer(200, drops())

    async def run() -> None:
        upstream = opened(known, scripted, clock)
        patient = asyncio.create_task(upstream.embed(EmbedRequest(("a",))))
        try:
            for wait in (0.1, 0.0):
                with pytest.raises(DeadlineExceeded):
                    await upstream.embed(EmbedRequest(("b",), deadline=clock.now + wait))
            patient.cancel()
            await asyncio.wait({patient})
        finally:
            await upstream.aclose()  # which ends the look, too: nothing is left to run
        assert len(asyncio.all_tasks()) == 1

    try:
        asyncio.run(run())
    finally:
        gone.set()
    assert len(scripted.bodies) <= 2


def test_closing_ends_what_is_in_progress(scripted: Scripted) -> None:
    known = preset("openai-compatible")
    begun, gone = threading.Event(), threading.Event()

    def drops() -> Iterator[bytes]:
        begun.set()
        while not gone.wait(0.01):
            yield b" "

    async def work(upstream: HostedUpstream) -> None:
        task = asyncio.create_task(upstream.embed(EmbedRequest(("a",))))
        await asyncio.to_thread(begun.wait, 5)
        await upstream.aclose()
        with pytest.raises(DeploymentFailed, match=r"connection lost|is closed"):
            await task

    try:
        using(known, scripted, work, lambda _: Answer(200, drops()))
    finally:
        gone.set()


def test_a_model_by_another_name_is_compared_before_it_is_used_again(scripted: Scripted) -> None:
    known = preset("openai-compatible")
    right = answering(known)

    def called(name: str) -> Script:
        def script(body: dict[str, Any]) -> Answer:
            answer = right(body)
            assert isinstance(answer.body, dict)
            return replace(answer, body={**answer.body, "model": name})

        return script

    def another(body: dict[str, Any]) -> Answer:
        rows = [vector(text)[::-1] for text in body["input"]]
        data = [{"index": at, "embedding": row.tolist()} for at, row in enumerate(rows)]
        return Answer(200, {"data": data, "model": "m-3"})

    async def work(upstream: HostedUpstream) -> None:
        request = EmbedRequest(("a",))
        with pytest.raises(InvalidResult, match="vectors of the model 'm-2', and before of 'm'"):
            await upstream.embed(request)
        await upstream.embed(request)
        scripted.script = another
        for _ in range(3):
            with pytest.raises(InvalidResult):
                await upstream.embed(request)
        scripted.script = called("m-2")
        await upstream.embed(request)

    using(known, scripted, work, called("m-2"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("opena", "did you mean openai"), ("zzz", "openai-compatible or emblem or")],
)
def test_a_preset_that_is_not_known_is_answered_with_those_that_are(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        preset(name)


def test_a_provider_without_an_address_is_told_to_have_one() -> None:
    with pytest.raises(ConfigError, match="azure-eu needs a base_url: the preset 'azure' has none"):
        Provider("azure-eu", preset("azure"))
    with pytest.raises(ConfigError, match="may not set the header 'Api-Key'"):
        Provider("a", preset("azure"), "https://a/v1", headers={"Api-Key": "x"})


@every
def test_a_row_says_nothing_that_contradicts_itself(known: Preset) -> None:
    assert set(known.encodings) <= {"base64", "float"}
    assert "float" in known.encodings  # a first text is always asked for as numbers
    assert known.max_inputs > 0
    assert known.kinds.keys() in (set(), set(Kind))
    assert not known.needs_kind or known.kinds
    assert len({one.name for one in known.models}) == len(known.models)
