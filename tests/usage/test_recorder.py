"""The recorder: what it takes is written once, in order, and nothing is lost without a word."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from emblem.accounts import Page, Use, Window
from emblem.errors import InvalidRequest, LedgerUnavailable
from emblem.ledger.address import url_of
from emblem.ledger.database import Database
from emblem.ledger.recorder import BATCH, Chores, Recorder
from emblem.ledger.tidying import tidying
from emblem.ledger.usagebook import SqlUsageBook
from postgres import Postgres

from .conftest import NOW, use

WAIT_S = 20.0
AWAY = LedgerUnavailable("the ledger cannot be used: it is away")


class Book:
    """Takes records, unless it is away; says when something was asked of it."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.error: Exception | None = None
        self.asked = threading.Semaphore(0)
        self.late = 0
        self.entered = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def add(self, uses: Sequence[Use]) -> int:
        self.entered.set()
        assert self.open.wait(WAIT_S)
        try:
            if self.error is not None:
                raise self.error
            self.batches.append([one.id for one in uses])
            return self.late
        finally:
            self.asked.release()

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]

    def wait(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.asked.acquire(timeout=WAIT_S)


@contextmanager
def recording(
    book: Book, *given: object, interval_s: float = 0.001, **more: object
) -> Iterator[Recorder]:
    recorder = Recorder(book, *given, interval_s=interval_s, **more)  # type: ignore[arg-type]
    try:
        yield recorder
    finally:
        asyncio.run(recorder.aclose())


def test_a_record_is_written_soon_without_being_asked_for() -> None:
    book = Book()
    with recording(book) as recorder:
        recorder.record(use("1"))
        book.wait()
        assert book.names == ["1"]
    assert (recorder.waiting, recorder.lost) == (0, 0)


def test_everything_is_written_at_the_end_in_order_and_in_batches() -> None:
    book = Book()
    names = [str(number) for number in range(2 * BATCH + 1)]
    with recording(book, interval_s=60.0) as recorder:
        for name in names[: BATCH - 1]:
            recorder.record(use(name))
        assert recorder.waiting == BATCH - 1
        for name in names[BATCH - 1 :]:
            recorder.record(use(name))
    assert book.names == names
    assert max(map(len, book.batches)) == BATCH
    assert recorder.waiting == 0


def test_a_full_batch_does_not_wait() -> None:
    book = Book()
    with recording(book, interval_s=3600.0) as recorder:
        for number in range(BATCH):
            recorder.record(use(str(number)))
        book.wait()
        assert len(book.names) == BATCH


def test_records_that_come_while_others_are_written_wait_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a steady stream of requests would be written one by one, each with a wait for the disk."""
    monkeypatch.setattr("emblem.ledger.recorder.TOUCH_S", 0.0)
    turned = threading.Event()
    book = Book()
    book.open.clear()
    with recording(book, Chores(touch=turned.set), interval_s=3600.0) as recorder:
        for number in range(BATCH):
            recorder.record(use(str(number)))
        assert book.entered.wait(WAIT_S)
        recorder.record(use("one more"))
        book.open.set()
        assert turned.wait(WAIT_S)
        assert [len(batch) for batch in book.batches] == [BATCH]
        assert recorder.waiting == 1
    assert book.names[-1] == "one more"


def test_what_can_never_be_written_does_not_keep_the_end(caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    book.error = TypeError("no such value")
    touched = threading.Event()
    with recording(book, Chores(touch=touched.set), interval_s=0.01) as recorder:
        recorder._closing.set()  # so that the end meets it, and no turn before
        recorder._thread.join()
        recorder.record(use("1"))
        recorder._finish()
    assert touched.is_set()
    assert (recorder.lost, recorder.waiting) == (1, 0)
    assert "no such value" in caplog.text


def test_what_cannot_be_written_waits_and_is_written_once() -> None:
    book = Book()
    book.error = AWAY
    with recording(book) as recorder:
        recorder.record(use("1"))
        book.wait(2)
        recorder.record(use("2"))
        book.wait(2)
        assert recorder.waiting == 2
        book.error = None
    assert book.names == ["1", "2"]
    assert recorder.lost == 0


def test_beyond_the_room_the_oldest_are_given_up_counted_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = Book()
    book.open.clear()
    with recording(book, room=3) as recorder:
        recorder.record(use("in hand"))
        assert book.entered.wait(WAIT_S)
        for number in range(5):
            recorder.record(use(str(number)))
        assert (recorder.waiting, recorder.lost) == (4, 2)
        book.open.set()
        book.wait(2)
    assert book.names == ["in hand", "2", "3", "4"]
    assert recorder.lost == 2
    assert "2 were lost since this was last said" in caplog.text


def test_a_database_that_is_away_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    book.error = AWAY
    with recording(book) as recorder, caplog.at_level(logging.ERROR):
        recorder.record(use("1"))
        book.wait(10)
        said = [record.getMessage() for record in caplog.records]
        assert said == [
            f"usage: 1 records wait to be written, 0 were lost since this was last said: {AWAY}"
        ]
        book.error = None


def test_a_database_that_stays_away_does_not_keep_the_end_for_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    book = Book()
    book.error = AWAY
    with recording(book, close_s=0.0) as recorder:
        recorder.record(use("1"))
    assert (recorder.lost, book.names) == (1, [])
    assert "usage: 1 records were not written before the end" in caplog.text


def test_what_can_never_be_written_stands_in_nobodys_way(caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    book.error = TypeError("no such value")
    with recording(book) as recorder:
        recorder.record(use("1"))
        book.wait()
        book.error = None
        recorder.record(use("2"))
    assert book.names == ["2"]
    assert recorder.lost == 1
    assert "no such value" in caplog.text


def test_records_that_come_too_late_are_counted_as_lost() -> None:
    book = Book()
    book.late = 1
    with recording(book) as recorder:
        recorder.record(use("1"))
    assert recorder.lost == 1


def test_when_keys_were_used_is_written_beside_the_records_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("emblem.ledger.recorder.TOUCH_S", 0.0)
    touched = threading.Semaphore(0)
    with recording(Book(), Chores(touch=touched.release)):
        assert touched.acquire(timeout=WAIT_S)
    assert touched.acquire(timeout=WAIT_S)


def test_records_are_written_while_an_hour_is_added_up_and_it_is_told_of_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("emblem.ledger.tidying.TIDY_S", 0.001)
    begun, ended = threading.Event(), threading.Event()
    book = Book()

    def tidy(now: float, stop: Callable[[], bool]) -> None:
        assert (now, stop()) == (NOW, False)
        begun.set()
        while not stop():  # an hour that takes long
            ended.wait(0.001)
        ended.set()

    with recording(book, Chores(tidy=tidy), clock=lambda: NOW) as recorder:
        assert begun.wait(WAIT_S)
        recorder.record(use("1"))
        book.wait()
        assert book.names == ["1"]
    assert ended.is_set()


def test_a_database_that_never_answers_does_not_keep_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("emblem.ledger.recorder.END_S", 0.05)
    book = Book()
    book.open.clear()
    with recording(book, close_s=0.0) as recorder:
        recorder.record(use("1"))
        assert book.entered.wait(WAIT_S)
    assert "usage: 1 records were not written before the end" in caplog.text
    book.open.set()
    book.wait()


def test_of_a_batch_only_what_cannot_be_written_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Picky(Book):
        def add(self, uses: Sequence[Use]) -> int:
            if any(one.user == "odd" for one in uses):
                raise InvalidRequest("a value cannot be kept")
            return super().add(uses)

    book = Picky()
    with recording(book, interval_s=60.0) as recorder:
        for number in range(5):
            recorder.record(use(str(number), user="odd" if number == 2 else ""))
    assert book.names == ["0", "1", "3", "4"]
    assert (recorder.lost, recorder.waiting) == (1, 0)
    assert "a value cannot be kept" in caplog.text


def test_what_is_recorded_reaches_the_database(book: SqlUsageBook) -> None:
    with recording(book) as recorder:  # type: ignore[arg-type]
        for number in range(3):
            recorder.record(use(str(number), NOW + number))
    assert [one.id for one in book.records(Window(), Page())] == ["0", "1", "2"]


@pytest.mark.parametrize(("days", "kept"), [(0, 3), (1, 1), (2, 2)])
def test_tidying_makes_sums_and_keeps_records_for_so_many_days(
    book: SqlUsageBook, days: int, kept: int
) -> None:
    book.add([use(str(number), NOW - number * 30 * 3600) for number in range(3)])
    tidying(book, days)(NOW, lambda: False)
    assert len(book.records(Window(), Page())) == kept
    assert book.sums(Window())[0].requests == 3
    assert book.roll_up(NOW) == 0


def test_connections_that_are_cut_lose_nothing_and_double_nothing(
    postgres: Postgres, postgres_url: str
) -> None:
    names = [f"{number:04}" for number in range(3000)]
    with closing(Database(url_of(postgres_url, Path()))) as database:
        book = SqlUsageBook(database)
        with recording(book) as recorder:  # type: ignore[arg-type]
            for name in names:
                recorder.record(use(name))
                if name.endswith("500"):
                    postgres.run(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'emblem'"
                    )
        assert recorder.lost == 0
        assert [one.id for one in book.records(Window(), Page(5000))] == names
        with database.write() as connection:
            connection.execute(text("TRUNCATE uses, uses_hourly, hours"))


def test_what_comes_after_the_end_is_counted_as_lost() -> None:
    book = Book()
    with recording(book) as recorder:
        recorder.record(use("1"))
    recorder.record(use("2"))
    assert (book.names, recorder.lost, recorder.waiting) == (["1"], 1, 0)


def test_what_comes_while_the_last_are_written_is_written_or_counted() -> None:
    book = Book()

    async def end(recorder: Recorder) -> None:
        ending = asyncio.ensure_future(recorder.aclose())
        for number in range(50):
            recorder.record(use(str(number)))
            await asyncio.sleep(0)
        await ending

    for _ in range(20):
        book.batches.clear()
        recorder = Recorder(book, interval_s=0.001)
        asyncio.run(end(recorder))
        assert (len(book.names) + recorder.lost, recorder.waiting) == (50, 0)
