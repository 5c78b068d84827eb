"""``emblem keys``, ``teams`` and ``db``, as a person runs them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from emblem.cli.main import run
from postgres import Postgres

Emblem = Callable[..., subprocess.CompletedProcess[str]]
PASSWORD = "hunter2-and-more"


@pytest.fixture
def emblem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Emblem:
    """Run a command line in this process: what it imports takes longer than what it does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMBLEM_HOME", "h")
    monkeypatch.setenv("HOME", str(tmp_path))

    def command(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                run(words)
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(words, ended.value.code, *capfd.readouterr())

    return command


def shown(done: subprocess.CompletedProcess[str]) -> object:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    return done.stderr


FULL = [
    "--rpm",
    "60",
    "--tpm",
    "100_000",
    "--tpd",
    "5000000",
    "--budget",
    "12.5",
    "--models",
    "bge-*",
    "--models",
    "e5-*",
    "--from",
    "10.0.0.0/8",
    "--expires",
    "2030-12-31",
    "--role",
    "read",
    "--team",
    "search",
    "--owner",
    "ann",
    "--priority",
    "bulk",
]


def test_a_key_has_the_least_role_unless_another_is_asked_for(emblem: Emblem) -> None:
    emblem("keys", "create", "shop")
    emblem("keys", "create", "boss", "--role", "admin")
    roles = {name: shown(emblem("keys", "show", name, "--json")) for name in ("shop", "boss")}
    assert [one["role"] for one in roles.values()] == ["inference", "admin"]  # type: ignore[index]


def test_a_key_is_made_with_all_its_terms_shown_and_changed(emblem: Emblem) -> None:
    emblem("teams", "create", "search")
    made = shown(emblem("keys", "create", "laptop", *FULL, "--json"))
    assert isinstance(made, dict)
    secret = made.pop("key")
    terms = {
        "name": "laptop",
        "owner": "ann",
        "team": "search",
        "role": "read",
        "models": ["bge-*", "e5-*"],
        "sources": ["10.0.0.0/8"],
        "requests_per_minute": 60,
        "tokens_per_minute": 100_000,
        "tokens_per_day": 5_000_000,
        "budget_per_month": "12.50",
        "priority": "bulk",
        "expires": 1_924_905_600,
    }
    assert terms.items() <= made.items()
    assert shown(emblem("keys", "show", "laptop", "--json")) == made
    assert shown(emblem("keys", "list", "--json")) == [made]
    facts = emblem("keys", "show", "laptop").stdout
    for word in ("60 requests/min", "12.50/month", "bge-*, e5-*", "until 20", "search"):
        assert word in facts
    clear = [
        "--rpm",
        "none",
        "--budget",
        "none",
        "--models",
        "any",
        "--from",
        "any",
        "--expires",
        "never",
        "--team",
        "none",
    ]
    changed = shown(emblem("keys", "set", "laptop", *clear, "--name", "desk", "--json"))
    assert changed == made | {
        "name": "desk",
        "team": None,
        "models": [],
        "sources": [],
        "requests_per_minute": None,
        "budget_per_month": None,
        "expires": None,
    }
    assert secret not in emblem("keys", "list").stdout


def test_a_rotated_key_shows_its_new_secret_once(emblem: Emblem) -> None:
    first = emblem("keys", "create", "laptop", "--quiet").stdout.strip()
    done = emblem("keys", "rotate", "laptop", "--overlap", "1h")
    assert done.returncode == 0
    second = done.stdout.strip()
    assert second.startswith("sk-")
    assert second != first
    assert "shown only now" in done.stderr
    listed = emblem("keys", "show", "laptop").stdout
    assert f"…{first[-4:]} until" in listed
    assert f"…{second[-4:]}\n" in listed


def test_a_name_that_several_keys_have_asks_for_an_id(emblem: Emblem) -> None:
    ids = [shown(emblem("keys", "create", "ci", "--json"))["id"] for _ in range(2)]  # type: ignore[index]
    said = refused(emblem("keys", "set", "ci", "--rpm", "5"))
    assert all(one in said for one in ids)
    assert emblem("keys", "set", ids[0], "--rpm", "5").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("create x --rpm 0", "a whole number from 1 to"),
        ("create x --rpm many", "--rpm must be a whole number, or none"),
        ("create x --budget 1e3", "an amount of money"),
        ("create x --expires yesterday", "an end is a span such as 30d"),
        ("create x --expires 2020-01-01", "before it is made"),
        ("create x --role boss", "a role is one of inference, read, admin"),
        ("create x --from 10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("create x --team nope", "there is no team 'nope'"),
        ("create x --priority high", "a priority is one of"),
        ("set nobody --rpm 1", "there is no live key 'nobody'"),
        ("rotate nobody", "there is no live key 'nobody'"),
        ("show nobody", "there is no live key 'nobody'"),
        ("import", "--litellm postgresql://"),
        ("import --litellm sqlite:///x.db", "begins with postgresql://"),
    ],
)
def test_what_is_wrong_is_one_line(emblem: Emblem, words: str, said: str) -> None:
    assert said in refused(emblem("keys", *words.split()))


