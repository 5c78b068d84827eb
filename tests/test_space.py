"""What makes two vectors comparable, and how it is written."""

from dataclasses import replace

import pytest

from emblem.space import Space, recipe_digest
from emblem.types import OutputType, Overflow

SPACE = Space("all-MiniLM-L6-v2", "53aa5117" + "0" * 56, "beef" * 16, 384, True, known_recipe=True)


def test_a_space_of_the_catalogue_is_written_by_its_weights_alone() -> None:
    assert str(SPACE) == "all-MiniLM-L6-v2@53aa5117/384"


def test_another_recipe_for_the_same_weights_is_written() -> None:
    assert str(replace(SPACE, known_recipe=False)) == "all-MiniLM-L6-v2@53aa5117-beefbeef/384"


def test_what_a_request_changes_is_written() -> None:
    assert SPACE.written(dimensions=256).endswith("@53aa5117/256")
    assert SPACE.written(overflow=Overflow.TRUNCATE).endswith("/384+truncate")
    assert SPACE.written(output=OutputType.INT8).endswith("/384+int8")
    everything = SPACE.written(
        dimensions=8, overflow=Overflow.TRUNCATE, output=OutputType.UBINARY
    )  # fmt: skip
    assert everything.endswith("/8+truncate+ubinary")


def test_what_changes_no_vector_is_not_written() -> None:
    assert SPACE.written(overflow=Overflow.MEAN) == str(SPACE)
    assert SPACE.written(overflow=Overflow.ERROR) == str(SPACE)
    assert SPACE.written(dimensions=384, output=OutputType.FLOAT) == str(SPACE)


def test_a_space_that_truncates_says_so_unless_a_request_takes_the_mean() -> None:
    cutting = replace(SPACE, overflow=Overflow.TRUNCATE)
    assert str(cutting).endswith("+truncate")
    assert cutting.written(overflow=Overflow.ERROR).endswith("+truncate")
    assert cutting.written(overflow=Overflow.MEAN) == str(SPACE)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "0" * 64},
        {"recipe": "0" * 64},
        {"width": 256},
        {"overflow": Overflow.TRUNCATE},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_space_has_another_identity(change: dict[str, object]) -> None:
    assert replace(SPACE, **change).identity != SPACE.identity


def test_a_space_keeps_its_identity_under_another_name() -> None:
    assert replace(SPACE, name="mine", known_recipe=False).identity == SPACE.identity


def test_the_digest_of_a_recipe_depends_on_what_it_says_and_not_on_its_order() -> None:
    recipe = {"pooling": ["mean"], "prompt": "文"}
    assert recipe_digest(recipe) == recipe_digest(dict(reversed(recipe.items())))
    assert recipe_digest(recipe) != recipe_digest({**recipe, "pooling": ["cls"]})
    assert len(recipe_digest(recipe)) == 64


def test_a_declared_space_is_its_name_its_width_and_its_rule() -> None:
    declared = Space.declared("api.example.com/a-model", 8, normalised=True)
    assert (declared.is_declared, SPACE.is_declared) == (True, False)
    assert (str(declared), declared.digest) == ("api.example.com/a-model/8", "")
    assert declared.written(dimensions=4) == "api.example.com/a-model/4"
    assert declared.identity == "declared:api.example.com/a-model/8+mean"
    assert len(declared.declared_digest) == 8
    assert declared.declared_digest != replace(declared, width=4).declared_digest
    cutting = replace(declared, overflow=Overflow.TRUNCATE)
    assert (str(cutting), cutting.identity == declared.identity) == (f"{declared}+truncate", False)


@pytest.mark.parametrize("digest", ["53aa5117", "53aa5117-0123abcd"])
def test_what_another_emblem_calls_its_space_is_pinned_by_the_same_digits(digest: str) -> None:
    declared = Space.declared(f"all-MiniLM-L6-v2@{digest}", 384, normalised=True)
    assert declared.declared_digest == digest
