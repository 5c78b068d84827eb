"""Takes a process off the socket that it shares with others, without ending it."""

import asyncio
import os
import socket
import stat
from collections.abc import Collection
from pathlib import Path

_OPEN = Path("/dev/fd")  # of this process: on Linux, macOS and the BSDs


def stop_listening(loop: asyncio.AbstractEventLoop, *ports: int) -> None:
    """Accept no connection to some ports any more in this process; others that share them go on.

    Granian has no call for that: it would end the connections that wait for their first request
    as well. So its number for the socket is given to another one, which nobody connects to. Closing
    it would be wrong, for the next file that is opened would have its number.
    """
    with socket.socket() as nowhere:
        nowhere.setblocking(False)  # as the other is: who accepts is told that nobody is there
        nowhere.bind(("127.0.0.1", 0))
        nowhere.listen(1)
        for number in _listeners(ports):
            if number != nowhere.fileno():
                loop.remove_reader(number)  # or the loop hears of connections that are others'
                os.dup2(nowhere.fileno(), number, inheritable=False)


def _listeners(ports: Collection[int]) -> list[int]:
    """Give the numbers of the sockets of this process that listen on one of some ports."""
    return [int(one.name) for one in _OPEN.iterdir() if _listens(int(one.name), ports)]


def _listens(number: int, ports: Collection[int]) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return False
    except OSError:  # it was that of the folder that has them
        return False
    with socket.socket(fileno=os.dup(number)) as one:
        inet = one.family in (socket.AF_INET, socket.AF_INET6)
        listens = inet and one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return bool(listens and one.getsockname()[1] in ports)
