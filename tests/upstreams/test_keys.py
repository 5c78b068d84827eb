"""Several keys of one provider: one after the other, none of them shown, none of them worn out."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from emblem.errors import ConfigError, DeploymentFailed, EmblemError, Overloaded
from emblem.types import EmbedRequest
from emblem.upstreams.hosted import HostedUpstream
from emblem.upstreams.keys import Keys
from emblem.upstreams.opening import Provider
from emblem.upstreams.presets import preset
from upstreams.provided import Time, answering, opened
from upstreams.scripted import Answer, Scripted, refused

KNOWN = preset("openai-compatible")
FIRST, SECOND = "sk-first-key-of-two", "sk-second-key-of-two"


@pytest.fixture
def clock() -> Time:
    return Time()


def asked(scripted: Scripted, clock: Time, *times: float, **options: Any) -> list[str]:
    """Embed a text at each of these times; say which keys came, or the error, never a key in it."""

    async def run() -> list[str]:
        upstream = opened(KNOWN, scripted, clock, **{"keys": (FIRST, SECOND), **options})
        begin = clock.now
        said: list[str] = []
        try:
            for time in times:
                clock.now = begin + time
                before = len(scripted.headers)
                error = await tried(upstream)
                came = [one.get("authorization", "-")[-10:] for one in scripted.headers[before:]]
                said.append(" ".join([*came, *([type(error).__name__] if error else [])]))
        finally:
            await upstream.aclose()
        return said

    return asyncio.run(run())


async def tried(upstream: HostedUpstream) -> EmblemError | None:
    found = None
    try:
        await upstream.embed(EmbedRequest(("a",)))
    except EmblemError as error:
        found = error
    assert "key-of-two" not in f"{found} {found!r}"
    return found


class Refusing:
    """A script that answers some keys with an error."""

    def __init__(self, scripted: Scripted, **answers: Answer) -> None:
        self.answers = answers
        self._scripted = scripted

    def __call__(self, body: dict[str, Any]) -> Answer:
        key = self._scripted.headers[-1].get("authorization", "").split("-")[1]
        return self.answers.get(key) or answering(KNOWN)(body)


def last(key: str) -> str:
    return key[-10:]


@pytest.mark.parametrize("status", [401, 403, 429])
def test_another_key_is_used_when_one_is_refused(
    scripted: Scripted, clock: Time, status: int
) -> None:
    scripted.script = Refusing(scripted, first=refused(status, f"no more of {FIRST}"))
    found = asked(scripted, clock, 0, 0.5)
    # The first text is sent twice to see in which form vectors come, and then the request itself.
    assert found[0].split() == [last(FIRST), *[last(SECOND)] * 3]
    assert found[1] == last(SECOND)


def test_a_key_rests_for_as_long_as_it_is_told_to(scripted: Scripted, clock: Time) -> None:
    scripted.script = Refusing(scripted, first=refused(429, "slow down", {"retry-after": "7"}))
    found = asked(scripted, clock, 0, 6.9, 7.1)
    assert found[1:] == [last(SECOND), f"{last(FIRST)} {last(SECOND)}"]


def test_a_key_never_rests_for_more_than_a_minute(scripted: Scripted, clock: Time) -> None:
    scripted.script = Refusing(scripted, first=refused(429, "slow down", {"retry-after": "86400"}))
    assert asked(scripted, clock, 0, 61)[1].split()[0] == last(FIRST)


def test_nothing_is_sent_while_every_key_rests(scripted: Scripted, clock: Time) -> None:
    slow = refused(429, "slow down", {"retry-after": "7"})
    scripted.script = Refusing(scripted, first=slow, second=slow)
    found = asked(scripted, clock, 0, 3, 8)
    assert found[0] == f"{last(FIRST)} {last(SECOND)} Overloaded"
    assert found[1] == "Overloaded"
    assert found[2].split()[0] == last(FIRST)


def test_the_error_says_when_the_first_key_may_be_used_again(
    scripted: Scripted, clock: Time
) -> None:
    scripted.script = lambda body: refused(429, "slow down", {"retry-after": "20"})

    async def run() -> tuple[EmblemError | None, EmblemError | None]:
        upstream = opened(KNOWN, scripted, clock, keys=(FIRST,))
        one = await tried(upstream)
        clock.now += 5
        other = await tried(upstream)
        await upstream.aclose()
        return one, other

    one, other = asyncio.run(run())
    assert isinstance(one, Overloaded)
    assert isinstance(other, Overloaded)
    assert (one.retry_after_s, other.retry_after_s) == (20.0, 15.0)
    assert len(scripted.bodies) == 1


def test_keys_that_are_all_refused_are_said_to_be_and_tried_again_later(
    scripted: Scripted, clock: Time
) -> None:
    scripted.script = lambda body: refused(401, f"Incorrect API key provided: {FIRST}")
    found = asked(scripted, clock, 0, 1, 11)
    both = f"{last(FIRST)} {last(SECOND)} DeploymentFailed"
    assert found == [both, "DeploymentFailed", both]


def test_a_key_whose_quota_is_used_up_gives_way_to_the_next(
    scripted: Scripted, clock: Time
) -> None:
    spent = refused(429, "quota", {"x-should-retry": "false"}, code="insufficient_quota")
    scripted.script = Refusing(scripted, first=spent)
    assert asked(scripted, clock, 0, 30)[1] == last(SECOND)


def test_a_single_key_that_is_refused_is_asked_with_again(scripted: Scripted, clock: Time) -> None:
    scripted.script = lambda body: refused(401, "no")
    found = asked(scripted, clock, 0, 0.1, keys=(FIRST,))
    assert found == [f"{last(FIRST)} DeploymentFailed"] * 2


def test_no_key_is_needed_where_none_is_wanted(scripted: Scripted, clock: Time) -> None:
    scripted.script = answering(KNOWN)
    assert asked(scripted, clock, 0, keys=())[0].split() == ["-"] * 3


def test_a_key_that_is_written_into_the_file_is_used_without_a_restart(
    scripted: Scripted, clock: Time, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{FIRST}\n")
    scripted.script = answering(KNOWN)

    async def run() -> list[str]:
        upstream = opened(KNOWN, scripted, clock, keys=(), key_file=file)
        used = []
        for moment in (0.0, 0.5, 1.5):
            clock.now = 1000 + moment
            assert await tried(upstream) is None
            used.append(last(scripted.headers[-1]["authorization"]))
            file.write_text(f"\n{SECOND}\n")
            os.utime(file, ns=(0, 0))
        await upstream.aclose()
        return used

    assert asyncio.run(run()) == [last(FIRST), last(FIRST), last(SECOND)]


def test_a_file_that_goes_away_leaves_the_keys_as_they_were(
    clock: Time, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key"
    file.write_text(FIRST)
    keys = Keys("mine", (), file, clock=clock)
    file.unlink()
    clock.now += 2
    with caplog.at_level(logging.WARNING):
        assert keys.next() == FIRST
    assert "the API keys of mine stay as they were: No such file" in caplog.text
    file.write_text("sk-\x07bell")
    clock.now += 2
    assert keys.next() == FIRST
    assert "bell" not in caplog.text


def test_a_file_is_looked_at_once_a_second_at_most(clock: Time, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(FIRST)
    keys = Keys("mine", (), file, clock=clock)
    file.write_text(f"{SECOND}-longer")
    clock.now += 0.9
    assert keys.next() == FIRST
    clock.now += 0.2
    assert keys.next() == f"{SECOND}-longer"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"\n \n", "has no key, one a line"),
        (b"sk-\xff\xfe", "cannot be read: it is not UTF-8"),
        ("sk-ümlaut".encode(), "has characters that cannot be sent"),
    ],
)
def test_a_file_without_a_key_is_said_to_be_at_once(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        Keys("mine", (), file)
    assert "sk-" not in str(caught.value)


def test_no_key_is_shown_by_what_holds_it() -> None:
    provider = Provider("mine", KNOWN, "http://h/v1", keys=(FIRST,), headers={"x-a": SECOND})
    assert "key-of-two" not in f"{provider} {provider!r}"
    with pytest.raises(ConfigError) as caught:
        Provider("mine", KNOWN, "http://h/v1", keys=(f"{FIRST}\n",))
    assert FIRST not in str(caught.value)


def test_a_failure_of_the_server_is_no_reason_to_use_another_key(
    scripted: Scripted, clock: Time
) -> None:
    scripted.script = lambda body: refused(500, "oh")
    assert asked(scripted, clock, 0) == [f"{last(FIRST)} {DeploymentFailed.__name__}"]
