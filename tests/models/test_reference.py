"""The grammar of references: NAME[:VARIANT][@REVISION], and folders."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emblem.errors import ModelError
from emblem.models.reference import Reference, parse

NAMES = st.from_regex(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,9}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,9})?", fullmatch=True
)
VARIANTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,9}", fullmatch=True).filter(
    lambda variant: variant != "latest"
)
REVISIONS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,9}", fullmatch=True)


def no_folder(_: Path) -> bool:
    return False


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("small", Reference("small")),
        ("org/name", Reference("org/name")),
        ("org/name:quantized", Reference("org/name", "quantized")),
        ("org/name@main", Reference("org/name", revision="main")),
        ("org/name@refs/pr/1", Reference("org/name", revision="refs/pr/1")),
        ("org/name:quantized@v1.0", Reference("org/name", "quantized", "v1.0")),
        ("small:q4_k.m-2", Reference("small", "q4_k.m-2")),
        ("small:latest", Reference("small")),
        ("small:latest@v1", Reference("small", revision="v1")),
        ("a/b/c", Reference("a/b/c")),  # the library says that this is none
        ("", Reference("")),
        ("./model", Reference("./model", folder=Path("model"))),
        ("./model:quantized", Reference("./model", "quantized", folder=Path("model"))),
        ("./model:latest", Reference("./model", folder=Path("model"))),
        ("../a@b", Reference("../a@b", folder=Path("../a@b"))),
        ("/a/b:c/d", Reference("/a/b:c/d", folder=Path("/a/b:c/d"))),
        ("/a/b:", Reference("/a/b:", folder=Path("/a/b:"))),
        (".", Reference(".", folder=Path())),
        ("C:\\models\\mine", Reference("C:\\models\\mine", folder=Path("C:\\models\\mine"))),
        ("C:/mine:q8", Reference("C:/mine", "q8", folder=Path("C:/mine"))),
    ],
)
def test_a_reference_is_taken_apart(text: str, meant: Reference) -> None:
    assert parse(text, no_folder) == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("org/name@", "'' is no revision"),
        ("org/name@a b", "a b is no revision"),
        ("org/name@v1:quantized", "the variant comes first: NAME:VARIANT@REVISION"),
        ("org/name@a@b", "a@b is no revision"),
        ("org/name@-rf", "-rf is no revision"),
        ("org/name:", "'' is no variant"),
        ("org/name:a:b", "a:b is no variant"),
        ("org/name:a/b", "a/b is no variant"),
        ("org/name:..", r"\.\. is no variant"),
        ("name:\n", "'.n' is no variant"),
    ],
)
def test_what_has_no_such_form_is_an_error_that_says_which_part(text: str, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        parse(text, no_folder)


def test_a_folder_that_is_there_keeps_its_colon_and_needs_no_dot(tmp_path: Path) -> None:
    (tmp_path / "with:colon").mkdir()
    (tmp_path / "plain").mkdir()
    there = {Path("with:colon"), Path("plain"), Path("org/name")}
    assert parse("with:colon", there.__contains__).folder == Path("with:colon")
    assert parse("plain", there.__contains__) == Reference("plain", folder=Path("plain"))
    assert parse("org/name", there.__contains__).folder == Path("org/name")
    assert parse(f"{tmp_path}/with:colon").folder == tmp_path / "with:colon"
    assert parse(f"{tmp_path}/plain:q8") == Reference(
        f"{tmp_path}/plain", "q8", folder=tmp_path / "plain"
    )


def test_a_home_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somebody")
    monkeypatch.setenv("USERPROFILE", "/somebody")
    assert parse("~/mine:q8", no_folder) == Reference("~/mine", "q8", folder=Path("/somebody/mine"))


@pytest.mark.parametrize("text", ["a\0b", "x" * 5000])
def test_what_no_disk_can_hold_is_no_folder(text: str) -> None:
    assert parse(text) == Reference(text)


@given(NAMES, VARIANTS | st.just(""), REVISIONS | st.none())
def test_what_is_written_from_its_parts_is_read_as_them(
    name: str, variant: str, revision: str | None
) -> None:
    written = name + (f":{variant}" if variant else "") + (f"@{revision}" if revision else "")
    assert parse(written, no_folder) == Reference(name, variant, revision)


@given(st.text(max_size=40))
@example("~nobody-of-that-name/model")
def test_any_text_is_a_reference_or_one_clear_line(text: str) -> None:
    said = ""
    try:
        parse(text, no_folder)
    except ModelError as error:
        said = str(error)
    assert said.isprintable()
