"""What is made of a NomicBERT's config.json, under old names and new ones, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emblem.errors import ModelError
from emblem.model import NomicBert
from emblem.models import encoder
from emblem.models.document import Document
from tiny_models import TinyModel, config_of

TINY = TinyModel("m", "nomic_bert")
OLD = config_of(TINY, 100)
NEW = config_of(replace(TINY, new_names=True), 100)
NUMBERS = NomicBert(
    layers=2,
    heads=4,
    hidden=32,
    intermediate=80,
    positions=66,
    theta=1000.0,
    layer_norm_eps=1e-12,
)


def read(fields: dict[str, Any], **changes: Any) -> NomicBert:
    kept = {name: value for name, value in (fields | changes).items() if value != "gone"}
    found = encoder.read(Document(Path("config.json"), kept))
    assert isinstance(found, NomicBert)
    return found


@pytest.mark.parametrize("fields", [OLD, NEW, NEW | OLD], ids=["old", "new", "both"])
def test_the_numbers_are_those_of_the_file_whatever_it_calls_them(fields: dict[str, Any]) -> None:
    assert read(fields) == NUMBERS


def test_what_is_absent_under_new_names_is_as_transformers_takes_it() -> None:
    assert read(NEW, rope_parameters="gone", layer_norm_eps="gone") == NUMBERS
    assert read(NEW, rope_parameters="gone", rope_theta=500.0).theta == 500.0


def test_the_length_of_the_training_does_not_shorten_what_is_read() -> None:
    assert read(NEW | OLD, n_positions=8192, max_position_embeddings=2048).longest == 8192


def test_code_of_the_family_is_passed_over_and_never_run() -> None:
    code = {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"}
    assert read(OLD, auto_map=code) == NUMBERS


@pytest.mark.parametrize(
    ("fields", "changes", "why"),
    [
        (OLD, {"rotary_scaling_factor": 2}, "rotary_scaling_factor: is 2, and only absent"),
        (OLD, {"rotary_emb_fraction": 0.5}, "rotary_emb_fraction: is 0.5"),
        (OLD, {"rotary_emb_interleaved": True}, "rotary_emb_interleaved: is true"),
        (OLD, {"rotary_emb_scale_base": 512}, "rotary_emb_scale_base: is 512"),
        (OLD, {"rotary_emb_base": "gone"}, "rotary_emb_base: is missing"),
        (OLD, {"rotary_emb_base": -1}, "rotary_emb_base: is -1"),
        (OLD, {"layer_norm_epsilon": "gone"}, "layer_norm_epsilon: is missing"),
        (OLD, {"layer_norm_eps": 1e-5}, "layer_norm_eps: is 1e-05, and layer_norm_epsilon is 1e-"),
        (OLD, {"rope_theta": 500.0}, "rope_theta: is 500, and rotary_emb_base is 1000"),
        (OLD, {"activation_function": "gelu"}, 'activation_function: is "gelu", and only "swiglu"'),
        (OLD, {"prenorm": True}, "prenorm: is true"),
        (OLD, {"causal": True}, "causal: is true"),
        (OLD, {"parallel_block": True}, "parallel_block: is true"),
        (OLD, {"use_rms_norm": True}, "use_rms_norm: is true"),
        (OLD, {"qkv_proj_bias": True}, "qkv_proj_bias: is true"),
        (OLD, {"mlp_fc1_bias": True}, "mlp_fc1_bias: is true"),
        (OLD, {"moe_every_n_layers": 2}, "moe_every_n_layers: is 2"),
        (OLD, {"n_head": 5}, "n_embd: 32 is no multiple of 5 attention heads"),
        (OLD, {"hidden_size": 64}, "hidden_size: is 64, and only 32"),
        (OLD, {"intermediate_size": 64}, "intermediate_size: is 64, and only 80"),
        (OLD, {"n_inner": None}, "intermediate_size: is missing"),
        (OLD, {"auto_map": {"AutoModel": "evil.Model"}}, "auto_map.AutoModel: is not NomicBERT's"),
        (OLD, {"auto_map": {"AutoModel": 1}}, "auto_map.AutoModel: is not NomicBERT's"),
        (NEW, {"hidden_act": "gelu"}, 'hidden_act: is "gelu"'),
        (NEW, {"head_dim": 16}, "head_dim: is 16"),
        (NEW, {"rope_parameters": {"rope_type": "dynamic"}}, "rope_parameters.rope_type: is"),
        (NEW, {"rope_scaling": {"type": "dynamic"}}, "rope_scaling: is"),
        (NEW, {"is_causal": True}, "is_causal: is true"),
        (NEW, {"layer_norm_eps": None}, "layer_norm_eps: is null"),
        (NEW, {"rotary_emb_base": 1000.0}, "rotary_emb_base: goes with n_embd, which is missing"),
        (NEW, {"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon: goes with n_embd, which is mi"),
        (NEW, {"n_layer": 2}, "n_layer: goes with n_embd, which is missing; num_hidden_layers"),
        (NEW, {"max_position_embeddings": "gone"}, "max_position_embeddings: is missing"),
    ],
)
def test_what_is_not_understood_names_the_field(
    fields: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ModelError, match=f"config.json: {why}"):
        read(fields, **changes)
