"""Every format into every other, with odd values: each vector stays with its row.

The vectors come from an embedder that makes them of the text's SHA-256, so that a vector tells
which text it is of; at the end a real model does the same.
"""

import csv
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emblem import opening
from emblem.cli import embed_file
from emblem.cli.embed_asked import Asked
from emblem.cli.embed_model import Opened
from emblem.cli.main import _attempt
from emblem.config import Settings
from emblem.files.npy import rows_of as row_numbers_of
from emblem.job import Manner, errors_of
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Vectors

SPACE = Space("hashed", "a" * 64, "b" * 64, 16, normalised=True, known_recipe=True)
INPUTS = ("txt", "jsonl", "csv", "parquet")
OUTPUTS = ("jsonl", "parquet", "npy", "lance")
TEN_MB = 10_000_000

Row = dict[str, Any]


def vector_of(text: str) -> Vectors:
    bits = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint16)
    vector = bits.astype(np.float64) + 1
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class Hashed:
    """An embedder whose vectors tell the text."""

    space = SPACE

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        texts = [one for one in request.inputs if isinstance(one, str)]
        over = tuple(at for at, text in enumerate(texts) if len(text) > 100)
        vectors = np.stack([vector_of(text) for text in texts])
        return EmbedResult(vectors, np.ones(len(texts), np.int32), over, "hashed")

    def problem(self) -> str | None:
        return None

    async def aclose(self) -> None:
        pass


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def opened(asked: Asked) -> AsyncIterator[Opened]:
        yield Opened(Hashed(), "hashed", str(SPACE), 100, Manner())

    monkeypatch.setattr(embed_file, "opened", opened)


def embed(source: Path, out: Path, *flags: str) -> int:
    return _attempt(["embed", str(source), "-o", str(out), "--quiet", *flags])


def rows_of(out: Path) -> list[Row]:
    """Read an output as its own library does; a npy has the number of the row alone."""
    match out.suffix:
        case ".jsonl":
            with out.open("rb") as lines:
                return [json.loads(line) for line in lines]
        case ".parquet":
            return _listed(pq.read_table(out))
        case ".lance":
            return _listed(lancedb.connect(out.parent).open_table(out.stem).to_arrow())
        case _:
            numbers, vectors = np.load(row_numbers_of(out)), np.load(out)
            pairs = zip(numbers.tolist(), vectors, strict=True)
            return [{"row": number, "embedding": vector} for number, vector in pairs]


def _listed(table: pa.Table) -> list[Row]:
    found: list[Row] = table.to_pylist()
    return found


def failures(out: Path) -> dict[int, str]:
    errors = errors_of(out)
    if not errors.exists():
        return {}
    lines = map(json.loads, errors.read_text().splitlines())
    return {line["row"]: line["why"] for line in lines}


# Texts that a line, a cell and a JSON string can all hold; None is null and "" empty.
TEXTS = [
    "plain",
    None,
    "",
    "twice",
    "twice",
    "emoji 👩‍🚀 😀 中文 עברית",
    "nul \0 byte",
    "quotes \" and ', commas, and \\ backslashes \\n",
    " spaces around \t",
    "x" * 300,
    "=1+1",
    "null",
    "\u2028 line \x85 separators \x0b\x0c",
]
MORE = ["two\nlines", "carriage\r\nreturn", "\n"]  # that no line of a text file can hold


def write_txt(path: Path) -> list[Row]:
    texts = [one for one in TEXTS if one is not None]
    path.write_bytes("\n".join(texts).encode() + b"\n")
    return [{"text": text} for text in texts]


