"""A job that ends anywhere goes on from there, and gives the same bytes as one that did not."""

import asyncio
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emblem import job as jobs
from emblem.errors import DeploymentFailed, InvalidRequest
from emblem.job import Choices, Journal, Manner, NumberFormat, Shard, Tally, durable, journal
from emblem.job import finish as finishing
from emblem.job.values import Failure
from emblem.types import EmbedRequest, EmbedResult
from job.small_job import CHUNK, Died, SmallJob, lines_of, write_texts
from tiny_engine import tiny_engine, vector_of

pytestmark = pytest.mark.anyio
ROWS = 30


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "text.jsonl", ROWS)


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "text.jsonl"
    }


def undisturbed(text: Path, out: str, **more: object) -> dict[str, bytes]:
    """Run a job in a folder of its own and give every file that it left."""
    folder = text.parent / "undisturbed"
    folder.mkdir(exist_ok=True)
    asyncio.run(SmallJob(text, folder / out, **more).run())  # type: ignore[arg-type]
    return files_in(folder)


async def test_every_row_has_its_own_vector_and_its_columns(text: Path, tmp_path: Path) -> None:
    job = SmallJob(text, tmp_path / "out.jsonl")
    tally = await job.run()
    assert (tally.rows, tally.failed) == (ROWS, 4)
    before = lines_of(text)
    good = [row for row in before if row["text"] is not None]
    after = lines_of(job.out)
    assert [{k: row[k] for k in ("id", "text")} for row in after] == good
    for row in after:
        expected = vector_of(str(row["text"]))
        np.testing.assert_allclose(np.array(row["embedding"]), expected, atol=1e-6)
        assert row["overflow"] == (len(str(row["text"]).split()) > 10)
    assert sum(bool(row["overflow"]) for row in after) == tally.overflowed
    assert lines_of(job.places.errors) == [{"row": n, "why": "is null"} for n in (3, 10, 17, 24)]
    assert not job.places.partial.exists()


@pytest.mark.parametrize("out", ["out.jsonl", "out.npy", "out.parquet"])
@pytest.mark.parametrize("stop", range(0, ROWS + 1, CHUNK))
async def test_a_job_that_died_after_any_chunk_gives_the_same_bytes(
    text: Path, tmp_path: Path, out: str, stop: int
) -> None:
    expected = await asyncio.to_thread(undisturbed, text, out)
    folder = tmp_path / "killed"
    folder.mkdir()
    job = SmallJob(text, folder / out)
    with pytest.raises(Died):
        await job.run(until_row=stop)
    assert not job.out.exists()
    await job.run()
    assert files_in(folder) == expected


class Counted:
    """Dies at the n-th step that changes the disk."""

    def __init__(self, patch: pytest.MonkeyPatch, last: int) -> None:
        self.left = last
        for module, name in (
            (durable, "sync_names"),
            (journal, "sync_names"),
            (journal, "sync"),
            (journal, "write_whole"),
            (journal, "remove"),
            (finishing, "sync"),
            (finishing, "remove"),
            (finishing, "move"),
        ):
            patch.setattr(module, name, self._counted(getattr(module, name)))

    def _counted(self, work):  # type: ignore[no-untyped-def]
        def step(*args):  # type: ignore[no-untyped-def]
            if self.left == 0:
                raise Died
            self.left -= 1
            return work(*args)

        return step


@pytest.mark.parametrize("out", ["out.jsonl", "out.npy", "out.parquet"])
def test_a_job_that_died_at_any_step_gives_the_same_bytes(
    text: Path, tmp_path: Path, out: str
) -> None:
    write_texts(text, 2 * CHUNK + 1)
    expected = undisturbed(text, out)
    died, steps, finished = 0, 0, False
    while not finished:
        folder = tmp_path / f"killed-{steps}"
        folder.mkdir()
        job = SmallJob(text, folder / out)
        with pytest.MonkeyPatch.context() as patch:
            Counted(patch, steps)
            try:
                asyncio.run(job.run())
                finished = True
            except Died:
                died += 1
        if not (job.out.exists() and journal_is_gone(job)):
            asyncio.run(job.run())
        assert files_in(folder) == expected, f"after dying at step {steps}"
        steps += 1
    assert died > 15


