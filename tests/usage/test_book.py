"""Records and their sums, in SQLite and in PostgreSQL alike."""

import random
import threading
from datetime import UTC, datetime
from math import ceil, inf

import pytest
from sqlalchemy import text

from emblem.accounts import By, Page, Spent, Sum, Use, Window
from emblem.core.percentiles import RELATIVE_ERROR
from emblem.errors import InvalidRequest
from emblem.ledger.database import Database
from emblem.ledger.usagebook import MAX_COUNT, MAX_TEXT, SqlUsageBook

from .conftest import NOW, Count, use

HOUR = 3600.0
DAY = 24 * HOUR


def totals(sums: list[Sum]) -> list[tuple[object, ...]]:
    """What was added up, without percentiles."""
    return [
        (one.group, one.requests, one.errors, one.inputs, one.tokens, one.hits, one.cost)
        for one in sums
    ]


def test_a_record_is_read_as_it_was_written(book: SqlUsageBook) -> None:
    whole = use("req-1", user="alice", tags=("search", 'quote " and \u00e9'), ms=1.25)
    bare = use("req-2", NOW + 0.125, team=None)
    assert book.add([bare, whole]) == 0
    assert book.records(Window(), Page()) == [whole, bare]


def test_a_record_is_kept_once_however_often_it_is_written(book: SqlUsageBook) -> None:
    book.add([use("req-1", tokens=10), use("req-1", tokens=11)])
    book.add([use("req-1", tokens=12), use("req-2")])
    assert [one.tokens for one in book.records(Window(), Page())] == [10, 10]


def test_nothing_may_be_written(book: SqlUsageBook) -> None:
    assert book.add([]) == 0
    assert book.sums(Window()) == [Sum()]
    assert book.sums(Window(), (By.KEY,)) == []


def test_what_no_database_holds_is_replaced_or_cut(book: SqlUsageBook) -> None:
    odd = use(
        "req-1",
        user="a\0b\udcff" + "x" * 1000,
        tags=("\0",) * 9,
        tokens=2**70,
        cost=-1,
        status=10**6,
        ms=inf,
    )
    book.add([odd])
    (found,) = book.records(Window(), Page())
    assert found.user.startswith("a\ufffdb?xxx")
    assert len(found.user) == MAX_TEXT
    assert found.tags == ("\ufffd",) * 5
    assert (found.tokens, found.cost, found.ms, found.status) == (MAX_COUNT, 0, 0.0, 999)


def test_what_is_odd_about_a_record_changes_none_beside_it(book: SqlUsageBook) -> None:
    plain = use("req-1", user="ann", team=None)
    odd = {"user": "\0" * 300, "model": "ü", "tokens": -5, "status": 2000, "ms": inf, "cost": 2**60}
    before, after = use("req-0", NOW, tags=("a",)), use("req-2", NOW + 1, user="é" * MAX_TEXT)
    book.add([before, plain, use("req-9", NOW + 2, **odd), after])
    first, second, third, last = book.records(Window(), Page())
    assert [first, second, third] == [before, plain, after]
    assert (last.user, last.model, last.team) == ("\ufffd" * MAX_TEXT, "ü", "team-a")
    assert (last.tokens, last.status, last.ms, last.cost) == (0, 999, 0.0, MAX_COUNT)


