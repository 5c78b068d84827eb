"""``emblem embed`` and ``emblem merge`` from outside: what they print, write and refuse."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader, BytesIO, TextIOWrapper
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from emblem.cli import main
from emblem.files.jsonl import JsonlSink
from server import linked_home, running_server

SPACE = "wordllama-256@64b47a2d/256"


@dataclass(frozen=True, slots=True)
class Done:
    """What a command line gave."""

    returncode: int
    stdout: bytes
    stderr: bytes


Embed = Callable[..., Done]


def environment(home: Path, folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "EMBLEM_HOME": str(home),
        "EMBLEM_DEFAULT_MODEL": "wordllama-256",
        "EMBLEM_OFFLINE": "true",
    }


@pytest.fixture
def embed(
    model_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Embed:
    """Run a command line in this process, which takes a tenth of the time of one of its own."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("EMBLEM_", "OPENAI_")):
            monkeypatch.delenv(name)
    for name, value in environment(model_home, tmp_path).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, stdin: bytes = b"", **more: str) -> Done:
        command = arguments if arguments[:1] == ("merge",) else ("embed", *arguments)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", TextIOWrapper(BufferedReader(BytesIO(stdin))))
            for name, value in more.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main.run(command)
        said = capfdbinary.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


def rows_of(content: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in content.splitlines()]


def test_each_text_is_a_json_line(embed: Embed) -> None:
    done = embed("a text", "été")
    assert (done.returncode, done.stderr) == (0, b"")
    first, second = rows_of(done.stdout)
    assert (first["text"], second["text"]) == ("a text", "été")
    assert np.linalg.norm(np.array(first["embedding"])) == pytest.approx(1, abs=1e-5)
    assert list(first) == ["text", "embedding", "overflow"]


def test_an_empty_text_among_texts_fails_alone(embed: Embed) -> None:
    done = embed("a text", "")
    assert done.returncode == 3
    assert [row["text"] for row in rows_of(done.stdout)] == ["a text"]
    assert b"text 1 is empty" in done.stderr


def test_json_is_what_an_openai_server_answers(embed: Embed) -> None:
    answer = json.loads(embed("a text", "b", "--json", "--dimensions", "8").stdout)
    assert [one["index"] for one in answer["data"]] == [0, 1]
    assert len(answer["data"][0]["embedding"]) == 8
    assert answer["model"] == "wordllama-256"
    assert answer["usage"]["prompt_tokens"] > 0