def journal_is_gone(job: SmallJob) -> bool:
    """Tell whether the job was over, but for what was left of its folder."""
    if not (job.places.partial / "job.json").exists():
        with Journal(job.places.partial):
            pass  # which clears up
        return True
    return False


def test_two_deaths_in_a_row_do_no_harm(text: Path, tmp_path: Path) -> None:
    expected = undisturbed(text, "out.jsonl")
    folder = tmp_path / "killed"
    folder.mkdir()
    job = SmallJob(text, folder / "out.jsonl")
    for stop in (CHUNK, CHUNK, 3 * CHUNK):
        with pytest.raises(Died):
            asyncio.run(job.run(until_row=stop))
    asyncio.run(job.run())
    assert files_in(folder) == expected


def test_a_line_that_was_half_written_is_done_again(text: Path, tmp_path: Path) -> None:
    expected = undisturbed(text, "out.jsonl")
    folder = tmp_path / "killed"
    folder.mkdir()
    job = SmallJob(text, folder / "out.jsonl")
    with pytest.raises(Died):
        asyncio.run(job.run(until_row=3 * CHUNK))
    lines = job.places.partial / "journal.jsonl"
    whole = lines.read_bytes()
    for cut in (1, 5, len(whole.splitlines()[-1])):
        lines.write_bytes(whole[:-cut])
        (job.places.partial / "parts" / "000000000900.part").write_bytes(b"left over")
        with Journal(job.places.partial) as book:
            jobs.claim(book, job.made(), restart=False)
            assert book.next_row == 2 * CHUNK
            assert len(list(book.parts.iterdir())) == 2
        with pytest.raises(Died):
            asyncio.run(job.run(until_row=3 * CHUNK))
    asyncio.run(job.run())
    assert files_in(folder) == expected


def test_what_differs_from_the_job_that_was_begun_is_named(text: Path, tmp_path: Path) -> None:
    job = SmallJob(text, tmp_path / "out.jsonl")
    with pytest.raises(Died):
        asyncio.run(job.run(until_row=CHUNK))
    other = SmallJob(text, job.out, Choices(dimensions=4, dtype=NumberFormat.INT8))
    with pytest.raises(InvalidRequest) as raised:
        asyncio.run(other.run())
    said = str(raised.value)
    assert "its dimensions was not set, and is 4 now; its dtype was float32, and is int8" in said
    assert "--restart" in said
    write_texts(text, ROWS + 1)
    with pytest.raises(InvalidRequest, match="the input has changed since"):
        asyncio.run(job.run())
    asyncio.run(job.run(restart=True))
    assert len(lines_of(job.out)) == ROWS + 1 - 4


def test_two_runs_of_one_job_do_not_mix(text: Path, tmp_path: Path) -> None:
    job = SmallJob(text, tmp_path / "out.jsonl")
    with (
        Journal(job.places.partial),
        pytest.raises(InvalidRequest, match="another run is at work"),
        Journal(job.places.partial),
    ):
        pass
    assert not job.places.partial.exists()


def test_an_input_that_changes_meanwhile_is_told(text: Path, tmp_path: Path) -> None:
    job = SmallJob(text, tmp_path / "out.jsonl")

    async def run() -> None:
        made = job.made()
        with Journal(job.places.partial) as book:
            jobs.claim(book, made, restart=False)
            async with tiny_engine() as engine:
                await jobs.run(made, engine, book, lambda progress: text.touch())

    with pytest.raises(InvalidRequest, match="the input was changed while it was read"):
        asyncio.run(run())
    assert not job.out.exists()


def test_an_input_that_gives_fewer_rows_than_were_counted_makes_no_output(
    text: Path, tmp_path: Path
) -> None:
    job = SmallJob(text, tmp_path / "out.jsonl")

    async def run() -> None:
        made = job.made()
        more = replace(made, scan=replace(made.scan, rows=ROWS + 1))
        with Journal(job.places.partial) as book:
            jobs.claim(book, more, restart=False)
            async with tiny_engine() as engine:
                await jobs.run(more, engine, book, lambda _: None)

    with pytest.raises(InvalidRequest, match="ended before row 30, and had 31 rows"):
        asyncio.run(run())
    assert not job.out.exists()


