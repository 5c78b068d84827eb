"""What the parent decides of its processes, and how one of them leaves a socket that others share."""

import asyncio
import os
import selectors
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from emblem.cli import worker
from emblem.cli.board import (
    HUNG_S,
    MOST_DEATHS,
    SILENT_S,
    WITHIN_S,
    Board,
    watched_since,
    worth_replacing,
)
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


def test_a_process_that_has_not_moved_for_a_while_does_not_answer() -> None:
    board = Board(2)
    for place in range(2):
        board.answers(place)
    board.moved[1] -= SILENT_S + 1
    assert board.missing(but=0) == [f"process 2 of 2 has not moved for {SILENT_S + 1:.0f} s"]
    assert board.missing(but=1) == []
    board.moves(1)
    assert board.missing(but=0) == []


def test_only_who_has_a_place_shows_that_its_process_lives() -> None:
    board = Board(1)
    board.moves(0)
    assert board.moved[0] == 0
    board.answers(0)
    assert board.moved[0] > 0


def test_a_process_hangs_that_has_not_moved_for_long_while_it_was_watched() -> None:
    board = Board(3)
    board.answering[0] = board.answering[1] = os.getpid()  # in the third place nobody answers
    board.moved[0], board.moved[1] = NOW, NOW - 1
    assert board.hung(0, NOW + HUNG_S) == [1]
    assert board.hung(0, NOW + HUNG_S + 1) == [0, 1]
    assert board.hung(NOW + 2, NOW + HUNG_S + 1) == []


def test_what_happened_while_the_watch_itself_was_held_does_not_count() -> None:
    assert watched_since(5, NOW, NOW + 1) == 5
    assert watched_since(5, NOW, NOW + HUNG_S) == NOW + HUNG_S


def test_a_process_without_a_parent_that_does_not_answer_yet_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end(code: int) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(worker.os, "_exit", end)
    with pytest.raises(SystemExit) as ended:
        worker._follow(0, threading.Event(), 600)
    assert ended.value.code == 0


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
            with closing(asyncio.new_event_loop()) as loop:
                stop_listening(loop, port)
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
