"""What is refused in the config.json of a BERT or RoBERTa, and what null stands for there."""

from pathlib import Path
from typing import Any

import pytest

from emblem.errors import ModelError
from emblem.models import encoder
from emblem.models.document import Document
from tiny_models import TinyModel, config_of


def read(family: str, **changes: Any) -> Any:
    fields = config_of(TinyModel("m", family), 100) | changes
    return encoder.read(Document(Path("config.json"), fields))


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta"])
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"is_causal": True}, "is_causal: is true, and only false is understood"),
        ({"is_decoder": True}, "is_decoder: is true"),
        ({"hidden_act": None}, "hidden_act: is null; a value is to be there, or no such field"),
        ({"layer_norm_eps": None}, "layer_norm_eps: is null"),
    ],
)
def test_what_is_not_understood_names_the_field(
    family: str, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ModelError, match=rf"config\.json: {why}"):
        read(family, **changes)


def test_null_for_the_padding_is_refused_where_positions_are_counted_from_it() -> None:
    assert read("bert", pad_token_id=None)
    with pytest.raises(ModelError, match="pad_token_id: is null"):
        read("roberta", pad_token_id=None)


def test_what_transformers_itself_writes_as_null_is_absent() -> None:
    nulls = ("rope_scaling", "quantization_config", "cross_attention_hidden_size", "bos_token_id")
    for family in ("bert", "roberta"):
        assert read(family, **dict.fromkeys(nulls)) == read(family)
