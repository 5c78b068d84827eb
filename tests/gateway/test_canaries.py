"""What no single answer shows is shown by known texts: the deployment is then quarantined."""

import asyncio

import numpy as np
import pytest

from emblem.errors import DeploymentFailed
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Reference
from emblem.upstreams.misbehaving import Fault, Misbehaving, Notice, always, in_turn, vector
from emblem.upstreams.misbehaving.faults import FAULTS
from emblem.upstreams.opening import open_upstream
from emblem.wrappers.checked import Checked
from emblem.wrappers.pool import Member, Pool
from emblem.wrappers.proven import Proven
from gateway.storms import MANNERS, SPACE, WIDTH, _Narrow, ask, provider

SILENT = [fault for fault, about in FAULTS.items() if about.notice is Notice.SILENT]
PROOF_S = 1.0  # that an upstream has for all known texts at once
TEXTS = ["one", "another one", " ".join(["a", "long", "text"] * 20)]


class Shelf:
    """References in memory."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Reference] = {}

    def get(self, space: Space, texts: str) -> Reference | None:
        return self._kept.get((space.identity, texts))

    def put(self, space: Space, reference: Reference) -> Reference:
        return self._kept.setdefault((space.identity, reference.texts), reference)


def proven(server: Misbehaving, shelf: Shelf, name: str = "server") -> Proven:
    asked = provider(name, server.base_url, PROOF_S)
    return Proven(Checked(open_upstream(asked, "truth", SPACE)), shelf, name)


def test_all_that_no_answer_shows_is_known() -> None:
    assert set(SILENT) == {Fault.SWAP, Fault.REPEAT, Fault.OTHER_SPACE, Fault.CUT}


@pytest.mark.parametrize("fault", SILENT)
def test_a_fault_that_no_answer_shows_ends_in_quarantine_until_it_is_over(fault: Fault) -> None:
    async def run() -> None:
        async with Misbehaving(None, MANNERS, _Narrow()) as server:
            deployment = proven(server, Shelf())
            try:
                assert await deployment.prove() is not None
                assert deployment.problem() is None
                server.play(always(fault))
                wrong = await deployment.embed(EmbedRequest(tuple(TEXTS)))
                due = np.stack([vector(text, WIDTH) for text in TEXTS])
                assert not np.allclose(wrong.vectors, due)  # as long as nobody looks
                await deployment.prove()
                assert "is quarantined" in (deployment.problem() or "")
                with pytest.raises(DeploymentFailed, match="is quarantined"):
                    await deployment.embed(EmbedRequest(tuple(TEXTS)))
                server.play(always(Fault.OK))
                await deployment.prove()
                right = await deployment.embed(EmbedRequest(tuple(TEXTS)))
                np.testing.assert_allclose(right.vectors, due, atol=1e-5)
            finally:
                await deployment.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("fault", SILENT)
def test_a_second_deployment_that_is_wrong_from_the_start_never_answers(fault: Fault) -> None:
    async def run() -> None:
        shelf = Shelf()
        async with (
            Misbehaving(None, MANNERS, _Narrow()) as well,
            Misbehaving(always(fault), MANNERS, _Narrow()) as ill,
        ):
            deployments = [proven(well, shelf, "well"), proven(ill, shelf, "ill")]
            for one in deployments:
                await one.prove()
            pool = Pool(SPACE, [Member(f"d{n}", one) for n, one in enumerate(deployments)])
            try:
                for _ in range(8):
                    outcome = await ask(pool, TEXTS)
                    assert isinstance(outcome.result, EmbedResult)
                    due = np.stack([vector(text, WIDTH) for text in TEXTS])
                    np.testing.assert_allclose(outcome.result.vectors, due, atol=1e-5)
                    assert outcome.result.served_by == "d0"
            finally:
                await pool.aclose()

    asyncio.run(run())


def test_a_proof_that_meets_any_other_fault_never_passes_on_wrong_vectors() -> None:
    faults = [fault for fault in FAULTS if fault not in (*SILENT, Fault.UNASKED)]

    answered: list[bool] = []
    turns = asyncio.Semaphore(4)  # all at once are too many for the one loop that they share

    async def one(fault: Fault) -> None:
        async with turns, Misbehaving(None, MANNERS, _Narrow()) as server:
            deployment = proven(server, Shelf())
            try:
                await deployment.prove()
                server.play(always(fault))
                await deployment.prove()
                server.play(always(Fault.OK))
                outcome = await ask(deployment, TEXTS)
                if isinstance(outcome.result, EmbedResult):
                    due = np.stack([vector(text, WIDTH) for text in TEXTS])
                    np.testing.assert_allclose(outcome.result.vectors, due, atol=1e-5)
                answered.append(isinstance(outcome.result, EmbedResult))
            finally:
                await deployment.aclose()

    async def every() -> None:
        await asyncio.gather(*map(one, faults))

    asyncio.run(every())
    assert any(answered)


def test_a_refusal_that_passes_is_not_what_others_are_held_to() -> None:
    async def run() -> str | None:
        script = in_turn([Fault.OK] * 8 + [Fault.REFUSED])
        async with Misbehaving(script, MANNERS, _Narrow()) as server:
            deployment = proven(server, Shelf())
            try:
                await deployment.prove()
                server.play(always(Fault.OK))
                await deployment.prove()
                return deployment.problem()
            finally:
                await deployment.aclose()

    assert asyncio.run(run()) is None
