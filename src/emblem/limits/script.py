"""One script of Redis, run for all who ask at the same time in few round trips.

A round trip costs this process some hundred microseconds, whatever is in it. So while some are
under way, whoever comes waits for one to end and then goes together with all who came meanwhile.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

MAX_UNDER_WAY = 2
MAX_TOGETHER = 256  # so that no answer keeps Redis or the loop busy for long


@dataclass(slots=True, eq=False)
class _Asked:
    hashes: list[str]
    arguments: list[Any]
    answer: "asyncio.Future[list[int]]"


class Script:
    """Runs a script, which Redis is told when it lacks it. Used on one event loop.

    Each answer is that of its own call, and a call that is cancelled takes no other with it. Raises
    what the client raises.
    """

    def __init__(self, client: "Redis", text: str) -> None:
        self._client = client
        self._script = client.register_script(text)
        self._waiting: list[_Asked] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, hashes: list[str], arguments: list[Any]) -> list[int]:
        """Run it with these keys and arguments, and give what it returns."""
        if self._under_way >= MAX_UNDER_WAY:
            answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Asked(hashes, arguments, answer))
            return await answer
        self._under_way += 1
        try:
            given: list[int] = await self._script(hashes, arguments)
            return given
        finally:
            self._ended()

    async def aclose(self) -> None:
        """Give up what is under way and what waits."""
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            asked.answer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self) -> None:
        """Send those who wait, now that there is room for a round trip."""
        self._under_way -= 1
        if self._waiting:
            together, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
            self._under_way += 1
            task = asyncio.create_task(self._send(together))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, together: Sequence[_Asked]) -> None:
        """Run it for several, and give each its answer."""
        try:
            answers = await self._run(together)
        except asyncio.CancelledError:
            for asked in together:
                asked.answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it belongs to those who asked
            answers = [error] * len(together)
        finally:
            self._ended()
        for asked, given in zip(together, answers, strict=True):
            if asked.answer.done():  # whoever asked is gone
                continue
            if isinstance(given, Exception):
                asked.answer.set_exception(given)
            else:
                asked.answer.set_result(given)

    async def _run(self, together: Sequence[_Asked]) -> list[Any]:
        from redis.exceptions import NoScriptError

        answers = await self._pipelined(together)
        lacking = [i for i, one in enumerate(answers) if isinstance(one, NoScriptError)]
        if lacking:  # these have not been run
            await self._client.script_load(self._script.script)
            again = await self._pipelined([together[i] for i in lacking])
            for i, one in zip(lacking, again, strict=True):
                answers[i] = one
        return answers

    async def _pipelined(self, together: Sequence[_Asked]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for asked in together:
            pipeline.evalsha(self._script.sha, len(asked.hashes), *asked.hashes, *asked.arguments)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers
