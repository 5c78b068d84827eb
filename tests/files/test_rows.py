"""Texts from lines, documents, JSON lines and CSV: which rows there are, and what is wrong with some."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emblem.errors import InvalidRequest
from emblem.files import formats, rows
from emblem.files.ports import Chunk, Files, Source


def source(path: Path, content: bytes, column: str | None = None) -> Source:
    path.write_bytes(content)
    kind = formats.SUFFIXES[path.suffix]
    made: Source = formats.source(kind)(Files((path,), (path.name,)), column)
    return made


def all_of(one: Source, size: int = 4) -> list[Chunk]:
    one.scan(typed=False)
    return list(one.chunks(size))


def texts_of(one: Source) -> list[str | None]:
    return [text for chunk in all_of(one) for text in chunk.texts]


def problems_of(one: Source) -> dict[int, str]:
    return {
        chunk.first_row + at: why for chunk in all_of(one) for at, why in chunk.problems.items()
    }


def test_every_line_of_a_text_file_is_a_row_whatever_ends_it(tmp_path: Path) -> None:
    lines = source(tmp_path / "a.txt", b"\xef\xbb\xbfone\r\ntwo\n\n  \nfour\r\r\nfive")
    assert texts_of(lines) == ["one", "two", None, "  ", "four\r", "five"]
    assert problems_of(lines) == {2: "is empty"}
    assert lines.scan(typed=False).rows == 6


def test_a_line_that_is_no_utf8_fails_alone(tmp_path: Path) -> None:
    lines = source(tmp_path / "a.txt", b"one\n\xe9t\xe9\nthree\n")
    assert texts_of(lines) == ["one", None, "three"]
    assert problems_of(lines) == {1: "is not UTF-8 at byte 0"}


def test_a_line_without_an_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_ROW_BYTES", 10)
    lines = source(tmp_path / "a.txt", b"0123456789\r\n" + b"x" * 5000 + b"\nshort\n")
    assert texts_of(lines) == ["0123456789", None, "short"]
    assert problems_of(lines) == {1: rows.TOO_LONG}


def test_what_is_no_object_with_a_text_is_a_row_that_fails(tmp_path: Path) -> None:
    lines = source(
        tmp_path / "a.jsonl",
        b'{"text": "a", "n": 1.10}\n\n{"text": null}\r\n{}\n[1]\n{"text": "\\ud800"}\nx\n'
        b'{"text": "\xff"}\n{"text": 5}\n{"text": ""}\n{"text": true}\n{"text": "z\\u0000"}',
    )
    assert texts_of(lines)[0] == "a"
    assert texts_of(lines)[-1] == "z\0"
    found = problems_of(lines)
    assert found[1] == "is null"
    assert found[2] == "has no 'text'"
    assert found[3] == "is JSON, but not an object"
    assert [found[row].partition(":")[0] for row in (4, 5)] == ["is not JSON"] * 2
    assert found[6] == "is not UTF-8 at byte 10"
    assert found[7] == "is a number, not a text"
    assert found[8] == "is empty"
    assert found[9] == "is true or false, not a text"
    assert set(found) == set(range(1, 10))


def test_a_json_line_is_kept_byte_for_byte(tmp_path: Path) -> None:
    line = b'{"n": 1.10,  "big": 123456789012345678901234567890, "text": "a\\u0062"}'
    (chunk,) = all_of(source(tmp_path / "a.jsonl", b"  " + line + b" \r\n"))
    assert chunk.records == (line,)
    assert chunk.texts == ("ab",)


def test_csv_keeps_line_breaks_and_quotes_and_tells_ragged_rows(tmp_path: Path) -> None:
    content = (
        b'\xef\xbb\xbfid,text\r\n1,"a\nb ""c"""\r\n\r\n2\r\n3,\xff\r\n4,\r\n5,x,y\r\n"\xe9",ok\r\n'
    )
    table = source(tmp_path / "a.csv", content)
    assert texts_of(table)[0] == 'a\nb "c"'
    assert problems_of(table) == {
        1: "has 1 field, and the header 2",
        2: "is not UTF-8",
        3: "is empty",
        4: "has 3 fields, and the header 2",
        5: "is not UTF-8",
    }
    (chunk, _) = all_of(table)
    assert chunk.records[0] == b'{"id":"1","text":"a\\nb \\"c\\""}'