def write_jsonl(path: Path) -> list[Row]:
    rows: list[Row] = [
        {"id": number // 2, "text": text, "score": number / 4, "tags": ["a", None][: number % 3]}
        for number, text in enumerate([*TEXTS, *MORE])
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return rows


def write_csv(path: Path) -> list[Row]:
    texts = ["" if one is None else one for one in [*TEXTS, *MORE]]
    rows: list[Row] = [{"id": str(n // 2), "text": text} for n, text in enumerate(texts)]
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, ["id", "text"])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def write_parquet(path: Path) -> list[Row]:
    texts = [*TEXTS, *MORE]
    rows: list[Row] = [
        {"id": n // 2, "text": text, "tree": {"a": [n, None]} if n % 2 else None}
        for n, text in enumerate(texts)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=5)
    return rows


WRITERS: dict[str, Callable[[Path], list[Row]]] = {
    "txt": write_txt,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


def check(out: Path, rows: list[Row], wrong: dict[int, str]) -> None:
    """See that an output has all rows but the wrong ones, and each its own vector."""
    assert failures(out) == wrong
    good = [number for number in range(len(rows)) if number not in wrong]
    found = rows_of(out)
    assert len(found) == len(good)
    for number, row in zip(good, found, strict=True):
        text = rows[number]["text"]
        assert np.array_equal(np.asarray(row.pop("embedding"), np.float32), vector_of(text))
        if out.suffix == ".npy":
            assert row == {"row": number}
        else:
            assert row.pop("overflow") is (len(text) > 100)
            assert row == rows[number]


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("given", INPUTS)
def test_every_vector_stays_with_its_row_and_every_column_as_it_was(
    hashed: None, tmp_path: Path, given: str, output: str
) -> None:
    rows = WRITERS[given](tmp_path / f"in.{given}")
    wrong = {
        number: "is empty" if row["text"] == "" else "is null"
        for number, row in enumerate(rows)
        if not row["text"]
    }
    assert 1 <= len(wrong) <= 2
    assert embed(tmp_path / f"in.{given}", tmp_path / f"out.{output}") == embed_file.SOME_FAILED
    check(tmp_path / f"out.{output}", rows, wrong)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("count", [0, 1])
def test_no_row_and_one_row(
    hashed: None, tmp_path: Path, given: str, output: str, count: int
) -> None:
    source, out = tmp_path / f"in.{given}", tmp_path / f"out.{output}"
    match given:
        case "txt":
            source.write_text("only\n" * count)
        case "jsonl":
            source.write_text('{"text": "only"}\n' * count)
        case "csv":
            source.write_text("text\n" + "only\n" * count)
        case _:
            schema = pa.schema([("text", pa.string())])
            pq.write_table(pa.table({"text": ["only"] * count}, schema=schema), source)
    assert embed(source, out) == 0
    check(out, [{"text": "only"}] * count, {})


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("given", INPUTS)
def test_a_text_of_ten_megabytes_is_one_row(
    hashed: None, tmp_path: Path, given: str, output: str
) -> None:
    texts = ["before", "word " * (TEN_MB // 5) + "end", "after"]
    source, out = tmp_path / f"in.{given}", tmp_path / f"out.{output}"
    match given:
        case "txt":
            source.write_text("".join(f"{text}\n" for text in texts))
        case "jsonl":
            source.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
        case "csv":
            source.write_text("text\n" + "".join(f'"{text}"\n' for text in texts))
        case _:
            pq.write_table(pa.table({"text": texts}), source)
    assert embed(source, out) == 0
    check(out, [{"text": text} for text in texts], {})


BAD_LINES = (
    b"\xef\xbb\xbf"
    b'{"text": "first", "n": 1}\r\n'
    b'{"text": "bad \xff byte"}\n'
    b'["no", "object"]\n'
    b'{"text": "half a pair \\ud800"}\n'
    b'{"text": "cut off\n'
    b'{"text": 5}\n'
    b'{"n": 7}\n'
    b'{"text": "nan", "n": NaN}\n'
    b"\n"
    b'{"text": "last", "n": null}'
)


@pytest.mark.parametrize("output", OUTPUTS)
def test_lines_that_are_no_objects_fail_alone(hashed: None, tmp_path: Path, output: str) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / f"out.{output}"
    source.write_bytes(BAD_LINES)
    assert embed(source, out) == embed_file.SOME_FAILED
    wrong = failures(out)
    assert list(wrong) == [1, 2, 3, 4, 5, 6, 7]
    rows = [{"text": "first", "n": 1}, *({} for _ in wrong), {"text": "last", "n": None}]
    check(out, rows, wrong)


def test_another_column_with_texts_and_numbers_is_refused_where_columns_have_one_type(
    hashed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a", "n": "b"}\n{"text": "c", "n": 5}\n')
    assert embed(tmp_path / "in.jsonl", tmp_path / "out.parquet") == 2
    said = capsys.readouterr().err
    assert "column `n` has a text in row 0 and a number in row 1" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("output", OUTPUTS)
def test_csv_with_a_mark_ragged_rows_and_bad_bytes(
    hashed: None, tmp_path: Path, output: str
) -> None:
    source, out = tmp_path / "in.csv", tmp_path / f"out.{output}"
    source.write_bytes(
        b'\xef\xbb\xbftext,id\r\nfirst,1\r\n"two\nlines",2\r\nonly\r\none,two,three\r\n'
        b"\xff,5\r\n\r\n,6\r\nlast,1\r\n"
    )
    assert embed(source, out) == embed_file.SOME_FAILED
    wrong = failures(out)
    assert list(wrong) == [2, 3, 4, 5]
    first, second = {"text": "first", "id": "1"}, {"text": "two\nlines", "id": "2"}
    check(out, [first, second, {}, {}, {}, {}, {"text": "last", "id": "1"}], wrong)


@pytest.mark.parametrize("output", OUTPUTS)
def test_lines_of_text_with_a_mark_bad_bytes_and_no_end(
    hashed: None, tmp_path: Path, output: str
) -> None:
    source, out = tmp_path / "in.txt", tmp_path / f"out.{output}"
    source.write_bytes(b"\xef\xbb\xbffirst\r\nbad \xc3\nthird")
    assert embed(source, out) == embed_file.SOME_FAILED
    wrong = failures(out)
    assert list(wrong) == [1]
    check(out, [{"text": "first"}, {}, {"text": "third"}], wrong)


@pytest.mark.parametrize("given", INPUTS)
def test_a_column_that_is_not_there_is_one_line(
    hashed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    WRITERS[given](tmp_path / f"in.{given}")
    flags = ("--column", "body")
    assert embed(tmp_path / f"in.{given}", tmp_path / "out.parquet", *flags) == 2
    said = capsys.readouterr().err
    assert f"in.{given} has no column 'body'; its columns: " in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("column", ["embedding", "overflow"])
@pytest.mark.parametrize("output", ["jsonl", "parquet", "lance"])
@pytest.mark.parametrize("given", ["jsonl", "csv", "parquet"])
def test_a_column_named_like_ours_is_refused_before_anything_is_computed(
    hashed: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    given: str,
    output: str,
    column: str,
) -> None:
    source, out = tmp_path / f"in.{given}", tmp_path / f"out.{output}"
    match given:
        case "jsonl":
            source.write_text(f'{{"text": "a"}}\n{{"text": "b", "{column}": 1}}\n')
        case "csv":
            source.write_text(f"text,{column}\na,1\n")
        case _:
            pq.write_table(pa.table({"text": ["a"], column: [1]}), source)
    assert embed(source, out) == 2
    said = capsys.readouterr().err
    assert f"has a column '{column}' already" in said
    assert said.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("output", ["parquet", "lance"])
def test_odd_numbers_keep_every_digit(hashed: None, tmp_path: Path, output: str) -> None:
    source, out = tmp_path / "in.jsonl", tmp_path / f"out.{output}"
    rows: list[Row] = [
        {"text": "a", "big": 2**63, "small": -(2**63), "real": 0.1},
        {"text": "b", "big": 2**64 - 1, "small": 2**53 + 1, "real": 2},
    ]
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert embed(source, out) == 0
    check(out, rows, {})


@pytest.mark.parametrize("output", ["parquet", "lance"])
def test_a_whole_number_beyond_64_bits_is_one_line_but_jsonl_keeps_it(
    hashed: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"text": "a", "n": 1}\n{"text": "b", "n": 36893488147419103232}\n')
    assert embed(source, tmp_path / f"out.{output}") == 2
    assert "`n` has the whole number 36893488147419103232 in row 1" in capsys.readouterr().err
    assert embed(source, tmp_path / "out.jsonl") == 0
    assert [row["n"] for row in rows_of(tmp_path / "out.jsonl")] == [1, 2**65]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8", "binary", "ubinary"])
def test_every_number_format_is_the_same_numbers_in_every_format(
    hashed: None, tmp_path: Path, dtype: str
) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["one", "two", "three"]}), source)
    found = []
    for output in OUTPUTS:
        out = tmp_path / f"out.{output}"
        assert embed(source, out, "--dtype", dtype) == 0
        found.append([np.asarray(row["embedding"], np.float64).tolist() for row in rows_of(out)])
    jsonl, *others = found
    assert len(jsonl) == 3
    for one in others:
        if dtype == "float16":  # whose digits in JSON are as few as tell it apart
            assert np.array_equal(np.float16(one), np.float16(jsonl))
        elif dtype == "float32":
            assert np.array_equal(np.float32(one), np.float32(jsonl))
        else:
            assert one == jsonl


def test_parquet_into_json_lines_has_valid_json_only(hashed: None, tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["a", "b"],
            "real": [float("nan"), float("inf")],
            "blob": [b"\xff", None],
            "when": pa.array([1, None], pa.timestamp("ns", "UTC")),
            "price": pa.array([1, None]).cast(pa.decimal128(25, 2)),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    assert embed(tmp_path / "in.parquet", tmp_path / "out.jsonl") == 0

    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    first, second = (json.loads(line, parse_constant=refuse) for line in lines)
    assert (first["real"], second["real"]) == (None, None)
    assert (first["blob"], first["price"]) == ("/w==", "1.00")
    assert first["when"] == "1970-01-01T00:00:00.000000001Z"
    assert second["blob"] is second["when"] is second["price"] is None


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_real_models_vectors_are_those_of_the_texts_alone(
    model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setenv("EMBLEM_HOME", str(model_home))
    rows = write_parquet(tmp_path / "in.parquet")
    out = tmp_path / f"out.{output}"
    code = embed(tmp_path / "in.parquet", out, "-m", "wordllama-256")
    assert code == embed_file.SOME_FAILED
    good = [row["text"] for number, row in enumerate(rows) if number not in failures(out)]
    expected = _alone(model_home, good)
    found = np.array([row["embedding"] for row in rows_of(out)], np.float32)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-6


def _alone(home: Path, texts: list[str]) -> Vectors:
    """Embed each text in a request of its own."""
    import asyncio

    async def all_of_them() -> Vectors:
        engine = opening.open_model(
            home / "models" / "wordllama-256", "w", Settings(home=str(home))
        )
        try:
            each = [await engine.embed(EmbedRequest((text,))) for text in texts]
            return np.concatenate([one.vectors for one in each])
        finally:
            await engine.aclose()

    return asyncio.run(all_of_them())
