"""Models that are served elsewhere: what is known of them before anything is sent there."""

from pathlib import Path

import numpy as np
import pytest

from emblem.config import DeploymentSettings, ModelSettings, Settings, UpstreamSettings
from emblem.config.fields import HeaderSettings
from emblem.errors import ConfigError, ModelError
from emblem.hosting import Hosting, host, is_hosted, is_local
from emblem.model import Tokenization
from emblem.providers import provider
from emblem.types import Kind, Overflow
from emblem.upstreams.answers import Named
from emblem.upstreams.finding import Probed

SMALL = "text-embedding-3-small"
AT = UpstreamSettings(preset="openai-compatible", base_url="http://127.0.0.1:9/v1")


def settings(**upstreams: UpstreamSettings) -> Settings:
    return Settings(upstreams=upstreams)


def tokenizers(name: str, length: int) -> Tokenization | None:
    return Tokenization(Path(name), length) if name != "cl100k" else None


def hosted(own: ModelSettings, name: str = SMALL, **upstreams: UpstreamSettings) -> Hosting:
    return host(name, own, None, settings(**upstreams), tokenizers)


def refusal(own: ModelSettings, name: str = SMALL, **upstreams: UpstreamSettings) -> str:
    with pytest.raises(ConfigError) as caught:
        hosted(own, name, **upstreams)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def two(*given: tuple[str, str]) -> ModelSettings:
    return ModelSettings(deployments=tuple(DeploymentSettings(*one) for one in given))


def test_a_providers_known_model_needs_nothing_but_its_name() -> None:
    found = hosted(ModelSettings(upstream="openai"))
    assert str(found.offer.space) == f"openai/{SMALL}/1536"
    assert (found.offer.width, found.offer.max_length) == (1536, 8192)
    assert found.offer.shortening
    assert found.offer.space.normalised
    assert found.offer.space.overflow is Overflow.ERROR  # nobody here can cut its texts
    (one,) = found.deployments
    assert (one.name, one.upstream, one.model) == ("openai", "openai", SMALL)
    assert not found.local


def test_what_is_said_of_a_model_goes_before_what_is_known_of_it() -> None:
    own = ModelSettings(upstream="openai", width=512, space="ours/small", max_length=100)
    found = hosted(own)
    assert str(found.offer.space) == "ours/small/512"
    assert found.offer.max_length == 100


def test_a_model_whose_tokenizer_is_known_has_its_long_texts_windowed() -> None:
    own = ModelSettings(
        upstream="mine", source="org/m", width=8, max_length=64, tokenizer="/t", normalised=True
    )
    found = hosted(own, "m", mine=AT)
    assert found.tokenization == Tokenization(Path("/t"), 64)
    assert found.offer.space.overflow is Overflow.MEAN
    assert found.offer.space.name.startswith(
        "mine/org/m@"
    )  # what it gives for them is decided here
    cutting = hosted(ModelSettings(**{**_fields(own), "overflow": Overflow.TRUNCATE}), "m", mine=AT)
    assert cutting.offer.space.overflow is Overflow.TRUNCATE


def _fields(own: ModelSettings) -> dict[str, object]:
    return {name: getattr(own, name) for name in own.__struct_fields__}


def test_prompts_make_a_model_that_embeds_queries_and_documents_differently() -> None:
    own = ModelSettings(
        upstream="mine", width=8, max_length=64, query_prompt="query: ", document_prompt="text: "
    )
    found = hosted(own, "m", mine=AT)
    assert found.offer.kinds
    assert found.offer.prompts.query == "query: "
    cohere = ModelSettings(upstream="cohere", source="embed-v4.0")
    assert hosted(cohere, "c").offer.kinds
    told = refusal(ModelSettings(**{**_fields(cohere), "query_prompt": "q: "}), "c")
    assert "cohere is told itself what a text is for" in told


def test_what_a_table_adds_to_a_model_is_part_of_the_name_of_its_space() -> None:
    plain = ModelSettings(upstream="mine", source="org/m", width=8, max_length=64)
    added = (
        {},
        {"query_prompt": "query: "},
        {"query_prompt": "Query: "},
        {"document_prompt": "query: "},
        {"tokenizer": "/t"},
        {"tokenizer": "/t", "max_length": 32},
    )
    names = [
        hosted(ModelSettings(**{**_fields(plain), **one}), "m", mine=AT).offer.space.name
        for one in added
    ]
    assert names[0] == "mine/org/m"
    assert len(set(names)) == len(added)
    shorter = ModelSettings(
        **{**_fields(plain), "max_length": 32}
    )  # refuses more, and cuts nothing
    assert hosted(shorter, "m", mine=AT).offer.space.name == "mine/org/m"
    said = ModelSettings(**{**_fields(plain), "query_prompt": "query: ", "space": "ours/m"})
    assert hosted(said, "m", mine=AT).offer.space.name == "ours/m"


