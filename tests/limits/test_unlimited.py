"""A server whose keys are to have no limits keeps to none."""

import asyncio
from pathlib import Path

import msgspec

from emblem.accounting import Accounting
from emblem.accounts import Account, Charge, Quota
from emblem.config import Settings
from emblem.limits.memory import MemoryLimiter
from emblem.limits.unlimited import Unlimited

ONE = Account("key_1", Quota(requests_per_minute=1))


def test_whatever_is_asked_for_is_allowed_and_nothing_is_held_against_it() -> None:
    async def ask() -> None:
        limiter = Unlimited()
        for _ in range(3):
            grant = await limiter.charge(ONE, Charge())
            assert (grant.account, grant.standings) == (ONE, ())
        await limiter.refund(grant)
        assert await limiter.peek(ONE) == ()
        await limiter.seed([], now=0)
        await limiter.aclose()

    asyncio.run(ask())


def test_limits_are_kept_to_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    usual = Settings(home=str(tmp_path))
    for settings, kind in (
        (usual, MemoryLimiter),
        (msgspec.structs.replace(usual, limits=False), Unlimited),
    ):
        accounting = Accounting(settings)
        try:
            assert isinstance(accounting.limiter, kind)
        finally:
            accounting.ledger.close()
