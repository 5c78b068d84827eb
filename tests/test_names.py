"""Names, pins, and what may be asked of a name."""

from dataclasses import replace

import pytest

from emblem.errors import InvalidRequest, UnknownModel
from emblem.names import Names, Options, Served, check_options, combine
from emblem.offer import Hosted, Prompts
from emblem.space import Space
from emblem.types import Kind, Lane, OutputType, Overflow, TokenIds
from tiny_engine import model

MODEL = replace(model("tiny", width=24), prompts=Prompts("ask: ", "say: "))
TINY = Served("tiny", MODEL, 0)
DIGEST = MODEL.space.digest
SHORT = Served("short", MODEL, 0, Options(dimensions=16), alias_of="tiny")
PLAIN = Served("org/plain", model("org/plain"), 0)
NAMES = Names([TINY, SHORT, PLAIN], lambda name: f"Pull {name}.")


def test_a_name_is_found_and_so_is_the_name_with_the_digest_of_its_space() -> None:
    assert NAMES.resolve("tiny") is TINY
    assert NAMES.resolve(f"tiny@{DIGEST}") is TINY
    assert NAMES.resolve(f"short@{DIGEST}") is SHORT
    assert NAMES.resolve(f"org/plain@{PLAIN.model.space.digest}") is PLAIN


def test_a_model_elsewhere_is_pinned_by_its_declared_space() -> None:
    def served(name: str) -> Served:
        space = Space.declared(name, 8, normalised=True, overflow=Overflow.ERROR)
        return Served("there", Hosted("there", space, 512), 0)

    there, pin = served("openai/one"), served("openai/one").pin
    names = Names([there], lambda _: "")
    assert names.resolve(f"there@{pin}") is there
    assert pin != served("openai/two").pin
    for wrong in ("", "deadbeef"):
        with pytest.raises(UnknownModel, match=f"`there@{pin}`"):
            names.resolve(f"there@{wrong}")


