"""The turns at the desk: who waits for whom."""

import asyncio
import threading

from emblem.api.admin.desk import MAX_QUESTIONS, Desk


def test_a_change_does_not_wait_for_questions_that_take_long() -> None:
    async def meet() -> str:
        desk, answered = Desk(), threading.Event()
        questions = [asyncio.ensure_future(desk.ask(answered.wait)) for _ in range(MAX_QUESTIONS)]
        try:
            await asyncio.sleep(0)  # each has its turn now
            return await asyncio.wait_for(desk.change(lambda: "revoked"), 10)
        finally:
            answered.set()
            await asyncio.gather(*questions)

    assert asyncio.run(meet()) == "revoked"
