"""Which names a configuration serves."""

from dataclasses import replace

import pytest

from emblem.config import AliasSettings, ModelSettings, Settings
from emblem.errors import ConfigError
from emblem.model import Model
from emblem.names import OPENAI_WIDTHS, Options, Served
from emblem.offer import Prompts
from emblem.roster import roster
from emblem.types import Kind, Lane, OutputType, Overflow, TokenIds
from tiny_engine import model

PLAIN = model("plain", width=24)
ASKING = replace(model("asking"), prompts=Prompts("ask: ", "say: "))


def served(
    *models: Model, settings: Settings | None = None, own: ModelSettings | None = None
) -> dict[str, Served]:
    configured = [(one, own or ModelSettings(), 1_700_000_000) for one in models]
    return {one.name: one for one in roster(configured, settings or Settings(), "plain")}


def aliased(*models: Model, **aliases: AliasSettings) -> dict[str, Served]:
    return served(*models, settings=Settings(aliases=aliases))


def test_a_model_without_prompts_has_one_name() -> None:
    assert list(served(model("other"))) == ["other"]


def test_a_model_with_prompts_is_also_served_by_kind() -> None:
    found = served(ASKING)
    assert list(found) == ["asking", "asking-query", "asking-document"]
    assert found["asking"].fixed == Options()
    assert found["asking-query"].fixed == Options(kind=Kind.QUERY)
    assert found["asking-document"].fixed == Options(kind=Kind.DOCUMENT)
    assert found["asking-query"].alias_of == "asking"
    assert found["asking-query"].created == 1_700_000_000


def test_openai_s_names_stand_for_the_default_model_while_nothing_is_configured() -> None:
    found = served(ASKING, PLAIN)
    assert {name for name in found if name.startswith("text-")} == set(OPENAI_WIDTHS)
    for name in OPENAI_WIDTHS:
        assert (found[name].model, found[name].alias_of) == (PLAIN, "plain")


def test_openai_s_names_are_gone_once_models_are_configured() -> None:
    settings = Settings(models={"plain": ModelSettings()})
    assert list(served(PLAIN, settings=settings)) == ["plain"]


def test_openai_s_names_are_not_served_without_the_default_model() -> None:
    assert not set(OPENAI_WIDTHS) & set(served(ASKING))


def test_a_configured_name_replaces_the_one_of_openai() -> None:
    alias = AliasSettings(model="asking", dimensions=4)
    found = aliased(ASKING, PLAIN, **{"text-embedding-3-small": alias})
    assert found["text-embedding-3-small"].model is ASKING
    assert found["text-embedding-3-large"].model is PLAIN


def test_an_alias_carries_whatever_an_unmodified_client_cannot_say() -> None:
    alias = AliasSettings(
        model="asking",
        dimensions=8,
        input_type=Kind.QUERY,
        output_dtype=OutputType.BINARY,
        overflow=Overflow.TRUNCATE,
        priority=Lane.BULK,
        token_ids=TokenIds.REFUSE,
    )
    one = aliased(ASKING, mine=alias)["mine"]
    assert one.fixed == Options(
        8, Kind.QUERY, OutputType.BINARY, Overflow.TRUNCATE, Lane.BULK
    )  # fmt: skip
    assert (one.token_ids, one.alias_of, one.model) == (TokenIds.REFUSE, "asking", ASKING)


def test_an_alias_of_a_model_s_query_form_asks_queries() -> None:
    one = aliased(ASKING, mine=AliasSettings(model="asking-query", dimensions=4))["mine"]
    assert one.fixed == Options(dimensions=4, kind=Kind.QUERY)


def test_an_alias_may_take_the_place_of_a_model_s_query_form() -> None:
    alias = AliasSettings(model="asking", input_type=Kind.QUERY, dimensions=4)
    assert aliased(ASKING, **{"asking-query": alias})["asking-query"].fixed.dimensions == 4


