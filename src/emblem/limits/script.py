"""One script of Redis, run for all who ask at the same time in few round trips.

A round trip costs this process some hundred microseconds, whatever is in it. So while some are
under way, whoever comes waits for one to end and then goes together with all who came meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
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
    unwanted: Callable[[list[int]], None] | None


class Script:
    """Runs a script, which Redis is told when it lacks it. Used on one event loop.

    Each answer is that of its own call, and a call that is cancelled takes no other with it: it is
    not made, unless it is under way. Raises what the client raises.
    """

    def __init__(self, client: "Redis", text: str) -> None:
        self._client = client
        self._script = client.register_script(text)
        self._waiting: list[_Asked] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(
        self,
        hashes: list[str],
        arguments: list[Any],
        unwanted: Callable[[list[int]], None] | None = None,
    ) -> list[int]:
        """Run it with these keys and arguments, and give what it returns.

        Where whoever asked is gone when that comes, ``unwanted`` is given it instead.
        """
        answer: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        asked = _Asked(hashes, arguments, answer, unwanted)
        if self._under_way < MAX_UNDER_WAY:
            self._start([asked])
        else:
            self._waiting.append(asked)
        try:
            return await answer
        except asyncio.CancelledError:
            # It may have come in the very turn in which whoever asked was told to leave.
            if unwanted is not None and _came(answer):
                unwanted(answer.result())
            raise

    async def aclose(self) -> None:
        """Give up what waits, and wait for what is under way."""
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            asked.answer.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, together: Sequence[_Asked]) -> None:
        self._under_way += 1
        task = asyncio.create_task(self._send(together))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _ended(self) -> None:
        """Send those who still wait, now that there is room for a round trip."""
        self._under_way -= 1
        waiting = [asked for asked in self._waiting if not asked.answer.done()]
        together, self._waiting = waiting[:MAX_TOGETHER], waiting[MAX_TOGETHER:]
        if together:
            self._start(together)

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
                if asked.unwanted is not None and not isinstance(given, Exception):
                    asked.unwanted(given)
                continue
            if isinstance(given, Exception):
                asked.answer.set_exception(given)
            else:
                asked.answer.set_result(given)

    async def _run(self, together: Sequence[_Asked]) -> list[Any]:
        from redis.exceptions import NoScriptError

        if len(together) == 1:
            return [await self._script(together[0].hashes, together[0].arguments)]
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


def _came(answer: "asyncio.Future[list[int]]") -> bool:
    return answer.done() and not answer.cancelled() and answer.exception() is None
