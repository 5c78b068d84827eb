"""``[prices]`` of emblem.toml: what is taken, and in which words the rest is refused."""

from pathlib import Path

import pytest

from emblem.config import load, rates
from emblem.errors import ConfigError


def read(folder: Path, toml: str, **environ: str):
    (folder / "emblem.toml").write_text(toml)
    return load(flags={}, environ={"HOME": str(folder), **environ}, directory=folder)


@pytest.mark.parametrize(
    ("written", "billionths"),
    [
        ('"0.02"', 20),
        ("0.02", 20),
        ("0.13", 130),
        ("1", 1000),
        ('"1e-3"', 1),
        ("0.001", 1),
        ("0", 0),
        ('" 15.150 "', 15_150),
        ("1e6", 10**9),
        ("0.29", 290),  # as a binary fraction a little less than that
    ],
)
def test_a_price_of_a_million_tokens_is_whole_billionths_a_token(
    tmp_path: Path, written: str, billionths: int
) -> None:
    found = read(tmp_path, f'[prices]\n"bge-*" = {written}')
    assert rates(found.settings) == (("bge-*", billionths),)


def test_prices_keep_the_order_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, '[prices]\n"z*" = 3\n"a*" = 2\n"*" = 1')
    assert rates(found.settings) == (("z*", 3000), ("a*", 2000), ("*", 1000))
    assert found.origins["prices.z*"] == str(tmp_path / "emblem.toml")


@pytest.mark.parametrize(
    "written",
    [
        '"0.0005"',
        "0.0005",
        "nan",
        "inf",
        "-1",
        "true",
        '"free"',
        '""',
        "1000001",
        "[1]",
        '"1e999999999"',
    ],
)
def test_a_price_that_is_none_is_refused_in_one_line(tmp_path: Path, written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f'[prices]\n"bge-*" = {written}')
    said = str(caught.value)
    assert "[prices] 'bge-*' is" in said
    assert "at most 3 decimals" in said
    assert "\n" not in said


def test_prices_that_are_no_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prices must be a table: \[prices\]"):
        read(tmp_path, "prices = 0.02")


def test_prices_have_no_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"EMBLEM_PRICES cannot be set; \[prices\] belongs into"):
        read(tmp_path, "", EMBLEM_PRICES="1")
