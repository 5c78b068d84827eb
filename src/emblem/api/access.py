"""The access log: a line for each request, written for all of one turn of the event loop at once.

A line by itself takes longer to make and to write than many a request takes to answer: writing lets
go of the interpreter's lock, and then waits for it.
"""

import asyncio
import logging

from emblem.accounts import Observed
from emblem.observe.requests import shown_method

access = logging.getLogger("emblem.access")


class Requests:
    """Requests of one record, each of which becomes a line."""

    __slots__ = ("every",)

    def __init__(self, every: list[Observed]) -> None:
        self.every = every

    def __str__(self) -> str:
        """Give them as they are read, a line each."""
        return "\n".join([line(one) for one in self.every])


def line(one: Observed) -> str:
    """Write a request for people. Nothing in it is as a client sent it, but for a known method."""
    who = f" key={one.key}" if one.key else ""
    if one.model:
        who += f" model={one.model} inputs={one.inputs} tokens={one.tokens} hits={one.hits}"
    code = f" code={one.code}" if one.code else ""
    ms = 1000 * one.seconds
    return f"{shown_method(one.method)} {one.route or '-'} {one.status} {ms:.1f} ms {one.id}{who}{code}"


class AccessLog:
    """Writes requests when the event loop has its next turn; an ``Observer``. Used on one loop."""

    def __init__(self) -> None:
        self._waiting: list[Observed] = []

    def observed(self, one: Observed) -> None:
        """Write a request soon, if anybody wants to read it."""
        if not access.isEnabledFor(logging.INFO):
            return
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._write)
        self._waiting.append(one)

    def _write(self) -> None:
        these, self._waiting = Requests(self._waiting), []
        # They were wanted when they came, and nobody asks where in the code that was.
        access.handle(access.makeRecord(access.name, logging.INFO, "", 0, these, (), None))