def test_pages_give_every_record_once_in_either_order(book: SqlUsageBook) -> None:
    # Several of one time, and several hours.
    every = [use(f"req-{number:02}", NOW - HOUR * (number // 7)) for number in range(30)]
    book.add(every)
    expected = sorted(every, key=lambda one: (one.at, one.id))
    for newest_first in (False, True):
        found: list[Use] = []
        mark = None
        while page := book.records(Window(), Page(4, mark, newest_first)):
            found += page
            mark = (page[-1].at, page[-1].id)
        assert found == (expected[::-1] if newest_first else expected)


def test_a_window_has_its_beginning_and_not_its_end(book: SqlUsageBook) -> None:
    book.add([use(f"at-{offset}", NOW + offset) for offset in (-1, 0, 1, 2)])
    window = Window(since=NOW, until=NOW + 2)
    assert [one.id for one in book.records(window, Page())] == ["at-0", "at-1"]
    assert book.sums(window)[0].requests == 2


@pytest.mark.parametrize("field", ["key", "team", "model"])
def test_a_window_may_be_of_one_key_team_or_model(book: SqlUsageBook, field: str) -> None:
    old = NOW - DAY
    book.add(
        [use("1"), use("2", old), use("3", **{field: "other"}), use("4", old, **{field: "other"})]
    )
    book.roll_up(NOW)
    window = Window(**{field: "other"})
    assert [one.id for one in book.records(window, Page())] == ["4", "3"]
    assert book.sums(window)[0].requests == 2


def test_sums_are_by_whatever_is_asked_for(book: SqlUsageBook) -> None:
    tagged = {"user": "alice", "tags": ("search", "batch")}
    book.add(
        [
            use("1", **tagged),
            use("2", NOW + HOUR, team=None, status=429, tokens=0, inputs=0, hits=0, cost=0),
            use("3", NOW + DAY, key="key-b", tags=("search",), served_by="other"),
        ]
    )
    plain, refused = (1, 0, 2, 10, 1, 200), (1, 1, 0, 0, 0, 0)
    twice = (2, 0, 4, 20, 2, 400)

    def by(*fields: By) -> list[tuple[object, ...]]:
        return totals(book.sums(Window(), fields))

    assert by() == [((), 3, 1, 4, 20, 2, 400)]
    assert by(By.TEAM) == [(("",), *refused), (("team-a",), *twice)]
    assert by(By.STATUS) == [(("200",), *twice), (("429",), *refused)]
    assert by(By.KEY, By.DAY) == [
        (("key-a", "2026-11-21"), 2, 1, 2, 10, 1, 200),
        (("key-b", "2026-11-22"), *plain),
    ]
    assert by(By.HOUR, By.DAY) == [
        (("2026-11-21T10:00Z", "2026-11-21"), *plain),
        (("2026-11-21T11:00Z", "2026-11-21"), *refused),
        (("2026-11-22T10:00Z", "2026-11-22"), *plain),
    ]
    assert by(By.USER) == [(("",), 2, 1, 2, 10, 1, 200), (("alice",), *plain)]
    assert by(By.SERVED_BY, By.SPACE)[1] == (("other", "minilm@0/384"), *plain)
    assert by(By.TAG) == [(("",), *refused), (("batch",), *plain), (("search",), *twice)]
    assert by(By.TAG, By.USER)[1] == (("batch", "alice"), *plain)


def test_sums_by_the_minute_are_of_the_minute_that_each_use_is_in(book: SqlUsageBook) -> None:
    began = NOW // HOUR * HOUR
    at = {"1": 0.0, "2": 59.999, "3": 60.0, "4": 119.5, "5": 3599.999}
    book.add([use(name, began + after) for name, after in at.items()])
    found = book.sums(Window(since=began, until=began + HOUR), (By.MINUTE,))
    assert [(one.group, one.requests) for one in found] == [
        (("2026-11-21T10:00Z",), 2),
        (("2026-11-21T10:01Z",), 2),
        (("2026-11-21T10:59Z",), 1),
    ]


def test_percentiles_are_those_of_the_answers_that_were_no_errors(book: SqlUsageBook) -> None:
    chance = random.Random(7)
    spent = [chance.lognormvariate(3, 1) for _ in range(600)]
    hours = [NOW - HOUR * (number % 3) for number in range(600)]
    book.add([use(str(n), at, ms=ms) for n, (at, ms) in enumerate(zip(hours, spent, strict=True))])
    book.add([use("refused", status=429, ms=0.01), use("alone", key="key-b", status=500)])
    book.roll_up(NOW)  # the current hour stays with its records
    exact = [sorted(spent)[ceil(one * len(spent) / 100) - 1] for one in (50, 95, 99)]
    (total,) = book.sums(Window())
    assert total.ms == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-6)
    of_a, of_b = book.sums(Window(), (By.KEY,))
    assert of_a.ms == total.ms
    assert of_b.ms is None
    assert book.sums(Window(), percentiles=False)[0].ms is None


def test_an_hour_is_rolled_up_when_it_is_over_and_not_again(
    book: SqlUsageBook, count: Count
) -> None:
    book.add([use("1", NOW - HOUR), use("2", NOW - HOUR, key="key-b"), use("3", NOW)])
    assert book.roll_up(NOW) == 1
    assert count("uses_hourly") == 2
    assert book.roll_up(NOW) == 0
    end = (NOW // HOUR + 1) * HOUR
    assert book.roll_up(end + 59) == 0  # a little later than that, for who is late
    assert book.roll_up(end + 60) == 1


def test_who_comes_late_is_counted_at_once_and_rolled_up_again(
    book: SqlUsageBook, count: Count
) -> None:
    book.add([use("1", NOW - HOUR)])
    book.roll_up(NOW)
    book.add([use("1", NOW - HOUR), use("2", NOW - HOUR, tokens=5)])
    assert totals(book.sums(Window())) == [((), 2, 0, 4, 15, 2, 400)]
    assert book.roll_up(NOW) == 1
    assert totals(book.sums(Window())) == [((), 2, 0, 4, 15, 2, 400)]
    assert count("uses_hourly") == 1


def test_sums_stay_the_same_through_roll_ups_and_pruning(book: SqlUsageBook, count: Count) -> None:
    chance = random.Random(11)
    every = [
        use(
            str(number),
            NOW - chance.random() * 4 * DAY,
            key=chance.choice("abc"),
            model=chance.choice(("minilm", "bge")),
            status=chance.choice((200, 200, 200, 404, 503)),
            tokens=chance.randrange(1000),
            ms=chance.random() * 100,
        )
        for number in range(400)
    ]
    book.add(every)
    whole = Window(since=NOW - 5 * DAY, until=NOW + HOUR)
    by = (By.KEY, By.MODEL, By.STATUS, By.DAY)
    before = book.sums(whole, by)
    assert sum(one.requests for one in before) == 400
    assert book.roll_up(NOW) > 50
    assert book.sums(whole, by) == before
    cut = (NOW - 2 * DAY) // HOUR * HOUR
    gone = [one for one in every if one.at < cut]
    assert book.prune(NOW - 2 * DAY) == len(gone) > 100
    assert count("uses") == 400 - len(gone)
    assert book.sums(whole, by) == before
    assert book.prune(NOW - 2 * DAY) == 0


def test_a_day_that_is_over_is_answered_from_its_own_sums(
    book: SqlUsageBook, database: Database, count: Count
) -> None:
    chance = random.Random(12)
    every = [
        use(
            str(number),
            NOW - chance.random() * 6 * DAY,
            key=chance.choice("abc"),
            status=chance.choice((200, 200, 503)),
            ms=chance.random() * 100,
        )
        for number in range(300)
    ]
    book.add(every)
    starts = [NOW - chance.random() * 7 * DAY for _ in range(8)]
    windows = [
        Window(),
        Window(key="b"),
        Window(since=NOW - NOW % DAY - 3 * DAY, until=NOW - NOW % DAY),
        *(Window(since=start, until=start + chance.random() * 4 * DAY) for start in starts),
    ]
    questions = [
        (window, by)
        for window in windows
        for by in [(), (By.DAY,), (By.KEY, By.STATUS), (By.HOUR,)]
    ]
    before = [book.sums(*one) for one in questions]
    book.roll_up(NOW)
    assert count("days") == 6  # and today is not over
    assert 6 <= count("uses_daily") <= 6 * 3 * 2
    assert [book.sums(*one) for one in questions] == before
    with database.write() as connection:  # they are what is read
        connection.execute(text("UPDATE uses_daily SET tokens = tokens + 1000"))
    wrong = [
        now != then for now, then in zip([book.sums(*q) for q in questions], before, strict=True)
    ]
    assert wrong[:3] == [True] * 3
    assert not any(wrong[3::4])


def test_who_comes_late_to_a_day_is_counted_at_once_and_added_up_again(
    book: SqlUsageBook, count: Count
) -> None:
    yesterday = NOW - DAY
    book.add([use("1", yesterday), use("2", yesterday - HOUR)])
    book.roll_up(NOW)
    assert (count("days"), count("uses_daily")) == (1, 1)
    for number in range(3, 6):
        book.add([use(str(number), yesterday + HOUR)])
        assert book.sums(Window())[0].requests == number
        book.roll_up(NOW)
        assert book.sums(Window())[0].requests == number
        assert (count("days"), count("uses_daily")) == (1, 1)
    book.prune(NOW)
    assert book.sums(Window(), (By.DAY,))[0].requests == 5


def test_a_day_waits_until_all_its_hours_are_added_up(book: SqlUsageBook, count: Count) -> None:
    book.add([use("1", NOW - DAY), use("2", NOW - DAY - HOUR)])
    told = iter([False, True, True])
    book.roll_up(NOW, lambda: next(told))
    assert (count("uses_hourly"), count("days")) == (1, 0)
    book.roll_up(NOW)
    assert (count("uses_hourly"), count("days")) == (2, 1)


def test_more_than_may_be_read_is_refused_and_sums_count_once(book: SqlUsageBook) -> None:
    book.add([use(str(number), NOW - DAY + number) for number in range(50)])
    with pytest.raises(InvalidRequest, match="more than 49 sums and records"):
        book.summed(Window(), at_most=49)
    assert book.summed(Window(), at_most=50)[1].requests == 50
    with pytest.raises(InvalidRequest):
        book.summed(Window(), (By.USER,), at_most=49)
    book.roll_up(NOW)
    assert book.summed(Window(), at_most=1)[1].requests == 50
    assert book.summed(Window(), (By.HOUR,), at_most=1)[1].requests == 50
    with pytest.raises(InvalidRequest):
        book.summed(Window(), (By.USER,), at_most=49)


def test_part_of_an_hour_comes_from_its_records(book: SqlUsageBook) -> None:
    start = (NOW - 3 * HOUR) // HOUR * HOUR
    book.add([use(str(minute), start + 60 * minute) for minute in range(120)])
    book.roll_up(NOW)
    for since, until in [(0, 120), (1, 119), (0, 90), (30, 60), (59, 61), (60, 120), (10, 20)]:
        window = Window(since=start + 60 * since, until=start + 60 * until)
        assert book.sums(window)[0].requests == until - since, (since, until)
        assert len(book.records(window, Page())) == until - since


def test_a_pruned_hour_counts_as_a_whole_where_it_begins(book: SqlUsageBook) -> None:
    start = (NOW - 3 * HOUR) // HOUR * HOUR
    book.add([use(str(minute), start + 60 * minute) for minute in range(60)])
    book.roll_up(NOW)
    book.prune(NOW)
    assert book.sums(Window(since=start, until=start + 60))[0].requests == 60
    assert book.sums(Window(since=start + 60))[0].requests == 0
    assert book.sums(Window(until=start))[0].requests == 0


def test_a_window_says_up_to_when_its_records_are_gone(book: SqlUsageBook) -> None:
    start = (NOW - 3 * HOUR) // HOUR * HOUR
    book.add([use("1", start + 10), use("2", NOW)])
    book.roll_up(NOW)
    assert book.pruned_until(Window()) is None
    book.prune(NOW - HOUR)
    assert book.pruned_until(Window()) == book.pruned_until(Window(since=start + 9)) == start + HOUR
    assert book.pruned_until(Window(since=start + HOUR)) is None
    assert book.pruned_until(Window(until=start)) is None
    assert [one.group for one in book.sums(Window(since=start + HOUR), (By.USER,))] == [("",)]


def test_what_only_records_tell_is_refused_where_they_are_gone(book: SqlUsageBook) -> None:
    book.add([use("1", NOW - 2 * DAY, user="alice"), use("2", NOW, user="bob")])
    book.roll_up(NOW)
    book.prune(NOW - DAY)
    with pytest.raises(InvalidRequest, match=r"usage by user is known from 2026-11-19T11:00Z on"):
        book.sums(Window(), (By.KEY, By.USER))
    later = book.sums(Window(since=NOW - DAY), (By.USER,))
    assert [one.group for one in later] == [("bob",)]


def test_an_hour_whose_sums_are_not_made_is_not_pruned(book: SqlUsageBook, count: Count) -> None:
    book.add([use("1", NOW - DAY)])
    assert book.prune(NOW) == 0
    book.roll_up(NOW)
    book.add([use("2", NOW - DAY)])
    assert book.prune(NOW) == 0
    assert count("uses") == 2


def test_what_is_pruned_half_way_counts_once_and_is_pruned_to_the_end_later(
    book: SqlUsageBook, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emblem.ledger.rollup.CHUNK", 2)
    start = (NOW - DAY) // HOUR * HOUR
    book.add([use(str(number), start + number) for number in range(5)])
    book.roll_up(NOW)
    chunks = iter((False, False))  # the hour, and the first two of its records

    def stop() -> bool:
        return next(chunks, True)

    assert book.prune(NOW, stop) == 2
    assert count("uses") == 3
    assert book.records(Window(), Page()) == []
    for window in (Window(), Window(since=start, until=start + 2)):
        assert totals(book.sums(window)) == [((), 5, 0, 10, 50, 5, 1000)]
    assert book.sums(Window(since=start + 2))[0].requests == 0
    assert book.prune(NOW) == 3
    assert count("uses") == 0


def test_hours_that_wait_are_left_when_it_is_time_to_end(book: SqlUsageBook) -> None:
    book.add([use(str(number), NOW - HOUR * (1 + number)) for number in range(3)])
    turns = iter((False,))
    assert book.roll_up(NOW, lambda: next(turns, True)) == 1
    assert book.roll_up(NOW) == 2


def test_a_record_of_a_pruned_hour_is_too_late_and_counted_so(book: SqlUsageBook) -> None:
    book.add([use("1", NOW - DAY)])
    book.roll_up(NOW)
    book.prune(NOW)
    assert book.add([use("1", NOW - DAY), use("2", NOW - DAY), use("3", NOW)]) == 2
    assert totals(book.sums(Window())) == [((), 2, 0, 4, 20, 2, 400)]


def test_what_was_spent_is_todays_tokens_and_this_months_money(book: SqlUsageBook) -> None:
    month = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    today = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
    book.add(
        [
            use("before", month - 1),
            use("month", month, key="key-b", team=None),
            use("yesterday", today - 1),
            use("today", today),
            use("again", today + 1, key="key-c"),
            use("failed", today + 2, status=503),
            use("refused", today + 3, status=429),
            use("left", today + 4, status=499, tokens=1, cost=1),
        ]
    )
    expected = [
        Spent("key-a", team=False, tokens_today=11, cost_this_month=401),
        Spent("key-b", team=False, tokens_today=0, cost_this_month=200),
        Spent("key-c", team=False, tokens_today=10, cost_this_month=200),
        Spent("team-a", team=True, tokens_today=21, cost_this_month=601),
    ]
    assert book.spent(NOW) == expected
    book.roll_up(NOW)
    assert book.spent(NOW) == expected


def test_several_may_write_roll_up_prune_and_read_at_once(
    book: SqlUsageBook, database: Database
) -> None:
    """Whatever the order, nothing is missing, nothing is there twice, and nobody fails."""
    failures: list[BaseException] = []
    start = (NOW - 30 * HOUR) // HOUR * HOUR  # of a day that is over
    done = threading.Event()

    def guarded(work: object, *given: object) -> None:
        try:
            work(*given)  # type: ignore[operator]
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    def write(writer: int) -> None:
        own = SqlUsageBook(database)
        for batch in range(12):
            late = own.add(
                [
                    use(f"{writer}-{batch}-{n}", start + HOUR * ((batch + n) % 4), key=str(n % 3))
                    for n in range(10)
                ]
            )
            assert late == 0

    def tidy() -> None:
        own = SqlUsageBook(database)
        while not done.is_set():
            own.roll_up(NOW)

    def read() -> None:
        seen = 0
        while not done.is_set():
            now = book.sums(Window())[0].requests
            assert now >= seen
            seen = now

    writers = [threading.Thread(target=guarded, args=(write, n)) for n in range(3)]
    others = [threading.Thread(target=guarded, args=(work,)) for work in (tidy, tidy, read)]
    for one in (*writers, *others):
        one.start()
    for one in writers:
        one.join()
    done.set()
    for one in others:
        one.join()
    assert failures == []
    assert book.sums(Window())[0].requests == 3 * 12 * 10
    book.roll_up(NOW)
    assert book.prune(NOW) == 360
    assert book.sums(Window())[0].requests == 360