def test_nothing_to_change_is_said(emblem: Emblem) -> None:
    emblem("keys", "create", "laptop", "--rpm", "5")
    assert "nothing was asked for" in refused(emblem("keys", "set", "laptop", "--rpm", "5"))


def test_teams_are_made_listed_changed_and_deleted(emblem: Emblem) -> None:
    made = emblem("teams", "create", "data science", "--tpm", "1000", "--models", "e5-*")
    assert "emblem keys create NAME --team 'data science'" in made.stdout
    emblem("keys", "create", "laptop", "--team", "data science")
    (team,) = shown(emblem("teams", "list", "--json"))  # type: ignore[misc]
    assert (team["name"], team["tokens_per_minute"], team["keys"]) == ("data science", 1000, 1)
    emblem("teams", "set", "data science", "--tpm", "2000", "--name", "ds")
    row = emblem("teams", "list").stdout.splitlines()[1]
    assert row.startswith("ds ")
    assert "2000 tokens/min" in row
    assert "1 live key belongs" in refused(emblem("teams", "delete", "ds"))
    emblem("keys", "revoke", "laptop")
    assert emblem("teams", "delete", "ds").stdout == "Deleted the team 'ds'.\n"
    assert "There is no team yet" in emblem("teams", "list").stderr


def test_the_database_is_upgraded_checked_and_copied(emblem: Emblem, tmp_path: Path) -> None:
    missing = emblem("db", "check")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no file" in missing.stderr
    assert not (tmp_path / "h").exists()
    done = shown(emblem("db", "upgrade", "--json"))
    assert isinstance(done, dict)
    assert (done["before"], done["version"] > "0001") == (None, True)
    assert "already" in emblem("db", "upgrade").stdout
    assert "is sound" in emblem("db", "check").stdout
    emblem("keys", "create", "laptop")
    assert emblem("db", "backup", "copy.db").returncode == 0
    assert "there already" in refused(emblem("db", "backup", "copy.db"))
    copied = emblem("keys", "list", EMBLEM_DATABASE=f"sqlite:///{tmp_path}/copy.db")
    assert "laptop" in copied.stdout


def test_a_damaged_database_is_exit_code_1(emblem: Emblem, tmp_path: Path) -> None:
    emblem("db", "upgrade")
    (tmp_path / "h" / "emblem.db").write_bytes(b"not a database, but long enough" * 100)
    done = emblem("db", "check", "--json")
    assert done.returncode == 1
    assert "not a database" in json.loads(done.stdout)["problems"][0]


def test_postgresql_is_used_where_the_setting_or_a_file_names_it(
    emblem: Emblem, tmp_path: Path, postgres: Postgres
) -> None:
    address = postgres.new()
    assert emblem("keys", "create", "laptop", EMBLEM_DATABASE=address).returncode == 0
    (tmp_path / "secret").write_text(f"{address}\n")
    assert "laptop" in emblem("keys", "list", EMBLEM_DATABASE_FILE="secret").stdout
    checked = emblem("db", "check", EMBLEM_DATABASE=address)
    assert "is sound" in checked.stdout
    assert "pg_dump" in refused(emblem("db", "backup", "x", EMBLEM_DATABASE=address))
    assert not (tmp_path / "h" / "emblem.db").exists()


@pytest.mark.parametrize(
    "words", [("keys", "list"), ("db", "upgrade"), ("config", "show"), ("db", "backup", "x")]
)
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_the_password_of_a_database_is_shown_nowhere(
    emblem: Emblem, scheme: str, words: tuple[str, ...]
) -> None:
    done = emblem(*words, EMBLEM_DATABASE=f"{scheme}://me:{PASSWORD}@127.0.0.1:1/emblem")
    assert done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), ("", "one line"), ("a\nb", "one line")]
)
def test_a_file_without_an_address_is_one_line(
    emblem: Emblem, tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    assert said in refused(emblem("keys", "list", EMBLEM_DATABASE_FILE="secret"))


def test_both_an_address_and_a_file_of_it_are_refused(emblem: Emblem) -> None:
    both = {"EMBLEM_DATABASE": "sqlite:///x.db", "EMBLEM_DATABASE_FILE": "secret"}
    assert "both set" in refused(emblem("keys", "list", **both))


def test_keys_of_litellm_are_taken_over(emblem: Emblem, postgres: Postgres) -> None:
    from ledger.test_litellm import KEYS, TEAM, fill

    address = postgres.new()
    fill(address, "public", [TEAM], KEYS)
    would = emblem("keys", "import", "--litellm", address, "--dry-run")
    assert "Would take over 2 keys and 1 teams, and left 2 out." in would.stderr
    assert "max_budget 3 for ever" in would.stdout
    assert shown(emblem("keys", "list", "--json")) == []
    did = emblem("keys", "import", "--litellm", address, "--json")
    assert [key["name"] for key in json.loads(did.stdout)["keys"]] == ["ann", "sk-...5678"]
    listed = emblem("keys", "list").stdout
    assert "sk-…1234" in listed
    assert "search" in listed