def test_how_token_arrays_are_read_comes_from_alias_model_and_settings_in_this_order() -> None:
    settings = Settings(
        token_ids=TokenIds.REFUSE,
        aliases={
            "same": AliasSettings(model="plain"),
            "other": AliasSettings(model="plain", token_ids=TokenIds.CL100K),
        },
    )
    assert served(PLAIN, settings=settings)["plain"].token_ids is TokenIds.REFUSE
    own = ModelSettings(token_ids=TokenIds.NATIVE)
    found = served(PLAIN, settings=settings, own=own)
    assert [found[name].token_ids for name in ("plain", "same", "other")] == [
        TokenIds.NATIVE,
        TokenIds.NATIVE,
        TokenIds.CL100K,
    ]


@pytest.mark.parametrize(
    ("alias", "why"),
    [
        (AliasSettings(model="nobody"), r"\[aliases.mine\] model = 'nobody' is not a model"),
        (AliasSettings(model="mine"), "'mine' is not a model"),
        (AliasSettings(model="text-embedding-3-small"), "is not a model"),
        (AliasSettings(model="plain", dimensions=25), r"\[aliases.mine\] dimensions: `mine` gives"),
        (AliasSettings(model="plain", input_type=Kind.QUERY), "input_type: .*no prompts"),
        (AliasSettings(model="plain", dimensions=4, output_dtype=OutputType.BINARY), "multiple"),
        (AliasSettings(model="asking-query", input_type=Kind.DOCUMENT), "input_type: .*stands for"),
    ],
)
def test_an_alias_that_cannot_be_is_an_error_of_the_configuration(
    alias: AliasSettings, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        aliased(PLAIN, ASKING, mine=alias)


def test_an_alias_of_an_alias_is_refused_whatever_comes_first() -> None:
    first, second = AliasSettings(model="plain", dimensions=4), AliasSettings(model="a")
    for aliases in ({"a": first, "b": second}, {"b": second, "a": first}):
        with pytest.raises(ConfigError, match=r"\[aliases.b\] model = 'a' is not a model"):
            aliased(PLAIN, **aliases)


def test_a_name_that_stands_for_two_things_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match="`plain` stands for two things"):
        aliased(PLAIN, plain=AliasSettings(model="plain"))
    with pytest.raises(ConfigError, match="`asking-query` stands for two things"):
        served(ASKING, model("asking-query"))
    with pytest.raises(ConfigError, match="`plain` stands for two things"):
        served(PLAIN, PLAIN)


def rostered(source: str, name: str = "bge-m3", **given: object) -> list[str]:
    """Give the names of a model that was configured with this source."""
    own = ModelSettings(source=source, **given)
    return list(served(model(name), own=own))


@pytest.mark.parametrize("source", ["bge-m3", "BAAI/bge-m3", "bge-m3:latest", "bge-m3:567m", ""])
def test_a_catalogue_model_answers_to_its_repository_and_to_what_ollama_calls_it(
    source: str,
) -> None:
    assert rostered(source) == ["bge-m3", "BAAI/bge-m3", "bge-m3:567m"]


def test_the_other_names_are_aliases_without_options() -> None:
    own = ModelSettings(source="bge-m3", token_ids=TokenIds.NATIVE)
    found = served(model("bge-m3"), own=own)["BAAI/bge-m3"]
    assert (found.alias_of, found.fixed, found.token_ids) == ("bge-m3", Options(), TokenIds.NATIVE)


@pytest.mark.parametrize(
    "own",
    [
        {"source": "./bge-m3"},
        {"source": "BAAI/bge-m3", "revision": "main"},
        {"source": "BAAI/bge-m3@main"},
        {"source": "bge-m3", "variant": "quantized"},
        {"source": "bge-m3", "name": "mine"},
    ],
)
def test_what_is_not_just_the_catalogue_s_model_has_no_other_names(own: dict[str, str]) -> None:
    assert len(rostered(**own)) == 1


def test_a_configured_name_comes_before_a_short_one() -> None:
    settings = Settings(aliases={"all-minilm": AliasSettings(model="plain")})
    found = served(model("all-MiniLM-L6-v2"), PLAIN, settings=settings)
    assert found["all-minilm"].model is PLAIN
    assert found["all-minilm:22m"].model.name == "all-MiniLM-L6-v2"
