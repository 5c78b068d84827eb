"""What is made of a ModernBERT's config.json, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from emblem.errors import ModelError
from emblem.model import ModernBert
from emblem.models import encoder
from emblem.models.document import Document
from tiny_models import TinyModel, config_of

TINY = TinyModel("m", "modernbert", layers=5)
BOTH = {
    "full_attention": {"rope_type": "default", "rope_theta": 80000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 20000},
}


def read(**changes: Any) -> ModernBert:
    fields = config_of(TINY, 100) | changes
    kept = {name: value for name, value in fields.items() if value != "gone"}
    found = encoder.read(Document(Path("config.json"), kept))
    assert isinstance(found, ModernBert)
    return found


def test_the_numbers_are_those_of_the_file() -> None:
    assert read() == ModernBert(
        heads=4,
        hidden=32,
        intermediate=80,
        positions=66,
        local=(False, True, True, False, True),
        reach=4,
        local_theta=10000.0,
        global_theta=160000.0,
        layer_norm_eps=1e-5,
        activation="gelu",
    )


def test_what_is_absent_is_as_transformers_takes_it() -> None:
    names = ("global_attn_every_n_layers", "local_attention", "norm_eps", "hidden_activation")
    thetas = ("global_rope_theta", "local_rope_theta")
    biases = ("attention_bias", "mlp_bias", "norm_bias")
    found = read(**dict.fromkeys((*names, *thetas, *biases), "gone"))
    assert found == read(local_attention=128)
    assert found.reach == 64


def test_the_list_of_layers_goes_before_the_rhythm() -> None:
    kinds = ["sliding_attention", "full_attention"] * 2 + ["sliding_attention"]
    assert read(layer_types=kinds).local == (True, False, True, False, True)
    assert read(layer_types=kinds, global_attn_every_n_layers=None).layers == 5


@pytest.mark.parametrize(
    ("changes", "near", "far"),
    [
        ({"rope_parameters": BOTH}, 20000.0, 80000.0),
        ({"rope_parameters": {"full_attention": BOTH["full_attention"]}}, 10000.0, 80000.0),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, 10000.0, 160000.0),
        ({"local_rope_theta": 500, "global_rope_theta": "gone"}, 500.0, 160000.0),
    ],
)
def test_the_rotation_of_each_kind_of_layer_is_where_either_version_puts_it(
    changes: dict[str, Any], near: float, far: float
) -> None:
    found = read(**changes)
    assert (found.local_theta, found.global_theta) == (near, far)


def test_null_for_a_name_that_another_goes_before_matters_to_nobody() -> None:
    found = read(rope_parameters=BOTH, local_rope_theta=None, global_rope_theta=None)
    assert found == read(rope_parameters=BOTH)
    assert read(layer_types=None, attention_bias=None, rope_parameters=None) == read()


def test_an_odd_window_reaches_half_of_it_to_each_side() -> None:
    assert read(local_attention=7).reach == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"hidden_size": 30}, "hidden_size: 30 is no multiple of 4 attention heads"),
        ({"hidden_size": 20}, "hidden_size: 20 gives 4 heads an odd width"),
        ({"head_dim": 16}, "head_dim: is 16, and only 8"),
        ({"hidden_activation": "tanh"}, 'hidden_activation: is "tanh", not gelu'),
        ({"num_hidden_layers": 0}, "num_hidden_layers: is 0"),
        ({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers: is 0"),
        ({"layer_types": ["full_attention"]}, "layer_types: names 1 layers, and there are 5"),
        ({"layer_types": ["x"] * 5}, "layer_types: 'x' is not sliding_attention or full_attention"),
        ({"layer_types": [1] * 5}, "layer_types: 1 is not sliding_attention"),
        ({"local_attention": -1}, "local_attention: is -1, not above zero"),
        ({"sliding_window": 8}, "sliding_window: is 8, and only 4 is understood"),
        ({"norm_eps": -1.0}, "norm_eps: is -1.0"),
        ({"local_rope_theta": 0}, "local_rope_theta: is 0, not a number above zero"),
        ({"rope_parameters": {"rope_theta": 5.0}}, "rope_parameters.rope_theta: is not a field"),
        (
            {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}},
            'rope_parameters.full_attention.rope_type: is "yarn", and only "default"',
        ),
        (
            {"rope_parameters": {"full_attention": {"factor": 2.0}}},
            "rope_parameters.full_attention.factor: is not a field",
        ),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling: is"),
        ({"quantization_config": {"bits": 4}}, "quantization_config: is"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map: the model needs code of its own"),
        ({"is_causal": True}, "is_causal: is true, and only false"),
        *(
            ({name: None}, f"{name}: is null")
            for name in (
                "local_rope_theta",
                "global_rope_theta",
                "global_attn_every_n_layers",
                "local_attention",
                "norm_eps",
                "hidden_activation",
            )
        ),
        (
            {"rope_parameters": {"full_attention": {"rope_theta": None}}},
            r"rope_parameters\.full_attention\.rope_theta: is null",
        ),
        ({"mlp_bias": 1}, "mlp_bias: is 1, not true or false"),
    ],
)
def test_what_is_not_understood_names_the_field(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ModelError, match=f"config.json: {why}"):
        read(**changes)