def test_tsv_has_tabs(tmp_path: Path) -> None:
    assert texts_of(source(tmp_path / "a.tsv", b"text\tn\na,b\t1\n")) == ["a,b"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "a.csv is empty; its first line must name the columns"),
        ("a.csv", b"a,text,a\n", "a.csv has two columns 'a'"),
        ("a.csv", b'text\n"open\n', "a.csv: line 2: a quote is left open"),
        ("a.csv", b"\xff\n", "a.csv is not UTF-8 in its first line"),
        ("a.csv", b"id,body\n1,x\n", "say which one is to be embedded, with --column; its columns: 'id', 'body'"),
        ("a.jsonl", b'{"a": "x", "b": "y"}', "its columns: 'a', 'b'"),
        ("a.jsonl", b'{"a": 1}', "its columns: 'a'"),
        ("a.txt", "a".encode("utf-16"), "a.txt is UTF-16 and must be UTF-8"),
        ("a.jsonl", "{}".encode("utf-16"), "a.jsonl is UTF-16 and must be UTF-8"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_at_all_is_one_line(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    with pytest.raises(InvalidRequest, match=r".+") as raised:
        source(tmp_path / name, content).scan(typed=False)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_a_column_that_is_not_there_is_one_line_with_those_that_are(
    tmp_path: Path, name: str
) -> None:
    content = {"a.csv": b"text,id\nx,1\n", "a.jsonl": b'{"text": "x", "id": 1}', "a.txt": b"x"}
    with pytest.raises(InvalidRequest, match=rf"{name} has no column 'body'; its columns: 'text'"):
        source(tmp_path / name, content[name], column="body").scan(typed=False)


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("a.jsonl", b'{"id": 1, "body": "x"}\n{"id": 2, "body": null}', "body"),
        ("a.jsonl", b'{"text": 1, "body": "x"}', "text"),
        ("a.csv", b"body\nx\n", "body"),
        ("a.jsonl", b"", "text"),
    ],
)
def test_the_text_column_is_text_or_the_only_one_of_texts(
    tmp_path: Path, name: str, content: bytes, column: str
) -> None:
    assert source(tmp_path / name, content).scan(typed=False).text_column == column


def test_columns_are_those_of_all_rows(tmp_path: Path) -> None:
    lines = source(tmp_path / "a.jsonl", b'{"text": "x"}\n{"late": 1, "text": "y"}')
    assert lines.scan(typed=False).columns == ("text", "late")


def test_several_files_are_one_input_and_every_row_knows_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\na\n")
    (tmp_path / "b.csv").write_bytes(b"text\nb\nc\n")
    files = Files((tmp_path / "a.csv", tmp_path / "b.csv"), ("a.csv", "b.csv"))
    (chunk,) = all_of(formats.source("csv")(files, None))
    assert (chunk.texts, chunk.files) == (("a", "b", "c"), ("a.csv", "b.csv", "b.csv"))
    (tmp_path / "b.csv").write_bytes(b"body\nb\n")
    with pytest.raises(InvalidRequest, match=r"b\.csv has other columns than a\.csv"):
        formats.source("csv")(files, None).scan(typed=False)


def test_a_document_is_a_row_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbf# One\n")
    (tmp_path / "b.txt").write_bytes(b"\xff")
    (tmp_path / "c.txt").write_bytes(b"")
    names = ("a.md", "b.txt", "c.txt", "gone.txt")
    documents = formats.source("documents")(
        Files(tuple(map(tmp_path.joinpath, names)), names), None
    )
    (chunk,) = all_of(documents)
    assert chunk.texts == ("# One\n", None, None, None)
    assert chunk.records[0] == b'{"path":"a.md","text":"# One\\n"}'
    assert chunk.problems == {
        1: "is not UTF-8 at byte 0",
        2: "is empty",
        3: "cannot be read: No such file or directory",
    }


def test_the_fingerprint_is_of_what_files_hold(tmp_path: Path) -> None:
    one = source(tmp_path / "a.txt", b"x").fingerprint()
    assert source(tmp_path / "b.txt", b"x").fingerprint() == one
    assert source(tmp_path / "b.txt", b"y").fingerprint() != one


@given(
    lengths=st.lists(st.integers(0, 30), max_size=40),
    size=st.integers(1, 9),
    start=st.integers(0, 40),
    stop=st.none() | st.integers(0, 40),
)
def test_whoever_starts_where_a_chunk_begins_gets_the_same_chunks(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    size: int,
    start: int,
    stop: int | None,
) -> None:
    path = tmp_path_factory.mktemp("chunks") / "a.txt"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "CHUNK_BYTES", 60)
        lines = source(path, b"".join(b"x" * length + b"\n" for length in lengths))
        whole = list(lines.chunks(size))
        assert [text or "" for one in whole for text in one.texts] == ["x" * n for n in lengths]
        assert all((one.first_row + len(one.texts)) % size == 0 or full(one) for one in whole[:-1])
        for one in whole:
            assert len(one.texts) <= size
            assert one.first_row // size == (one.first_row + len(one.texts) - 1) // size
        begins = [one.first_row for one in whole]
        first = max((row for row in begins if row <= start), default=0)
        again = list(lines.chunks(size, first, stop))
        expected = [one for one in whole if one.first_row >= first]
        for one, same in zip(again[:-1], expected, strict=False):
            assert (one.first_row, one.texts) == (same.first_row, same.texts)
        assert sum(len(one.texts) for one in again) == len(range(len(lengths))[first:stop])


def full(chunk: Chunk) -> bool:
    return sum(map(len, chunk.records)) >= 60
