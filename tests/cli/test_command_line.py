"""The commands from outside: what they print, and where."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emblem import __version__
from emblem.config import SECRETS, describe

Emblem = Callable[..., "subprocess.CompletedProcess[str]"]
SECRET = re.compile(r"sk-[A-Za-z0-9_-]{43}")


def test_version_is_one_line(emblem: Emblem) -> None:
    done = emblem("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"emblem {__version__}\n", "")


def test_help_shows_every_command_and_examples(emblem: Emblem) -> None:
    done = emblem("--help")
    assert done.returncode == 0
    for word in ("serve", "pull", "keys", "env", "config", "rebind", 'eval "$(emblem env)"'):
        assert word in done.stdout
    assert emblem().stdout == done.stdout


def test_help_of_serve_shows_a_flag_for_every_setting_but_the_secret_one(emblem: Emblem) -> None:
    shown = emblem("serve", "--help", COLUMNS="100").stdout
    for setting in describe():
        if setting.name == "serve":
            assert "[MODELS]" in shown
        else:
            flag = f"--{setting.name.replace('_', '-')} "
            assert (flag in shown) is (setting.name not in SECRETS)
    assert "--no-auth" in shown
    assert "(8080)" in shown


def test_a_key_is_created_listed_and_revoked(emblem: Emblem) -> None:
    created = emblem("keys", "create", "laptop")
    secret = created.stdout.strip()
    assert SECRET.fullmatch(secret)
    assert created.stderr == "That is the key 'laptop'. It is shown only now; keep it safe.\n"

    listed = emblem("keys", "list").stdout
    assert "laptop" in listed
    assert f"sk-…{secret[-4:]}" in listed
    assert secret not in listed

    assert emblem("keys", "revoke", "laptop").stdout == "Revoked 1 key 'laptop'.\n"
    again = emblem("keys", "revoke", "laptop")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == (
        "emblem: there is no live key 'laptop'; emblem keys list shows what there is\n"
    )


def test_keys_speak_json(emblem: Emblem) -> None:
    created = json.loads(emblem("keys", "create", "ключ", "--json").stdout)
    secret = created.pop("key")
    assert SECRET.fullmatch(secret)
    assert created["name"] == "ключ"
    assert created["last_four"] == secret[-4:]
    assert json.loads(emblem("keys", "list", "--json").stdout) == [created]
    revoked = emblem("keys", "revoke", created["id"], "--json")
    assert json.loads(revoked.stdout) == {"revoked": 1}
    (after,) = json.loads(emblem("keys", "list", "--json").stdout)
    assert after["revoked"] >= created["created"]


def test_a_quiet_key_is_the_key_and_nothing_else(emblem: Emblem) -> None:
    done = emblem("keys", "create", "script", "--quiet")
    assert SECRET.fullmatch(done.stdout.removesuffix("\n"))
    assert done.stderr == ""


def test_a_name_with_markup_is_shown_as_it_is(emblem: Emblem) -> None:
    emblem("keys", "create", "[red]x[/red] " + "y" * 50)
    assert "[red]x[/red] " + "y" * 50 in emblem("keys", "list").stdout


def test_a_name_that_the_terminal_cannot_show_does_no_harm(emblem: Emblem) -> None:
    emblem("keys", "create", "鍵")
    done = emblem("keys", "list", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "鍵" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_env_is_fit_for_eval(emblem: Emblem) -> None:
    done = emblem("env", "--name", "mine", EMBLEM_PORT="9000", EMBLEM_HOST="0.0.0.0")
    script = f'{done.stdout}printf "%s %s" "$OPENAI_BASE_URL" "$OPENAI_API_KEY"'
    shell = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=True)
    address, key = shell.stdout.split()
    assert address == "http://127.0.0.1:9000/v1"
    assert SECRET.fullmatch(key)
    (listed,) = json.loads(emblem("keys", "list", "--json").stdout)
    assert (listed["name"], listed["last_four"]) == ("mine", key[-4:])


def test_env_names_its_key_after_the_machine_and_the_day(emblem: Emblem) -> None:
    emblem("env")
    (listed,) = json.loads(emblem("keys", "list", "--json").stdout)
    assert re.fullmatch(r"env-.+-\d{4}-\d\d-\d\d", listed["name"])


def test_config_show_prints_a_file_that_means_the_same(emblem: Emblem, tmp_path: Path) -> None:
    (tmp_path / "emblem.toml").write_text(
        'threads = 3\n[aliases."a/b"]\nmodel = "x"\noverflow = "error"\n'
        '[upstreams.there]\npreset = "emblem"\n'
        '[models.m]\ndeployments = [{ local = true }, { upstream = "there", weight = 2 }]\n'
    )
    first = emblem("config", "show", EMBLEM_PORT="9000")
    assert re.search(r"^port = 9000 +# EMBLEM_PORT$", first.stdout, re.MULTILINE)
    assert re.search(rf"^threads = 3 +# {tmp_path}/emblem.toml$", first.stdout, re.MULTILINE)
    assert re.search(r"^host = \"127.0.0.1\" +# default$", first.stdout, re.MULTILINE)
    assert '[aliases."a/b"]' in first.stdout
    (tmp_path / "saved").write_text(first.stdout)
    second = json.loads(emblem("config", "show", "--json", "--config", "saved").stdout)
    before = json.loads(emblem("config", "show", "--json", EMBLEM_PORT="9000").stdout)
    values = {name: entry.get("value") for name, entry in before.items()}
    assert values == {name: entry.get("value") for name, entry in second.items()}
    for table in ("models", "upstreams"):
        assert {name: entry["value"] for name, entry in before[table].items()} == {
            name: entry["value"] for name, entry in second[table].items()
        }
    assert before["aliases"]["a/b"]["value"] == {"model": "x", "overflow": "error"}
    assert before["port"] == {"value": 9000, "from": "EMBLEM_PORT"}


def test_config_show_never_shows_the_key(emblem: Emblem) -> None:
    key = "sk-a-key-of-my-own-0123456789"
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        done = emblem(*arguments, EMBLEM_API_KEY=key)
        assert "********" in done.stdout
        assert "EMBLEM_API_KEY" in done.stdout
        assert key not in done.stdout + done.stderr


def test_rebind_forgets_the_space_of_a_name(emblem: Emblem, tmp_path: Path) -> None:
    unknown = emblem("rebind", "model")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "no space is recorded for 'model'; recorded names: none" in unknown.stderr
    bind = (
        "from emblem.config import Settings; from emblem.ledger.opening import open_ledger;"
        "open_ledger(Settings(home='h')).spaces.bind('model', 'sha256:1', 'model@1/384', now=1.0)"
    )
    subprocess.run([sys.executable, "-c", bind], cwd=tmp_path, check=True)
    done = emblem("rebind", "model")
    assert done.returncode == 0
    assert "'model' stood for model@1/384." in done.stdout
    assert emblem("rebind", "model").returncode == 2


def test_pull_gives_the_folder_of_a_model_that_is_here(emblem: Emblem, tmp_path: Path) -> None:
    done = emblem("pull", "no-such-model", EMBLEM_OFFLINE="true")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-model" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_wrong_is_one_line_and_exit_code_2(emblem: Emblem) -> None:
    done = emblem("serve", "--port", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "emblem: --port is 'x'; it must be a whole number from 1 to 65535\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pipe")
def test_a_reader_that_leaves_early_causes_no_complaint(tmp_path: Path) -> None:
    script = f"{sys.executable} -m emblem config show --home {tmp_path} | true"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == ""
