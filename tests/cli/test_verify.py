"""``emblem verify``: which stored vectors are a model's, and why others are not."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import emblem
from emblem.cli.main import run
from emblem.local.model import EmbeddingModel
from emblem.upstreams.misbehaving import Fault, Hashed, Manners, always, running, vector
from postgres import Postgres
from tiny_models import TINY_MODELS, write

STATIC = "wordllama-256"
SMALL = "all-MiniLM-L6-v2"
TEXTS = [
    f"{who} {does} {what}{where}."
    for who in ("A cat", "The baker", "My neighbour")
    for does in ("finds", "paints", "sells")
    for what in ("a boat", "old maps", "nothing")
    for where in ("", " in the harbour")
]
LONG = [f"{text} " * 60 + "At last the train arrived." for text in TEXTS[:3]]

Verify = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def verify(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    model_home: Path,
    capfd: pytest.CaptureFixture[str],
) -> Verify:
    """Run the command with --json and give its code, its report and what it complained of."""
    for name in os.environ:
        if name.startswith(("EMBLEM_", "OPENAI_", "AGAINST_")):
            monkeypatch.delenv(name)
    # With one model alone: each that is there is tried where vectors are not explained.
    (tmp_path / "home" / "models").mkdir(parents=True)
    (tmp_path / "home" / "files").symlink_to(model_home / "files")
    (tmp_path / "home" / "models" / STATIC).symlink_to(model_home / "models" / STATIC)
    monkeypatch.setenv("EMBLEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EMBLEM_DEFAULT_MODEL", STATIC)
    monkeypatch.setenv("EMBLEM_OFFLINE", "true")
    monkeypatch.chdir(tmp_path)

    def end(*arguments: str) -> tuple[int, Any, str]:
        with pytest.raises(SystemExit) as caught:
            run(["verify", *arguments, "--json"])
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), json.loads(out) if out else None, err

    return end


@pytest.fixture(scope="module")
def static(model_home: Path) -> Iterator[EmbeddingModel]:
    with emblem.load(STATIC, home=model_home, offline=True) as model:
        yield model


def stored(texts: Sequence[str], vectors: Any, file: str = "stored.jsonl") -> str:
    rows = [
        json.dumps({"text": text, "embedding": [float(one) for one in row]})
        for text, row in zip(texts, vectors, strict=True)
    ]
    Path(file).write_text("".join(f"{row}\n" for row in rows))
    return file


def causes(report: Any) -> list[tuple[str, bool]]:
    return [(one["cause"], one["whole"]) for one in report["findings"]]


def test_the_model_s_own_vectors_are_its_own(verify: Verify, static: EmbeddingModel) -> None:
    code, report, err = verify(stored(TEXTS, static.embed(TEXTS)))
    assert (code, err) == (0, "")
    assert report["ok"]
    assert report["least"] > 0.99999
    assert (report["rows"], report["compared"]) == (len(TEXTS), len(TEXTS))
    assert sum(band["texts"] for band in report["bands"]) == len(TEXTS)
    assert report["findings"] == []


def test_parquet_is_read_too_and_a_sample_is_the_same_for_the_same_seed(
    verify: Verify, static: EmbeddingModel
) -> None:
    vectors = static.embed(TEXTS)
    wrong = vectors.copy()
    wrong[7] = -wrong[7]
    table = pa.table(
        {"body": TEXTS, "n": range(len(TEXTS)), "vec": [list(map(float, one)) for one in wrong]}
    )
    pq.write_table(table, "stored.parquet")
    options = ("stored.parquet", "--column", "body", "--vector-column", "vec", "--sample", "20")
    seen = [verify(*options, "--seed", seed)[1] for seed in ("1", "1", "2", "3", "4")]
    assert seen[0] == seen[1]
    assert all(one["compared"] == 20 for one in seen)
    assert {one["ok"] for one in seen} == {True, False}  # not every sample has the wrong row


def test_fewer_dimensions_are_compared_with_the_model_s_first_ones(
    verify: Verify, static: EmbeddingModel
) -> None:
    code, report, _ = verify(stored(TEXTS, static.embed(TEXTS, dimensions=64)))
    assert code == 0
    assert causes(report) == [("width", False)]


def test_vectors_that_are_not_unit_are_told_of_and_have_the_same_cosines(
    verify: Verify, static: EmbeddingModel
) -> None:
    scale = np.linspace(1, 9, len(TEXTS))[:, None]
    code, report, _ = verify(stored(TEXTS, static.embed(TEXTS) * scale))
    assert code == 0
    assert causes(report) == [("normalisation", False)]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e200])
def test_one_number_that_is_none_makes_a_vector_another(
    verify: Verify, static: EmbeddingModel, wrong: float
) -> None:
    """The cosine without that number would be high enough."""
    vectors = static.embed(TEXTS).astype(np.float64)
    vectors[3, np.abs(vectors[3]).argmin()] = wrong
    pq.write_table(pa.table({"text": TEXTS, "embedding": list(vectors)}), "stored.parquet")
    code, report, _ = verify("stored.parquet")
    assert (code, report["ok"], report["least"]) == (1, False, 0.0)


def test_whole_numbers_are_compared_with_rounded_ones(
    verify: Verify, static: EmbeddingModel
) -> None:
    for dtype in ("int8", "uint8"):
        code, report, _ = verify(stored(TEXTS, static.embed(TEXTS, dtype=dtype)))
        assert code == 0
        assert causes(report) == [("numbers", False)]


def test_rows_that_were_moved_are_found(verify: Verify, static: EmbeddingModel) -> None:
    vectors = static.embed(TEXTS)
    code, report, _ = verify(stored(TEXTS, np.roll(vectors, 1, axis=0)))
    assert code == 1
    assert causes(report) == [("rows", True)]


def test_line_breaks_made_spaces_are_found(verify: Verify, static: EmbeddingModel) -> None:
    texts = [text.replace(" ", "\n", 2) for text in TEXTS]
    flat = static.embed([text.replace("\n", " ") for text in texts])
    if np.allclose(static.embed(texts), flat, atol=1e-4):
        pytest.skip("this tokenizer does not see line breaks")
    code, report, _ = verify(stored(texts, flat))
    assert code == 1
    assert causes(report) == [("line breaks", True)]


def test_a_prompt_is_found(verify: Verify, tmp_path: Path) -> None:
    tiny = next(one for one in TINY_MODELS if one.name == "bert-mean")
    folder = write(tiny, tmp_path / "tiny")
    with emblem.load(folder, home=tmp_path / "h", offline=True) as model:
        vectors = model.embed(TEXTS, kind="query")
        path = stored(TEXTS, vectors)
    code, report, _ = verify(path, "--model", str(folder))
    assert code == 1
    assert causes(report) == [("prompt", True)]
    assert "for a query" in report["findings"][0]["said"]
    assert verify(path, "--model", str(folder), "--kind", "query")[0] == 0


def test_another_rule_for_long_texts_is_found_and_short_ones_are_seen_to_be_right(
    verify: Verify, model_home: Path
) -> None:
    texts = [*TEXTS[:8], *LONG]
    with emblem.load(SMALL, home=model_home, offline=True) as model:
        path = stored(texts, model.embed(texts, overflow="truncate"))
    small = ("--model", SMALL, "--home", str(model_home))
    code, report, _ = verify(path, *small)
    assert code == 1
    assert causes(report) == [("overflow", True)]
    assert {band["tokens"]: band["alike"] for band in report["bands"]} == {
        "1-16": 1.0,
        "257-1024": 0.0,
    }
    assert verify(path, *small, "--overflow", "truncate")[0] == 0


def test_another_model_is_found_among_those_that_are_here(
    verify: Verify, static: EmbeddingModel, model_home: Path
) -> None:
    path = stored(TEXTS[:8], static.embed(TEXTS[:8]))
    code, report, _ = verify(path, "--model", SMALL, "--home", str(model_home))
    assert code == 1
    assert ("model", True) in causes(report)
    assert report["findings"][-1]["said"].endswith(f"by the model {STATIC}")


def test_vectors_of_nobody_known_stay_unexplained(verify: Verify) -> None:
    code, report, _ = verify(stored(TEXTS[:8], [vector(text, 256) for text in TEXTS[:8]]))
    assert code == 1
    assert report["findings"] == []
    code, report, _ = verify(stored(TEXTS[:8], [vector(text, 1536) for text in TEXTS[:8]]))
    assert (code, report["least"]) == (1, None)
    assert causes(report) == [("width", True)]


def test_rows_without_a_text_or_a_vector_are_left_out_and_counted(
    verify: Verify, static: EmbeddingModel
) -> None:
    path = Path(stored(TEXTS[:6], static.embed(TEXTS[:6])))
    more = ['{"text": "x", "embedding": null}', '{"text": "", "embedding": [1]}', "no JSON"]
    more += ['{"text": "x", "embedding": ["1"]}']
    path.write_text(path.read_text() + "".join(f"{row}\n" for row in more))
    code, report, _ = verify(str(path), "--column", "text")
    assert code == 0
    assert (report["compared"], report["left_out"]) == (6, 4)
    assert "row 6 has no vector of numbers" in report["problems"]


def test_a_vector_of_another_width_than_most_is_not_the_model_s(
    verify: Verify, static: EmbeddingModel
) -> None:
    path = Path(stored(TEXTS[:6], static.embed(TEXTS[:6])))
    path.write_text(path.read_text() + '{"text": "x", "embedding": [1, 2]}\n')
    code, report, _ = verify(str(path))
    assert (code, report["ok"], report["compared"], report["left_out"]) == (1, False, 6, 1)
    assert causes(report) == [("width", True)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give a file or database"),
        (("no.jsonl",), "there is no file no.jsonl"),
        (("notes.txt",), "give a file of .jsonl, .parquet"),
        (("one.jsonl", "--vector-column", "v"), "has no column 'v'; its columns: 'text'"),
        (("one.jsonl",), "say which one has the vectors, with --vector-column"),
        (("one.jsonl", "--table", "t"), "--table is for a database"),
        (("postgresql://u:hunter2@h/d",), "a database needs --table"),
        (("one.jsonl", "--kind", "question"), "it must be query, document"),
        (("one.jsonl", "--overflow", "error"), "it must be mean, truncate"),
        (("postgresql://u:hunter2%zz@h/d", "--table", "t"), "the address is not understood"),
    ],
)
def test_what_cannot_be_verified_is_one_line(
    verify: Verify, arguments: tuple[str, ...], said: str
) -> None:
    Path("one.jsonl").write_text('{"text": "a", "other": [1, 2]}\n')
    code, report, err = verify(*arguments)
    assert (code, report) == (2, None)
    assert said in err
    assert err.count("\n") == 1
    assert "hunter2" not in err


@pytest.fixture(scope="module")
def table(postgres: Postgres, static: EmbeddingModel) -> str:
    """A database with passages, whose vectors are pgvector's and halves of those, too."""
    import psycopg

    address = postgres.new()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute(
            'CREATE TABLE "my passages" (body text, vec vector(256), half halfvec(256))'
        )
        for text, row in zip(TEXTS, static.embed(TEXTS), strict=True):
            written = str([float(one) for one in row])
            connection.execute(
                'INSERT INTO "my passages" VALUES (%s, %s, %s)', (text, written, written)
            )
        connection.execute('INSERT INTO "my passages" VALUES (NULL, NULL, NULL)')
    return address


