"""What the parent decides of its processes, and how one of them leaves a socket that others share."""

import os
import selectors
import socket
from pathlib import Path

import pytest

from emblem.cli.board import MOST_DEATHS, WITHIN_S, Board, worth_replacing
from emblem.cli.listening import stop_listening

NOW = 1000.0


def test_a_process_is_replaced_unless_many_have_died_lately() -> None:
    assert worth_replacing([NOW], NOW)
    assert worth_replacing([NOW] * MOST_DEATHS, NOW)
    assert not worth_replacing([NOW] * (MOST_DEATHS + 1), NOW)


def test_deaths_of_long_ago_do_not_count() -> None:
    assert worth_replacing([NOW - WITHIN_S] * 20 + [NOW], NOW)


def test_a_board_says_which_others_do_not_answer() -> None:
    board = Board(3)
    board.answers(1)
    assert not board.complete
    process = board.process(1)
    assert (process.number, process.count) == (2, 3)
    assert process.problems() == [
        "process 1 of 3 does not answer yet",
        "process 3 of 3 does not answer yet",
    ]
    for place in range(3):
        board.answers(place)
    assert board.complete
    assert process.problems() == []


def test_who_is_to_leave_knows_it_and_no_other_does() -> None:
    board = Board(1)
    assert not board.is_leaving()
    board.leaving.value = os.getpid()
    assert board.is_leaving()
    board.leaving.value = os.getppid()
    assert not board.is_leaving()


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the system does not list open files")
def test_who_stops_listening_accepts_nobody_and_leaves_the_socket_to_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        # The same socket in another process, which a test need not start: nothing of this one's.
        other = socket.socket(fileno=os.dup(ours.fileno()))
        ours.setblocking(False)
        with other, selectors.DefaultSelector() as waiting:
            waiting.register(ours, selectors.EVENT_READ)
            kept = _hidden(other)
            stop_listening(port)
            with socket.create_connection(("127.0.0.1", port)):
                with pytest.raises(BlockingIOError):
                    ours.accept()
                theirs = socket.socket(fileno=_received(kept))
                with theirs:
                    theirs.settimeout(10)
                    theirs.accept()[0].close()


def _hidden(one: socket.socket) -> socket.socket:
    """Put a socket where it has no number: under way between two ends of a pair. Closes it."""
    here, there = socket.socketpair()
    socket.send_fds(here, [b"x"], [one.fileno()])
    one.close()
    here.close()
    return there


def _received(kept: socket.socket) -> int:
    with kept:
        _, (number,), _, _ = socket.recv_fds(kept, 1, 1)
    return number