@pytest.mark.parametrize("digest", ["", "deadbeef", DIGEST[:4], DIGEST.upper(), f"{DIGEST}@x"])
def test_another_digest_is_not_served_and_the_answer_says_what_is(digest: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        NAMES.resolve(f"tiny@{digest}")
    if not digest.endswith("@x"):
        assert f"`tiny@{DIGEST}`" in str(caught.value)


@pytest.mark.parametrize("name", ["", "Tiny", "other", "other@abc", "@", f"@{DIGEST}"])
def test_an_unknown_name_is_answered_with_the_hint(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        NAMES.resolve(name)
    assert f"Pull {name}." in str(caught.value)


def test_vectors_that_may_not_be_shortened_are_given_whole_or_not_at_all() -> None:
    whole = Served("whole", replace(MODEL, shortening=False), 0)
    check_options(whole, Options(dimensions=24))
    check_options(whole, Options())
    with pytest.raises(InvalidRequest, match="a layer norm before they shorten") as refused:
        check_options(whole, Options(dimensions=16))
    assert refused.value.param == "dimensions"


def test_a_name_is_found_with_the_tag_that_ollamas_clients_put_behind_it() -> None:
    assert NAMES.resolve("tiny:latest") is TINY
    assert NAMES.resolve("org/plain:latest") is PLAIN
    for name in ("other:latest", "tiny:latest:latest", "tiny:22m", ":latest"):
        with pytest.raises(UnknownModel):
            NAMES.resolve(name)


def test_names_are_listed_in_order() -> None:
    assert [one.name for one in NAMES] == ["tiny", "short", "org/plain"]


def test_two_names_are_the_same_where_they_would_answer_the_same() -> None:
    assert TINY.same_as(replace(TINY, name="other", alias_of="tiny"))
    assert not TINY.same_as(SHORT)
    assert not TINY.same_as(replace(TINY, token_ids=TokenIds.NATIVE))


def test_the_space_of_a_name_has_what_the_name_fixes_and_not_the_model_s_name() -> None:
    assert SHORT.space_written == f"tiny@{DIGEST}/16"
    assert SHORT.space_identity != TINY.space_identity
    assert replace(TINY, name="other").space_identity == TINY.space_identity
    moved = replace(PLAIN.model, space=replace(PLAIN.model.space, name="elsewhere/renamed"))
    assert replace(PLAIN, model=moved).space_identity == PLAIN.space_identity


FIXED = Options(64, Kind.QUERY, OutputType.INT8, Overflow.TRUNCATE, Lane.BULK)
OTHERS = Options(32, Kind.DOCUMENT, OutputType.FLOAT, Overflow.MEAN, Lane.INTERACTIVE)
WIRE = {
    "dimensions": "dimensions",
    "kind": "input_type",
    "output": "output_dtype",
    "overflow": "overflow",
    "lane": "priority",
}  # fmt: skip


@pytest.mark.parametrize("field", WIRE)
def test_an_option_comes_from_the_name_or_the_request_and_must_not_contradict(field: str) -> None:
    fixed = Options(**{field: getattr(FIXED, field)})
    asked = Options(**{field: getattr(OTHERS, field)})
    alias = replace(TINY, name="mine", fixed=fixed, alias_of="tiny")
    assert combine(alias, Options()) == fixed
    assert combine(alias, fixed) == fixed
    assert combine(TINY, asked) == asked
    with pytest.raises(InvalidRequest) as caught:
        combine(alias, asked)
    assert caught.value.param == WIRE[field]
    assert f"{WIRE[field]}={getattr(FIXED, field)}" in str(caught.value)
    assert f"{WIRE[field]}={getattr(OTHERS, field)}" in str(caught.value)
    assert "use `tiny`" in str(caught.value)


def test_options_of_name_and_request_add_up() -> None:
    alias = replace(TINY, fixed=Options(dimensions=16, lane=Lane.BULK))
    merged = combine(alias, Options(kind=Kind.QUERY, overflow=Overflow.ERROR))
    assert merged == Options(16, Kind.QUERY, None, Overflow.ERROR, Lane.BULK)


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(dimensions=1),
        Options(dimensions=24),
        Options(kind=Kind.DOCUMENT),
        Options(output=OutputType.UINT8),
        Options(output=OutputType.BINARY),
        Options(dimensions=8, output=OutputType.UBINARY),
    ],
)
def test_what_a_model_can_give_may_be_asked_for(options: Options) -> None:
    check_options(TINY, options)


@pytest.mark.parametrize(
    ("served", "options", "param", "why"),
    [
        (TINY, Options(dimensions=25), "dimensions", "vectors of 24 numbers.*25 was asked for"),
        (PLAIN, Options(kind=Kind.QUERY), "input_type", "has no prompts"),
        (TINY, Options(dimensions=12, output=OutputType.BINARY), "dimensions", "no multiple of 8"),
    ],
)
def test_what_it_cannot_give_is_refused_with_the_field(
    served: Served, options: Options, param: str, why: str
) -> None:
    with pytest.raises(InvalidRequest, match=why) as caught:
        check_options(served, options)
    assert caught.value.param == param


@pytest.mark.parametrize("output", [OutputType.INT8, OutputType.UINT8])
def test_a_fixed_scale_is_refused_where_vectors_have_no_unit_norm(output: OutputType) -> None:
    loose = replace(MODEL, space=replace(MODEL.space, normalised=False))
    with pytest.raises(InvalidRequest, match="does not give unit vectors"):
        check_options(replace(TINY, model=loose), Options(output=output))
    check_options(replace(TINY, model=loose), Options(output=OutputType.BINARY))


@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("text-embedding-3-small", 1536),
        ("text-embedding-3-large", 3072),
        ("text-embedding-ada-002", 1536),
    ],
)
def test_dimensions_that_only_openai_has_are_refused_with_what_to_do(name: str, width: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_options(replace(TINY, name=name, alias_of="tiny"), Options(dimensions=width))
    message = str(caught.value)
    assert message.startswith(
        f"{name} is served here by tiny (24 numbers, not OpenAI's {width})"
    )  # fmt: skip
    assert "give your index 24 dimensions" in message