def test_json_counts_the_texts_that_were_given_and_names_those_that_failed(embed: Embed) -> None:
    done = embed("a", "", "b", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 3
    assert [one["index"] for one in answer["data"]] == [0, 2]
    assert answer["errors"] == [{"index": 1, "message": "is empty"}]


@pytest.mark.parametrize(
    ("separator", "right"), [(";", "--delimiter ';'"), ("\t", "--format tsv"), ("|", "--delimiter '|'")]
)  # fmt: skip
def test_fields_that_are_separated_by_something_else_are_told(
    embed: Embed, tmp_path: Path, separator: str, right: str
) -> None:
    (tmp_path / "in.csv").write_text(f"id{separator}body text\n7{separator}one, or two\n")
    column = ["--column", "body text"]
    for more in ([], column):
        done = embed("in.csv", *more)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.decode() == (
            f"emblem: in.csv has one column, {f'id{separator}body text'!r}; its fields seem to be "
            f"separated by {separator!r}: add {right}\n"
        )
    (row,) = rows_of(embed("in.csv", *column, *right.replace("'", "").split()).stdout)
    assert (row["id"], row["body text"]) == ("7", "one, or two")


def test_a_column_that_nobody_chose_is_named(embed: Embed, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 1, "body": "one"}\n')
    done = embed("in.jsonl", "-o", "out.npy")
    assert done.stderr.startswith(b"the column 'body' is embedded; --column names another\n")
    again = embed("in.jsonl", "--quiet")
    assert (again.returncode, again.stderr) == (0, b"")
    assert embed("in.jsonl", "--column", "body").stderr == b""


def test_a_pipe_is_read_line_by_line_and_a_line_that_fails_is_named(embed: Embed) -> None:
    done = embed(stdin=b"one\n\ntwo\n")
    assert done.returncode == 3
    assert [row["text"] for row in rows_of(done.stdout)] == ["one", "two"]
    assert done.stderr == b"emblem: row 1 is empty\n"
    again = embed("-", "--format", "csv", "--column", "b", stdin=b"a,b\n1,one\n")
    assert rows_of(again.stdout)[0]["a"] == "1"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_leaves_early_causes_no_complaint(model_home: Path, tmp_path: Path) -> None:
    script = f"yes 'a text' | {sys.executable} -m emblem embed | head -n 1"
    done = subprocess.run(
        ["sh", "-c", script],
        cwd=tmp_path,
        env=os.environ | environment(model_home, tmp_path),
        capture_output=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""


def test_a_file_becomes_a_file_with_its_columns(embed: Embed, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(b'id,text\n1,"one, or two"\n2,\n3,three\n')
    done = embed("in.csv", "-o", "out.jsonl")
    assert done.returncode == 3
    assert done.stdout == b""
    said = done.stderr.decode().splitlines()
    assert said[0] == f"out.jsonl: 2 vectors of 256 numbers in the space {SPACE}"
    assert said[1] == "1 row failed, named in out.jsonl.errors.jsonl"
    rows = rows_of((tmp_path / "out.jsonl").read_bytes())
    assert [(row["id"], row["text"]) for row in rows] == [("1", "one, or two"), ("3", "three")]
    errors = rows_of((tmp_path / "out.jsonl.errors.jsonl").read_bytes())
    assert errors == [{"row": 1, "why": "is empty"}]
    alone = rows_of(embed("three").stdout)[0]["embedding"]
    np.testing.assert_allclose(rows[1]["embedding"], alone, atol=1e-6)  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.csv",
        "out.jsonl",
        "out.jsonl.errors.jsonl",
    ]


def test_a_summary_as_json_is_the_only_thing_on_stdout(embed: Embed, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\ntwo\n")
    done = embed("in.txt", "-o", "out.npy", "--json", "--dtype", "int8", "--dimensions", "8")
    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["vectors"], summary["failed"]) == (2, 2, 0)
    assert summary["space"] == "wordllama-256@64b47a2d/8+int8"
    assert np.load(tmp_path / "out.npy").dtype == np.int8
    assert np.load(tmp_path / "out.rows.npy").tolist() == [0, 1]
    quiet = embed("in.txt", "-o", "out.npy", "--quiet", "--force")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, b"", b"")


def test_a_folder_of_texts_is_a_row_for_each_file(embed: Embed, tmp_path: Path) -> None:
    for name, text in (("b.txt", "b"), ("sub/a.md", "a\n"), (".hidden.txt", "x"), ("c.png", "x")):
        path = tmp_path / "notes" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    done = embed("notes", "-o", "out.jsonl")
    assert done.stderr.decode().splitlines()[0] == "1 file of other formats left out"
    rows = rows_of((tmp_path / "out.jsonl").read_bytes())
    assert [(row["path"], row["text"]) for row in rows] == [("b.txt", "b"), ("sub/a.md", "a\n")]
    (tmp_path / "notes" / "d.csv").write_text("text\nx\n")
    mixed = embed("notes", "-o", "other.jsonl")
    assert mixed.stderr == b"emblem: notes has csv and text files; say which with --format\n"
    csv = embed("notes", "-o", "other.jsonl", "--format", "csv")
    assert csv.returncode == 0
    inside = embed("notes", "-o", "notes/out.jsonl", "--format", "txt")
    assert b"would be written into notes, which is read" in inside.stderr


def test_several_files_of_one_format_are_one_input(embed: Embed, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": 1}\n')
    (tmp_path / "b.jsonl").write_text('{"text": null}\n{"text": "b"}\n')
    done = embed("a.jsonl", "b.jsonl", "-o", "out.jsonl", "--errors", "wrong.jsonl")
    assert done.returncode == 3
    assert rows_of((tmp_path / "wrong.jsonl").read_bytes()) == [
        {"row": 1, "file": "a.jsonl", "why": "is a number, not a text"},
        {"row": 2, "file": "b.jsonl", "why": "is null"},
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["in.csv", "-o", "out.jsonl", "--column", "body"], "in.csv has no column 'body'; its columns: 'id', 'text'"),
        (["gone.csv", "-o", "out.jsonl"], "there is no file or folder 'gone.csv'; to embed a text itself, leave --output out"),
        (["in.csv", "-o", "out.xlsx"], "out.xlsx cannot be written: its suffix must be one of .jsonl, .npy, .parquet, .lance"),
        (["in.csv", "-o", "gone/out.jsonl"], "gone/out.jsonl cannot be written: there is no folder gone"),
        (["in.csv", "-o", "in.csv.jsonl", "--shard", "3/2"], "--shard is '3/2'; it must be like 1/4, from 1/4 to 4/4"),
        (["in.csv", "-o", "out.jsonl", "--dtype", "float"], "--dtype is 'float'; it must be float32, float16, int8, uint8, binary, ubinary"),
        (["in.csv", "-o", "out.jsonl", "--vector-column", "id"], "the input has a column 'id' already, where the output would put its own; --vector-column and --overflow-column give those other names"),
        (["in.csv", "-o", "out.jsonl", "--kind", "query"], "`wordllama-256` embeds queries and documents alike: it has no prompts. Leave --kind out."),
        (["in.csv", "-o", "out.jsonl", "--dimensions", "999"], "`wordllama-256` gives vectors of 256 numbers, so dimensions may be 1 to 256, and 999 was asked for. Vectors are never padded."),
        (["in.csv", "-o", "out.jsonl", "--errors", "out.jsonl"], "out.jsonl cannot be the output and name the rows that failed"),
        (["in.csv", "gone"], "'in.csv' is there as a file or folder, and 'gone' is not; give either texts or files"),
        (["in.csv", "--format", "xml", "-o", "out.jsonl"], "--format is 'xml'; it must be txt, jsonl, csv, tsv, parquet"),
        (["in.bin", "-o", "out.jsonl"], "in.bin has none of the suffixes .txt, .jsonl, .ndjson, .csv, .tsv, .parquet; say what it is with --format"),
        (["gone.CSV"], "there is no file 'gone.CSV'; to embed these words as a text, give them through a pipe: echo gone.CSV | emblem embed"),
        (["gone.md", "lost it.txt"], "there is no file 'gone.md'; to embed these words as a text, give them through a pipe: echo gone.md | emblem embed"),
        (["-", "in.csv"], "'-' is standard input, and must stand alone"),
        (["-", "in.csv", "-o", "out.jsonl"], "'-' is standard input, and must stand alone"),
        (["in.csv", "--delimiter", ";;"], "--delimiter is ';;'; it must be one character"),
        (["in.csv", "--delimiter", ";", "--format", "jsonl"], "--delimiter is for csv and tsv, not jsonl"),
        (["text", "--shard", "1/2"], "--shard is for a file that is written; add --output OUT"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_before_anything_is_computed(
    embed: Embed, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,x\n")
    (tmp_path / "in.bin").write_text("x")
    done = embed(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"emblem: {said}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.bin", "in.csv"]


def test_an_output_that_is_there_is_kept_unless_it_may_be_replaced(
    embed: Embed, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("one\n")
    (tmp_path / "out.jsonl").write_text("mine")
    done = embed("in.txt", "-o", "out.jsonl")
    assert done.stderr == (
        b"emblem: out.jsonl is there already; --force puts another in its place\n"
    )
    assert (tmp_path / "out.jsonl").read_text() == "mine"
    assert not (tmp_path / "out.jsonl.partial").exists()
    assert embed("in.txt", "-o", "out.jsonl", "--force").returncode == 0
    assert rows_of((tmp_path / "out.jsonl").read_bytes())[0]["text"] == "one"


def test_a_disk_that_is_full_is_one_line_and_the_job_goes_on_later(
    embed: Embed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt").write_text("one\n" * 600)
    written: list[Path] = []

    def write_part(self: JsonlSink, path: Path, part: object) -> None:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        real(self, path, part)  # type: ignore[arg-type]

    real = JsonlSink.write_part
    with monkeypatch.context() as patch:
        patch.setattr(JsonlSink, "write_part", write_part)
        full = embed("in.txt", "-o", "out.jsonl")
    assert full.returncode == 2
    assert full.stderr.decode() == (
        "emblem: No space left on device; what is done is in out.jsonl.partial; the same command "
        "goes on from there\n"
    )
    again = embed("in.txt", "-o", "out.jsonl")
    assert again.returncode == 0
    assert again.stderr.startswith(b"resuming: 512 of 600 rows are done\n")
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 600


def test_shards_are_merged_and_may_be_laid_end_to_end(embed: Embed, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"text {n}\n" for n in range(1100)) + "\n")
    whole = embed("in.txt", "-o", "whole.jsonl")
    shards = [embed("in.txt", "-o", "part.jsonl", "--shard", f"{n}/2") for n in (1, 2)]
    assert [one.returncode for one in (whole, *shards)] == [3, 0, 3]
    names = [f"part-{n:05}-of-00002.jsonl" for n in (1, 2)]
    content = b"".join((tmp_path / name).read_bytes() for name in names)
    assert content == (tmp_path / "whole.jsonl").read_bytes()
    files = sorted(path.name for path in tmp_path.glob("part-*"))
    merged = embed("merge", "merged.jsonl", *reversed(files))
    assert merged.returncode == 3
    assert merged.stderr == b"merged.jsonl: 1,100 vectors; 1 row failed\n"
    assert (tmp_path / "merged.jsonl").read_bytes() == content
    errors = (tmp_path / "merged.jsonl.errors.jsonl").read_bytes()
    assert errors == (tmp_path / "whole.jsonl.errors.jsonl").read_bytes()
    lone = embed("merge", "again.jsonl", names[0])
    assert lone.stderr == b"emblem: missing: shard 2/2\n"
    document = json.loads(embed("merge", "m2.jsonl", *names, "--json").stdout)
    assert document["vectors"] == 1100


def test_an_estimate_says_that_it_is_one(embed: Embed, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"text {n}\n" for n in range(3000)))
    done = embed("in.txt", "-o", "out.npy", "--estimate")
    assert done.stdout.startswith(b"An estimate, from 444 of 3,000 rows")
    guess = json.loads(embed("in.txt", "-o", "out.npy", "--estimate", "--json").stdout)
    assert guess["estimate"] is True
    assert guess["rows"] == 3000
    assert guess["output_gb"] == pytest.approx(3000 * (256 * 4 + 8) / 1e9, rel=0.1)
    exact = json.loads(embed("in.txt", "-o", "out.npy", "--json").stdout)
    assert guess["tokens"] == pytest.approx(exact["tokens"], rel=0.1)


def test_texts_that_were_too_long_are_counted(embed: Embed, tmp_path: Path) -> None:
    long = "word " * 300
    (tmp_path / "in.txt").write_text(f"short\n{long}\n")
    minilm = ("--model", "all-MiniLM-L6-v2", "-o", "out.jsonl")
    done = embed("in.txt", *minilm)
    assert "1 of 2 texts was longer than 256 tokens (it is the mean of its windows)" in (
        done.stderr.decode()
    )
    rows = rows_of((tmp_path / "out.jsonl").read_bytes())
    assert [row["overflow"] for row in rows] == [False, True]
    refused = embed("in.txt", *minilm, "--overflow", "error", "--force")
    assert refused.returncode == 3
    (failure,) = rows_of((tmp_path / "out.jsonl.errors.jsonl").read_bytes())
    assert failure["row"] == 1
    assert "256" in str(failure["why"])
    assert "word word" not in str(failure)


def test_a_server_does_the_same(embed: Embed, model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("one\n\n" + "word " * 300 + "\n")
    home = linked_home(tmp_path / "home", model_home)
    with running_server(home, args=["all-MiniLM-L6-v2"]) as server:
        arguments = ["in.txt", "-o", "there.jsonl", "--model", "all-MiniLM-L6-v2"]
        arguments += ["--base-url", server.base_url]
        there = embed(*arguments, OPENAI_API_KEY=server.key)
        wrong = embed(*arguments, "--force", OPENAI_API_KEY="sk-wrong-0123456789")
    assert there.returncode == 3
    gone = embed(*arguments, "--force", OPENAI_API_KEY="sk-any-0123456789abcdef")
    for failed in (wrong, gone):
        assert failed.returncode == 2
        assert len(failed.stderr.splitlines()) == 1
        assert b"sk-" not in failed.stderr
    here = embed("in.txt", "-o", "here.jsonl", "--model", "all-MiniLM-L6-v2")
    assert here.returncode == 3
    one, other = (rows_of((tmp_path / f"{at}.jsonl").read_bytes()) for at in ("here", "there"))
    assert [row["overflow"] for row in one] == [row["overflow"] for row in other] == [False, True]
    for left, right in zip(one, other, strict=True):
        np.testing.assert_allclose(left["embedding"], right["embedding"], atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--errors", "./out.npy"], "out.npy cannot be the output and name the rows that failed"),
        (["--errors", "out.rows.npy"], "out.rows.npy cannot be out.rows.npy of the output and name the rows that failed"),
        (["--errors", "out.npy.partial"], "out.npy.partial cannot be out.npy.partial of the output and name the rows that failed"),
        (["--errors", "out-00001-of-00002.npy.shard.json", "--shard", "1/2"], "out-00001-of-00002.npy.shard.json cannot be out-00001-of-00002.npy.shard.json of the output and name the rows that failed"),
        (["--errors", "in.txt"], "in.txt would be written over in.txt, which is read"),
        (["--shard", "2/3"], "out-00002-of-00003.npy.shard.json is there already; --force puts another in its place"),
        (["--shard", "3/3"], "out-00003-of-00003.rows.npy is there already; --force puts another in its place"),
    ],
)  # fmt: skip
def test_no_file_is_written_for_two_things_or_over_another(
    embed: Embed, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "in.txt").write_text("x\n")
    (tmp_path / "out-00002-of-00003.npy.shard.json").write_text("mine")
    (tmp_path / "out-00003-of-00003.rows.npy").write_text("mine")
    before = sorted(tmp_path.iterdir())
    done = embed("in.txt", "-o", "out.npy", *arguments)
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", f"emblem: {said}\n")
    assert sorted(tmp_path.iterdir()) == before


def test_rows_that_failed_are_named_after_a_merge_wherever_the_shards_named_them(
    embed: Embed, tmp_path: Path
) -> None:
    (tmp_path / "in.txt").write_text("one\n\n")
    embed("in.txt", "-o", "part.jsonl", "--shard", "1/2", "--errors", "one.txt")
    embed("in.txt", "-o", "part.jsonl", "--shard", "2/2", "--errors", "two.txt")
    shards = [f"part-{n:05}-of-00002.jsonl" for n in (1, 2)]
    assert embed("merge", "out.jsonl", *shards).returncode == 3
    errors = (tmp_path / "out.jsonl.errors.jsonl").read_bytes()
    assert rows_of(errors) == [{"row": 1, "why": "is empty"}]
    (tmp_path / shards[1]).write_text("garbage")
    broken = embed("merge", "out.jsonl", *shards, "--force")
    assert broken.returncode == 2
    assert f"{shards[1]} is not what was written as shard 2/2" in broken.stderr.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
@pytest.mark.parametrize("out", [["-o", "out.jsonl"], []])
def test_what_can_be_read_only_once_is_read_whole(
    embed: Embed, tmp_path: Path, out: list[str]
) -> None:
    for name, content in (("a", b"one\n"), ("b", b"two\nthree\n"), ("c.csv", b"text\nfour\n")):
        os.mkfifo(tmp_path / name)
        Thread(target=(tmp_path / name).write_bytes, args=(content,), daemon=True).start()
    lines = embed("a", "b", *out)
    assert lines.returncode == 0
    written = (tmp_path / "out.jsonl").read_bytes() if out else lines.stdout
    assert [row["text"] for row in rows_of(written)] == ["one", "two", "three"]
    csv = embed("c.csv", *out, *(["--force"] if out else []))
    assert csv.returncode == 0
    written = (tmp_path / "out.jsonl").read_bytes() if out else csv.stdout
    assert [row["text"] for row in rows_of(written)] == ["four"]


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="needs /dev/stdin")
def test_a_file_as_standard_input_by_its_name_is_lines(model_home: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("one\ntwo\n")
    with (tmp_path / "in.csv").open("rb") as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "emblem", "embed", "/dev/stdin", "-o", "out.jsonl"],
            cwd=tmp_path,
            env=os.environ | environment(model_home, tmp_path),
            stdin=stdin,
            capture_output=True,
        )
    assert done.returncode == 0, done.stderr
    rows = rows_of((tmp_path / "out.jsonl").read_bytes())
    assert [row["text"] for row in rows] == ["one", "two"]