@pytest.mark.parametrize("of", [1, 2, 3, 20])
@pytest.mark.parametrize("out", ["out.jsonl", "out.npy", "out.parquet"])
def test_shards_merged_equal_the_whole(text: Path, tmp_path: Path, out: str, of: int) -> None:
    expected = undisturbed(text, out)
    folder = tmp_path / "shards"
    folder.mkdir()
    shards = [SmallJob(text, folder / out, shard=Shard(n, of)) for n in range(1, of + 1)]
    tallies = [asyncio.run(one.run()) for one in shards]
    assert sum(tallies, Tally()).rows == ROWS
    if of == 1:
        assert files_in(folder) == expected
        return
    merged = tmp_path / "merged"
    merged.mkdir()
    paths = [one.places.out for one in reversed(shards)]
    tally = jobs.merge(merged / out, paths, sink, force=False)
    assert (tally.rows, tally.failed) == (ROWS, 4)
    assert files_in(merged) == expected


def test_shards_in_lance_merged_are_the_same_table(text: Path, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb")
    for number in (0, 1, 2):
        shard = Shard(number, 2) if number else Shard()
        asyncio.run(SmallJob(text, tmp_path / "out.lance", shard=shard).run())
    paths = [tmp_path / f"out-{n:05}-of-00002.lance" for n in (2, 1)]
    jobs.merge(tmp_path / "merged.lance", paths, sink, force=False)
    tables = lancedb.connect(tmp_path)
    whole, merged = (tables.open_table(name).to_arrow() for name in ("out", "merged"))
    assert whole.num_rows == ROWS - 4
    assert merged.equals(whole)


def sink(path, layout):  # type: ignore[no-untyped-def]
    from emblem.files import formats

    return formats.sink(path)(layout)


def test_shards_of_another_job_or_not_all_of_them_are_refused(text: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        asyncio.run(SmallJob(text, tmp_path / "a.jsonl", shard=Shard(number, 3)).run())
    other = SmallJob(text, tmp_path / "b.jsonl", Choices(dimensions=4), Shard(3, 3))
    asyncio.run(other.run())
    first, second, third = (tmp_path / f"a-{n:05}-of-00003.jsonl" for n in (1, 2, 3))
    out = tmp_path / "out.jsonl"
    for paths, said in (
        ([first, third], "missing: shard 2/3"),
        ([first, second, third, first], "shard 1/3 is given twice"),
        ([first, second, other.places.out], r"is of another job than .*: .* dimensions \(4\)"),
        ([text], "text.jsonl has no text.jsonl.shard.json beside it"),
        ([tmp_path / "gone.jsonl"], "there is no .*gone.jsonl"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            jobs.merge(out, paths, sink, force=False)
    with pytest.raises(InvalidRequest, match=r"the shards are \.jsonl, so out\.npy must be too"):
        jobs.merge(tmp_path / "out.npy", [first, second, third], sink, force=False)
    assert not out.exists()
    jobs.merge(out, [third, first, second], sink, force=False)
    with pytest.raises(InvalidRequest, match=r"out\.jsonl is there already"):
        jobs.merge(out, [third, first, second], sink, force=False)
    jobs.merge(out, [third, first, second], sink, force=True)


@pytest.fixture
def pair(text: Path, tmp_path: Path) -> list[Path]:
    """Two shards as vectors alone, with their row numbers beside them."""
    jobs_of_both = [SmallJob(text, tmp_path / "a.npy", shard=Shard(n, 2)) for n in (1, 2)]
    for job in jobs_of_both:
        asyncio.run(job.run())
    return [job.places.out for job in jobs_of_both]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("a-00002-of-00002.npy", "is not what was written as shard 2/2: it has other content"),
        ("a-00001-of-00002.rows.npy", "is not what was written as shard 1/2: it has other"),
    ],
)
def test_a_shard_whose_content_is_another_is_named(
    pair: list[Path], tmp_path: Path, changed: str, said: str
) -> None:
    content = bytearray((tmp_path / changed).read_bytes())
    content[-1] ^= 1
    (tmp_path / changed).write_bytes(content)
    with pytest.raises(InvalidRequest, match=f"{changed} {said}"):
        jobs.merge(tmp_path / "out.npy", pair, sink, force=False)
    (tmp_path / changed).write_bytes(content[:-4])
    with pytest.raises(InvalidRequest, match=rf"{changed} .* has \d+ bytes, not \d+"):
        jobs.merge(tmp_path / "out.npy", pair, sink, force=False)
    (tmp_path / changed).unlink()
    with pytest.raises(InvalidRequest, match=f"there is no .*{changed}"):
        jobs.merge(tmp_path / "out.npy", pair, sink, force=False)
    assert not list(tmp_path.glob("out.*"))


def test_a_shard_that_was_renamed_with_what_is_beside_it_is_taken(
    pair: list[Path], tmp_path: Path
) -> None:
    for ending in (".npy", ".rows.npy", ".npy.shard.json"):
        (tmp_path / f"a-00001-of-00002{ending}").rename(tmp_path / f"first{ending}")
    tally = jobs.merge(tmp_path / "out.npy", [tmp_path / "first.npy", pair[1]], sink, force=False)
    assert tally.rows == ROWS


def test_shards_may_not_be_written_over_by_what_is_made_of_them(
    pair: list[Path], tmp_path: Path
) -> None:
    before = files_in(tmp_path)
    for out in (pair[0], tmp_path / "." / ".." / tmp_path.name / pair[1].name):
        with pytest.raises(InvalidRequest, match=r"would be written over .*, which is read"):
            jobs.merge(out, pair, sink, force=True)
    assert files_in(tmp_path) == before


def test_rows_that_failed_are_known_to_the_shards_themselves(
    pair: list[Path], tmp_path: Path
) -> None:
    for path in pair:
        jobs.errors_of(path).unlink()
    jobs.merge(tmp_path / "out.npy", pair, sink, force=False)
    failed = lines_of(jobs.errors_of(tmp_path / "out.npy"))
    assert failed == [{"row": n, "why": "is null"} for n in (3, 10, 17, 24)]
    beside = jobs.sidecar_of(pair[0])
    about = json.loads(beside.read_bytes())
    beside.write_text(json.dumps({**about, "failures": about["failures"][1:]}))
    with pytest.raises(InvalidRequest, match="is broken: it names 1 rows that failed, of 2"):
        jobs.merge(tmp_path / "again.npy", pair, sink, force=False)


def test_a_merge_that_died_at_any_step_is_done_again(pair: list[Path], tmp_path: Path) -> None:
    jobs.merge(tmp_path / "whole.npy", pair, sink, force=False)
    died, finished = 0, False
    while not finished:
        folder = tmp_path / f"killed-{died}"
        folder.mkdir()
        out = folder / "out.npy"
        with pytest.MonkeyPatch.context() as patch:
            Counted(patch, died)
            try:
                jobs.merge(out, pair, sink, force=False)
                finished = True
            except Died:
                died += 1
        if not out.exists() or (folder / "out.npy.partial" / "job.json").exists():
            jobs.merge(out, pair, sink, force=False)
        assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()
        assert len(lines_of(jobs.errors_of(out))) == 4
    assert died > 5


def test_a_job_that_died_once_its_output_was_there_answers_as_it_would_have(
    text: Path, tmp_path: Path
) -> None:
    job = SmallJob(text, tmp_path / "out.npy")

    async def run(end: type[BaseException] | None) -> Tally:
        made = job.made()
        with Journal(job.places.partial) as book:
            if not book.ending:
                job.places.refuse_existing()
            jobs.claim(book, made, restart=False)
            async with tiny_engine() as engine:
                tally = await jobs.run(made, engine, book, lambda _: None)
            jobs.complete(made, book, job.places)
            if end is not None:
                raise end
            return tally

    for _ in range(2):
        with pytest.raises(Died):
            asyncio.run(run(Died))
        assert job.out.exists()
    job.out.rename(tmp_path / "moved.npy")
    with pytest.raises(
        InvalidRequest, match=r"out\.npy was written, and is gone; remove .*partial"
    ):
        asyncio.run(run(None))
    (tmp_path / "moved.npy").rename(job.out)
    assert asyncio.run(run(None)).rows == ROWS
    assert not job.places.partial.exists()
    with pytest.raises(InvalidRequest, match="is there already"):
        asyncio.run(run(None))


@pytest.mark.parametrize("total", [0, 1, 4, 5, 100, 101])
@pytest.mark.parametrize("of", [1, 2, 3, 7])
def test_shards_cover_every_row_once_in_whole_chunks(total: int, of: int) -> None:
    ranges = [Shard(number, of).rows(total, CHUNK) for number in range(1, of + 1)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == total
    for (_, stop), (first, _) in pairwise(ranges):
        assert stop == first
        assert first % CHUNK == 0 or first == total


@pytest.mark.parametrize("written", ["0/2", "3/2", "1", "1/", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_shard_that_is_none_is_one_line(written: str) -> None:
    with pytest.raises(InvalidRequest, match="it must be like 1/4"):
        Shard.read(written)


@pytest.mark.parametrize("dtype", list(NumberFormat))
def test_numbers_are_written_as_the_server_would(
    text: Path, tmp_path: Path, dtype: NumberFormat
) -> None:
    floats = SmallJob(text, tmp_path / "floats.npy")
    job = SmallJob(text, tmp_path / "out.npy", Choices(dtype=dtype))
    for one in (floats, job):
        asyncio.run(one.run())
    vectors, full = np.load(job.out), np.load(floats.out)
    assert vectors.dtype == dtype.dtype
    match dtype:
        case NumberFormat.FLOAT32 | NumberFormat.FLOAT16:
            expected = full.astype(dtype.dtype)
        case NumberFormat.INT8:
            expected = np.rint(full * 127)
        case NumberFormat.UINT8:
            expected = np.rint(full * 127) + 128
        case NumberFormat.UBINARY:
            expected = np.packbits(full > 0, axis=1)
        case NumberFormat.BINARY:
            expected = np.packbits(full > 0, axis=1).astype(np.int16) - 128
    np.testing.assert_array_equal(vectors, expected)


def test_what_float16_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="too large for float16"):
        NumberFormat.FLOAT16.write(np.array([[70000.0]], np.float32))


class Dying:
    """An embedder that fails after so many requests, as a server does that went away."""

    def __init__(self, embedder: object, requests: int) -> None:
        self._embedder = embedder
        self._left = requests
        self.space = embedder.space  # type: ignore[attr-defined]

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        if self._left == 0:
            raise DeploymentFailed("the server went away")
        self._left -= 1
        result: EmbedResult = await self._embedder.embed(request)  # type: ignore[attr-defined]
        return result


async def test_a_server_that_goes_away_loses_nothing_of_what_is_done(
    text: Path, tmp_path: Path
) -> None:
    expected = await asyncio.to_thread(undisturbed, text, "out.jsonl")
    folder = tmp_path / "killed"
    folder.mkdir()
    job = SmallJob(text, folder / "out.jsonl", manner=Manner(in_process=False))
    async with tiny_engine() as engine:
        with pytest.raises(DeploymentFailed, match="went away"):
            await job.run(Dying(engine, 3))  # type: ignore[arg-type]
        with Journal(job.places.partial) as book:
            jobs.claim(book, job.made(), restart=False)
            assert book.next_row == 3 * CHUNK
        await job.run(Dying(engine, 99))  # type: ignore[arg-type]
    assert files_in(folder) == expected


async def test_a_cancelled_job_goes_on_later(text: Path, tmp_path: Path) -> None:
    expected = await asyncio.to_thread(undisturbed, text, "out.jsonl")
    folder = tmp_path / "killed"
    folder.mkdir()
    job = SmallJob(text, folder / "out.jsonl")
    made = job.made()
    with Journal(job.places.partial) as book:
        jobs.claim(book, made, restart=False)

        async def run() -> None:
            def report(progress: jobs.Progress) -> None:
                if progress.done.rows:
                    task.cancel()

            async with tiny_engine() as engine:
                await jobs.run(made, engine, book, report)

        task = asyncio.create_task(run())
        with pytest.raises(asyncio.CancelledError):
            await task
    await job.run()
    assert files_in(folder) == expected


async def test_no_rows_at_all_make_an_empty_output(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_bytes(b"")
    for name in ("out.jsonl", "out.npy"):
        tally = await SmallJob(empty, tmp_path / name).run()
        assert tally == Tally()
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert np.load(tmp_path / "out.npy").shape == (0, 8)


def test_errors_of_a_job_before_are_gone_where_none_failed_now(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("w1\n\nw2\n")
    job = SmallJob(text, tmp_path / "out.jsonl")
    asyncio.run(job.run())
    assert lines_of(job.places.errors) == [{"row": 1, "why": "is empty"}]
    text.write_text("w1\n")
    asyncio.run(job.run())
    assert not job.places.errors.exists()
    assert json.loads(job.out.read_bytes())["text"] == "w1"


def test_a_failure_never_has_the_text() -> None:
    assert set(Failure.__slots__) == {"row", "why", "file"}
