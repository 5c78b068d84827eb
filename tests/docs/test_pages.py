"""What the pages state about the code: tables, names, links."""

import re
import shlex
import tomllib
from pathlib import Path

import msgspec
import pytest
import typer.main
from markdown_it import MarkdownIt

from docs import catalog_table, presets_table
from docs.pages import ALL, LAYERS, PAGES, ROOT, between, rows
from docs.settings_table import table
from emblem import errors
from emblem.accounts import Limit, Period, Unit
from emblem.api import problems
from emblem.api.models import ModelItem
from emblem.api.running import RunningItem
from emblem.api.wire import EmbeddingsBody
from emblem.cli.main import EXAMPLES, _app
from emblem.config import AliasSettings, DeploymentSettings, ModelSettings, UpstreamSettings
from emblem.config.passing import ChatSettings, RerankSettings

API = ROOT / "docs" / "api.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
MODELS = ROOT / "docs" / "models.md"
UPSTREAMS = ROOT / "docs" / "upstreams.md"
OPERATIONS = ROOT / "docs" / "operations.md"

MINUTE = Limit("key_1", team=False, unit=Unit.TOKENS, period=Period.MINUTE, most=1)
MINUTES_REQUESTS = Limit("key_1", team=False, unit=Unit.REQUESTS, period=Period.MINUTE, most=1)
DAY = Limit("key_1", team=False, unit=Unit.TOKENS, period=Period.DAY, most=1)


def prose(page: Path) -> str:
    """Give a page without its fences."""
    lines = page.read_text("utf-8").splitlines()
    for token in reversed(MarkdownIt().parse("\n".join(lines))):
        if token.type == "fence":
            assert token.map is not None
            del lines[token.map[0] : token.map[1]]
    return "\n".join(lines)


def slug(heading: str) -> str:
    """Give the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_table_of_settings_is_the_settings() -> None:
    assert between(CONFIGURATION, "settings") == table(), (
        "python tests/docs/settings_table.py writes it anew"
    )


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("models", ModelSettings),
        ("aliases", AliasSettings),
        ("upstreams", UpstreamSettings),
        ("deployments", DeploymentSettings),
        ("chat", ChatSettings),
        ("rerank", RerankSettings),
    ],
)
def test_the_tables_of_model_and_alias_settings_have_every_field(name: str, struct: type) -> None:
    fields = [field.name for field in msgspec.structs.fields(struct)]
    assert [row[0] for row in rows(between(CONFIGURATION, name))] == fields


def test_the_table_of_request_fields_has_every_field() -> None:
    fields = {field.name for field in msgspec.structs.fields(EmbeddingsBody)}
    assert {row[0] for row in rows(between(API, "fields"))} == fields


def test_the_table_of_model_fields_has_every_field() -> None:
    fields = {field.name for field in msgspec.structs.fields(ModelItem)}
    assert {row[0] for row in rows(between(API, "model fields"))} == fields


def test_the_table_of_running_models_has_every_field() -> None:
    fields = [field.name for field in msgspec.structs.fields(RunningItem)]
    assert [row[0] for row in rows(between(OPERATIONS, "running fields"))] == fields


def test_the_table_of_errors_is_what_errors_become() -> None:
    given = [
        problems.invalid("x"),
        problems.unknown_url("GET", "/x"),
        problems.wrong_method("GET", "/x", "POST"),
        problems.too_large(1),
        problems.body_timeout(1),
        problems.unsupported("Content-Type", "x", "y"),
        problems.unsupported("Content-Encoding", "x", "y"),
        problems.internal("x"),
        problems.not_ready(["x"]),
        problems.permission_denied("admin"),
        *(
            problems.problem_of(error, "x")
            for error in [
                errors.InvalidRequest("x"),
                errors.InvalidInput([(0, "x")]),
                errors.TooManyTokens("2", 1),
                errors.UnknownModel("x"),
                errors.NotAuthenticated(None),
                errors.NotAuthenticated("x"),
                errors.SourceRefused("x"),
                errors.LedgerUnavailable("x"),
                errors.LimitsUnavailable(),
                errors.RateLimited("x", MINUTE, 7200),
                errors.RateLimited("x", MINUTES_REQUESTS, 7200),
                errors.InsufficientQuota("x", DAY, 7200),
                errors.ChargeTooLarge("x", MINUTE),
                errors.Overloaded("x", 1),
                errors.DeadlineExceeded("x"),
                errors.InvalidResult("x", "y"),
                errors.DeploymentFailed("x"),
            ]
        ),
    ]
    made = {(str(one.status), one.detail.type, one.detail.code or "null") for one in given}
    assert {tuple(row[:3]) for row in rows(between(API, "errors"))} == made


def test_the_table_of_the_catalogue_is_the_catalogue() -> None:
    assert between(MODELS, "catalogue") == catalog_table.table(), (
        "python tests/docs/catalog_table.py writes it anew"
    )


def test_the_table_of_providers_is_the_presets() -> None:
    assert between(UPSTREAMS, "presets") == presets_table.table(), (
        "python tests/docs/presets_table.py writes it anew"
    )


def test_the_figures_of_the_readme_are_those_that_were_kept() -> None:
    kept = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")
    figures = re.findall(r"\d+\.\d+", between(ROOT / "README.md", "figures"))
    assert len(figures) == 12
    assert [figure for figure in figures if figure not in kept] == []


def test_the_layers_are_those_that_are_enforced() -> None:
    (drawn,) = (block for block in ALL if block.mark == LAYERS)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (enforced,) = (
        one["layers"]
        for one in project["tool"]["importlinter"]["contracts"]
        if one["type"] == "layers"
    )
    assert [re.split(r"  +", line)[0] for line in drawn.content.splitlines()] == [
        layer.replace("emblem.", "") for layer in enforced
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_pages_files_and_headings_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", prose(linked), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_in_the_prose_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:src|tests|scripts|requirements|benchmarks|docs)/[\w./-]+)`", prose(page)
    )
    for path in named:
        assert (ROOT / path).exists(), f"{page.name}: {path}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_prose_exist_with_their_flags(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for command in re.findall(r"`((?:emblem|make) [a-z][^`]*)`", prose(page)):
        program, *words = shlex.split(command)
        if program == "make":
            assert words[0] in targets, f"{page.name}: {command}"
            continue
        found = typer.main.get_command(_app(words))
        while words and hasattr(found, "commands"):
            name = words.pop(0)
            assert name in found.commands, f"{page.name}: {command}"
            found = found.commands[name]
        known = {flag for one in found.params for flag in (*one.opts, *one.secondary_opts)}
        flags = {word for word in words if word.startswith("-")}
        assert flags <= known | {"--help"}, f"{page.name}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_place_of_this_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    for place in ("/tmp/", "/root/", "/home/"):
        assert place not in text, f"{page.name} names {place}"


def test_the_page_of_the_command_line_has_every_command_and_exit_code() -> None:
    page = ROOT / "docs" / "command-line.md"

    def commands(words: tuple[str, ...], command: object) -> list[str]:
        inner = getattr(command, "commands", {})
        found = [one for name in inner for one in commands((*words, name), inner[name])]
        return found or [" ".join(words)]

    every = commands(("emblem",), typer.main.get_command(_app([])))
    assert sorted(row[0] for row in rows(prose(page).partition("`--help`")[0])) == sorted(every)
    codes = [row[0] for row in rows(between(page, "exit codes"))]
    help_text = " ".join(EXAMPLES.partition("Exit codes")[2].split())
    assert codes == ["0", "1", "2", "3", "130"]
    assert re.findall(r"\b(\d+) \w", help_text) == codes
