"""``emblem usage``: tables, JSON and files of what is in the ledger."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from emblem.accounts import Terms
from emblem.cli.main import run
from emblem.ledger.address import SQLITE_FILE, sqlite
from emblem.ledger.books import SqlLedger
from emblem.ledger.database import Database

from .conftest import use

Emblem = Callable[..., tuple[int, str, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger with a key, a team and some use of either."""
    for name in [name for name in os.environ if name.startswith("EMBLEM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("EMBLEM_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    now = time.time()
    with closing(SqlLedger(Database(sqlite(tmp_path / SQLITE_FILE)))) as ledger:
        team = ledger.teams.create("search", now=now)
        key, _ = ledger.keys.issue(Terms("laptop", team=team.id), now=now)
        mine = {"key": key.id, "team": team.id}
        ledger.usage.add(
            [
                use("1", now - 60, **mine, ms=10.0, cost=1_500_000_000),
                use("2", now - 120, **mine, model="bge", user="alice", tags=("nightly",)),
                use("3", now - 30 * 86400, **mine),
                use("4", now - 60, key="EMBLEM_API_KEY", team=None, status=404, tokens=0, cost=0),
            ]
        )
    return tmp_path


@pytest.fixture
def emblem(home: Path, capsys: pytest.CaptureFixture[str]) -> Emblem:
    def told(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            run(["usage", *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return told


def test_a_table_has_a_line_for_each_key_and_a_total(emblem: Emblem) -> None:
    code, out, err = emblem()
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == "key requests errors inputs tokens hits cost p50 p95 p99".split()  # noqa: SIM905
    assert lines[1] == ["EMBLEM_API_KEY", "1", "1", "2", "0", "1", "0.00"]
    assert lines[2][:7] == ["laptop", "2", "0", "4", "20", "2", "1.5000002"]
    assert lines[3][:7] == ["total", "3", "1", "6", "20", "3", "1.5000002"]
    assert float(lines[2][7]) == pytest.approx(10, rel=0.05)


def test_json_has_ids_names_and_exact_money(emblem: Emblem) -> None:
    code, out, _ = emblem("--by", "team,model", "--team", "search", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["by"] == ["team", "model"]
    assert found["until"] - found["since"] == pytest.approx(7 * 86400)
    bge, minilm = found["usage"]
    assert (bge["model"], minilm["model"]) == ("bge", "minilm")
    assert bge["team_name"] == "search"
    assert bge["team"] != "search"
    assert minilm["cost"] == "1.50"
    assert minilm["ms"]["p50"] == pytest.approx(10, rel=0.05)
    assert found["total"]["requests"] == 2


def test_uses_may_be_of_one_key_and_model_and_longer_ago(emblem: Emblem) -> None:
    assert json.loads(emblem("--key", "laptop", "--json")[1])["total"]["requests"] == 2
    assert (
        json.loads(emblem("--key", "laptop", "--since", "31d", "--json")[1])["total"]["requests"]
        == 3
    )
    assert json.loads(emblem("--model", "bge", "--json")[1])["total"]["requests"] == 1
    assert json.loads(emblem("--key", "EMBLEM_API_KEY", "--json")[1])["total"]["requests"] == 1


def test_by_none_is_one_line(emblem: Emblem) -> None:
    code, out, _ = emblem("--by", "none")
    assert code == 0
    assert out.splitlines()[1].split()[0] == "3"
    assert len(out.splitlines()) == 2


def test_by_user_and_tag_shows_who_named_none(emblem: Emblem) -> None:
    _, out, _ = emblem("--by", "user,tag")
    rows = [line.split()[:3] for line in out.splitlines()[1:]]
    assert rows == [["-", "-", "2"], ["alice", "nightly", "1"], ["total", "3", "1"]]


def test_what_clients_wrote_cannot_act_on_a_terminal(emblem: Emblem, home: Path) -> None:
    with closing(SqlLedger(Database(sqlite(home / SQLITE_FILE)))) as ledger:
        ledger.usage.add([use("5", time.time() - 1, user="\x1b[2Jbob")])
    _, out, _ = emblem("--by", "user")
    assert "\x1b" not in out
    assert "'\\x1b[2Jbob'" in out


def test_nothing_used_is_said(emblem: Emblem) -> None:
    assert emblem("--model", "other") == (0, "", "Nothing was used in this time.\n")


def test_an_export_says_which_records_are_gone(emblem: Emblem, home: Path) -> None:
    with closing(SqlLedger(Database(sqlite(home / SQLITE_FILE)))) as ledger:
        ledger.usage.roll_up(time.time())
        ledger.usage.prune(time.time() - 20 * 86400)
    code, out, err = emblem("--export", "out.csv", "--since", "2020-01-01")
    assert (code, out) == (0, "Wrote 3 records to out.csv.\n")
    assert "are pruned and not in it" in err
    code, _, err = emblem("--export", "out.csv", "--since", "1d")
    assert (code, err) == (0, "")
    _, out, _ = emblem("--export", "out.csv", "--since", "2020-01-01", "--json")
    assert 0 < json.loads(out)["pruned_until"] < time.time() - 20 * 86400


def test_records_are_exported(emblem: Emblem, home: Path) -> None:
    code, out, _ = emblem("--export", "out.csv", "--since", "2020-01-01")
    assert (code, out) == (0, "Wrote 4 records to out.csv.\n")
    assert len((home / "out.csv").read_text().splitlines()) == 5
    code, out, _ = emblem("--export", "out.parquet", "--key", "laptop", "--json")
    assert json.loads(out) == {"file": "out.parquet", "records": 2, "pruned_until": None}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "kee"), "usage is by key, team, model"),
        (("--by", "key,key"), "--by names something twice"),
        (("--since", "yesterday"), "--since must be a span such as 7d or 12h, or a date"),
        (("--since", "1d", "--until", "2d"), "--until must be later than --since"),
        (("--export", "out.xlsx"), "out.xlsx must end in .csv or .parquet"),
        (("--team", "other"), "there is no team 'other'"),
        (("--key", "other"), "there is no key 'other'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    emblem: Emblem, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = emblem(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_help_imports_no_database(tmp_path: Path) -> None:
    program = (
        "import sys; from emblem.cli.main import run\n"
        "try: run(['usage', '--help'])\n"
        "except SystemExit: print('sqlalchemy' in sys.modules, 'pyarrow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "False False"
    assert "--since" in done.stdout