def test_an_emblem_that_is_spoken_to_as_any_other_server_does_not_name_the_space(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = Named("org/m@01234567", 8, Overflow.MEAN)
    found = Probed(8, True, "m", named, True, None, np.ones((1, 8), np.float32))
    monkeypatch.setattr("emblem.hosting._look", lambda *_: (found, None))
    own = ModelSettings(upstream="mine", source="org/m", max_length=64)
    assert str(hosted(own, "m", mine=AT).offer.space) == "mine/org/m/8"
    assert hosted(own, "m", mine=AT).offer.space.overflow is Overflow.ERROR
    emblem = UpstreamSettings(preset="emblem", base_url="http://127.0.0.1:9/v1")
    assert str(hosted(own, "m", mine=emblem).offer.space) == "org/m@01234567/8"


def test_another_emblem_that_cannot_be_asked_is_named_as_the_reason() -> None:
    emblem = UpstreamSettings(preset="emblem", base_url="http://127.0.0.1:9/v1")
    said = refusal(ModelSettings(upstream="mine", width=8, max_length=64), "m", mine=emblem)
    assert said.startswith(
        "[models.m] is served by another Emblem, and what it gives could not be found out: mine "
    )


def test_deployments_that_are_known_to_be_two_models_are_refused() -> None:
    own = two(("openai", ""), ("azure", "text-embedding-3-large"))
    azure = UpstreamSettings(base_url="https://x.openai.azure.com/openai/v1")
    said = refusal(own, azure=azure)
    assert (
        "deployments of text-embedding-3-small (openai) and text-embedding-3-large (azure)" in said
    )
    assert "cannot be compared" in said
    same = hosted(two(("openai", ""), ("azure", SMALL)), azure=azure)
    assert [one.name for one in same.deployments] == ["openai", "azure"]


def test_two_deployments_of_one_upstream_are_called_after_their_models_too() -> None:
    own = ModelSettings(
        **{**_fields(two(("mine", "a"), ("mine", "b"))), "width": 8, "max_length": 64}
    )
    found = hosted(own, "m", mine=AT)
    assert [one.name for one in found.deployments] == ["mine/a", "mine/b"]
    twice = ModelSettings(
        **{**_fields(two(("mine", ""), ("mine", ""))), "width": 8, "max_length": 64}
    )
    assert "has the deployment mine/m twice" in refusal(twice, "m", mine=AT)


def test_an_upstream_that_may_cut_long_texts_needs_the_length_of_its_model() -> None:
    said = refusal(ModelSettings(upstream="mine", width=8), "m", mine=AT)
    assert "[models.m] needs max_length" in said
    assert "mine may cut longer texts without a word" in said
    said = refusal(ModelSettings(upstream="mine", width=8, tokenizer="/t"), "m", mine=AT)
    assert "say max_length, too" in said


def test_an_upstream_that_is_said_to_refuse_long_texts_needs_no_length() -> None:
    refusing = UpstreamSettings(
        preset="openai-compatible", base_url="http://127.0.0.1:9/v1", refuses_long=True
    )
    assert (
        hosted(ModelSettings(upstream="mine", width=8), "m", mine=refusing).offer.max_length is None
    )
    cutting = UpstreamSettings(preset="openai", refuses_long=False)
    assert provider("o", settings(o=cutting), {}).preset.refuses_long is None


def test_a_width_that_nobody_says_is_asked_for_and_its_absence_is_said() -> None:
    said = refusal(ModelSettings(upstream="mine", max_length=64), "m", mine=AT)
    assert said.startswith("[models.m] has no width = …, and it could not be found out: ")


def test_an_upstream_without_a_table_or_a_preset_is_named_with_those_there_are() -> None:
    said = refusal(ModelSettings(upstream="opena"), mine=AT)
    assert "the upstream 'opena' has no table [upstreams.opena] (there are: mine)" in said
    assert "did you mean openai" in said
    wrong = UpstreamSettings(preset="voyager")
    assert "[upstreams.v] there is no preset 'voyager'" in refusal(
        ModelSettings(upstream="v"), v=wrong
    )


def test_a_provider_has_the_keys_of_its_variables_and_what_its_table_changes() -> None:
    table = UpstreamSettings(
        preset="openai", key_env=("MINE",), max_inputs=7, dimensions_field="", encodings=("float",)
    )
    found = provider("o", settings(o=table), {"MINE": "key-1, key-2", "OPENAI_API_KEY": "other"})
    assert found.keys == ("key-1", "key-2")
    assert (found.preset.max_inputs, found.preset.dimensions_field) == (7, None)
    assert found.preset.encodings == ("float",)
    assert provider("openai", settings(), {"OPENAI_API_KEY": "other"}).keys == ("other",)
    assert "key-1" not in repr(found)


KINDS = {"query": {"input_type": "question"}, "document": {}}


def test_a_table_says_what_headers_are_sent_and_how_a_query_is_told_from_a_document() -> None:
    table = UpstreamSettings(
        preset="openai-compatible",
        base_url=AT.base_url,
        headers={"X-Pass": HeaderSettings(env="PASS")},
        kinds=KINDS,
    )
    found = provider("mine", settings(mine=table), {"PASS": "planted"})
    assert found.headers == {"X-Pass": "planted"}
    assert found.preset.kinds == {Kind.QUERY: {"input_type": "question"}, Kind.DOCUMENT: {}}
    assert "planted" not in repr(found)
    with pytest.raises(ConfigError) as caught:
        provider("mine", settings(mine=table), {})
    assert str(caught.value).startswith("[upstreams.mine] the header 'X-Pass' is in the variable")


@pytest.mark.parametrize(
    ("preset", "changes", "said"),
    [
        ("emblem", {"kinds": KINDS}, "has kinds, and another Emblem is told them by its own field"),
        ("voyage", {"kinds": {"query": {"truncation": 1}, "document": {}}}, "may not set 'truncat"),
        ("openai", {"dimensions_field": "n", "kinds": {"query": {"n": 1}, "document": {}}}, "'n'"),
        (
            "azure",
            {"headers": {"Api-Key": HeaderSettings("planted")}},
            "may not set the header 'Api-Key'",
        ),
        ("openai", {"headers": {"x": HeaderSettings("planted\n1")}}, "cannot be sent"),
    ],
)
def test_what_emblem_says_itself_to_a_provider_no_table_says(
    preset: str, changes: dict[str, object], said: str
) -> None:
    table = UpstreamSettings(preset=preset, base_url="https://a.example/v1", **changes)
    with pytest.raises(ConfigError) as caught:
        provider("mine", settings(mine=table), {})
    assert str(caught.value).startswith("[upstreams.mine] ")
    assert said in str(caught.value)
    assert "planted" not in str(caught.value)


def test_other_words_for_query_and_document_are_another_space() -> None:
    own = ModelSettings(upstream="mine", source="org/m", width=8, max_length=64)

    def named(kinds: dict[str, dict[str, str]]) -> str:
        table = UpstreamSettings(preset=AT.preset, base_url=AT.base_url, kinds=kinds)
        offer = hosted(own, "m", mine=table).offer
        assert offer.kinds is bool(kinds)
        return offer.space.name

    others = {"query": {"input_type": "other"}, "document": {}}
    assert named({}) == "mine/org/m"
    assert len({named({}), named(KINDS), named(others)}) == 3


def test_a_model_is_local_hosted_or_both() -> None:
    both = ModelSettings(deployments=(DeploymentSettings(local=True), DeploymentSettings("mine")))
    assert (is_local(ModelSettings()), is_hosted(ModelSettings())) == (True, False)
    assert (is_local(both), is_hosted(both)) == (True, True)
    elsewhere = ModelSettings(upstream="mine")
    assert (is_local(elsewhere), is_hosted(elsewhere)) == (False, True)


def test_what_is_wrong_with_an_upstream_or_a_tokenizer_names_the_tables() -> None:
    own = ModelSettings(upstream="mine", width=8, max_length=64, tokenizer="/no/such")
    at = UpstreamSettings(preset="openai-compatible", base_url="ftp://somewhere")
    said = refusal(own, "m", mine=at)
    assert said.startswith("[models.m]: [upstreams.mine] the base URL is 'ftp://somewhere'")

    def none(name: str, length: int) -> Tokenization | None:
        raise ModelError(f"{name}: no such folder, for {length} tokens")

    with pytest.raises(ConfigError) as caught:
        host("m", own, None, settings(mine=AT), none)
    assert str(caught.value).startswith("[models.m] tokenizer = '/no/such': /no/such: no such")