@pytest.mark.parametrize("column", ["vec", "half"])
def test_a_table_of_pgvector_is_verified(verify: Verify, table: str, column: str) -> None:
    options = (table, "--table", "my passages", "--column", "body", "--vector-column", column)
    code, report, err = verify(*options, "--sample", "30")
    assert (code, err) == (0, "")
    assert (report["source"], report["compared"], report["rows"]) == ("my passages", 30, None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--table", "nowhere"), 'relation "nowhere" does not exist'),
        (("--table", "my passages"), 'column "text" does not exist'),
        (("--table", "my passages", "--column", "body", "--vector-column", "body"), "as numbers"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(
    verify: Verify, table: str, options: tuple[str, ...], said: str
) -> None:
    code, _, err = verify(table, *options)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_server_that_is_away_is_said_without_its_password(verify: Verify) -> None:
    for password in ("hunter2", "hunter@2", "hunt%zzer2"):
        code, _, err = verify(f"postgresql://me:{password}@127.0.0.1:1/db", "--table", "t")
        assert code == 2
        for part in password.split("@"):
            assert part not in err.replace("127.0.0.1", "")


class Own(Hashed):
    """The static model's vectors, from a server that is no Emblem."""

    def __init__(self, model: EmbeddingModel) -> None:
        super().__init__(model.width)
        self._model = model

    async def vectors(self, texts: Sequence[str]) -> Any:
        return await self._model.aembed(texts)


def test_two_endpoints_are_compared(
    verify: Verify, static: EmbeddingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    manners = Manners(model="m", key="sk-there")
    with running(truth=Own(static), manners=manners) as there:
        options = ("--against", there.base_url, "--against-model", "m")
        code, _, err = verify(*options)
        assert code == 2  # it wants a key
        monkeypatch.setenv("AGAINST_API_KEY", "sk-there")
        code, report, err = verify(*options)
        assert (code, err) == (0, "")
        assert report["compared"] >= 15
        there.play(always(Fault.OTHER_SPACE))
        code, report, _ = verify(*options)
        assert code == 1
        there.play(always(Fault.OK))
        path = stored(TEXTS, [[0.0]] * len(TEXTS))
        code, report, _ = verify(path, *options, "--sample", "10")
        assert (code, report["compared"]) == (0, 10)


def test_a_model_that_is_elsewhere_is_verified_through_its_deployments(
    verify: Verify, static: EmbeddingModel
) -> None:
    with running(truth=Own(static), manners=Manners(model="m")) as there:
        Path("emblem.toml").write_text(
            f'[upstreams.there]\npreset = "openai-compatible"\nbase_url = "{there.base_url}"\n'
            '[models.elsewhere]\nupstream = "there"\nsource = "m"\nmax_length = 4096\n'
        )
        options = ("--model", "elsewhere", "--config", "emblem.toml")
        texts = [*TEXTS, "too long for a model whose tokens nobody here counts " * 100]
        code, report, err = verify(stored(texts, static.embed(texts)), *options)
        assert (code, report["space"]) == (0, "there/m/256"), err
        assert (report["compared"], report["left_out"]) == (len(TEXTS), 1)
        assert report["problems"][0].startswith(f"row {len(TEXTS)} ")
        there.play(always(Fault.OTHER_SPACE))
        code, report, err = verify(stored(TEXTS, static.embed(TEXTS)), *options)
        assert code == 2
        assert "is quarantined" in err


def test_people_get_a_table(
    verify: Verify, static: EmbeddingModel, capfd: pytest.CaptureFixture[str]
) -> None:
    path = stored(TEXTS, np.roll(static.embed(TEXTS), 1, axis=0))
    with pytest.raises(SystemExit) as ended:
        run(["verify", path])
    out = capfd.readouterr().out
    assert ended.value.code == 1
    assert "tokens  texts     least     tenth    median  alike" in out
    assert "the rows were moved against their vectors" in out
    assert "NOT the same vectors" in out
