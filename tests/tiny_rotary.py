"""Configurations and tensors' shapes of the families with rotary positions, for ``tiny_models``.

They are as real checkpoints have them. Nothing of Emblem is imported.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiny_models import TinyModel

Shapes = dict[str, tuple[int, ...]]


def modernbert_config(model: "TinyModel", vocabulary: int) -> dict[str, Any]:
    """Give config.json as transformers 4 wrote it."""
    return {
        "architectures": ["ModernBertModel"],
        "model_type": "modernbert",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": vocabulary - 4,
        "classifier_activation": "gelu",
        "classifier_bias": False,
        "classifier_dropout": 0.0,
        "classifier_pooling": "mean",
        "cls_token_id": vocabulary - 4,
        "decoder_bias": True,
        "deterministic_flash_attn": False,
        "embedding_dropout": 0.0,
        "eos_token_id": vocabulary - 3,
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "hidden_activation": model.activation,
        "hidden_size": model.hidden,
        "initializer_cutoff_factor": 2.0,
        "initializer_range": 0.02,
        "intermediate_size": model.intermediate,
        "layer_norm_eps": 1e-05,
        "local_attention": 8,
        "local_rope_theta": 10000.0,
        "max_position_embeddings": model.positions,
        "mlp_bias": False,
        "mlp_dropout": 0.0,
        "norm_bias": False,
        "norm_eps": 1e-05,
        "num_attention_heads": model.heads,
        "num_hidden_layers": model.layers,
        "pad_token_id": vocabulary - 2,
        "position_embedding_type": "absolute",
        "repad_logits_with_grad": False,
        "sep_token_id": vocabulary - 3,
        "sparse_pred_ignore_index": -100,
        "sparse_prediction": False,
        "vocab_size": vocabulary,
    }


def modernbert_shapes(model: "TinyModel", vocabulary: int) -> Shapes:
    """Give the tensors of a ModernBERT, with biases where the model's configuration has them."""
    wide, inner = model.hidden, model.intermediate
    shapes: Shapes = {"embeddings.tok_embeddings.weight": (vocabulary, wide)}
    norms = ["embeddings.norm", "final_norm"]
    for layer in range(model.layers):
        name = f"layers.{layer}"
        norms += [f"{name}.attn_norm"] * (layer > 0) + [f"{name}.mlp_norm"]
        for part, out, into in (("Wqkv", 3 * wide, wide), ("Wo", wide, wide)):
            shapes |= _linear(f"{name}.attn.{part}", out, into, model.config.get("attention_bias"))
        for part, out, into in (("Wi", 2 * inner, wide), ("Wo", wide, inner)):
            shapes |= _linear(f"{name}.mlp.{part}", out, into, model.config.get("mlp_bias"))
    for name in norms:
        shapes[f"{name}.weight"] = (wide,)
        if model.config.get("norm_bias"):
            shapes[f"{name}.bias"] = (wide,)
    return shapes


def nomic_config(model: "TinyModel", vocabulary: int) -> dict[str, Any]:
    """Give config.json as the first repositories have it, or as transformers 5 does."""
    config = {
        "architectures": ["NomicBertModel"],
        "model_type": "nomic_bert",
        "activation_function": "swiglu",
        "attn_pdrop": 0.0,
        "auto_map": {
            "AutoConfig": "configuration_hf_nomic_bert.NomicBertConfig",
            "AutoModel": "modeling_hf_nomic_bert.NomicBertModel",
        },
        "bos_token_id": None,
        "causal": False,
        "dense_seq_output": True,
        "embd_pdrop": 0.0,
        "eos_token_id": None,
        "fused_bias_fc": True,
        "fused_dropout_add_ln": True,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-12,
        "max_trained_positions": 2048,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "n_embd": model.hidden,
        "n_head": model.heads,
        "n_inner": model.intermediate,
        "n_layer": model.layers,
        "n_positions": model.positions,
        "pad_vocab_size_multiple": 64,
        "parallel_block": False,
        "parallel_block_tied_norm": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "reorder_and_upcast_attn": False,
        "resid_pdrop": 0.0,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None,
        "scale_attn_by_inverse_layer_idx": False,
        "scale_attn_weights": True,
        "type_vocab_size": 2,
        "use_cache": True,
        "use_flash_attn": True,
        "use_rms_norm": False,
        "use_xentropy": True,
        "vocab_size": vocabulary,
    }
    return nomic_as_transformers_has_it(config) if model.new_names else config


def nomic_as_transformers_has_it(config: dict[str, Any]) -> dict[str, Any]:
    """Give the same configuration under the names that transformers 5 has for it."""
    return {
        "architectures": ["NomicBertModel"],
        "model_type": "nomic_bert",
        "hidden_act": "silu",
        "hidden_size": config["n_embd"],
        "intermediate_size": config["n_inner"],
        "layer_norm_eps": config["layer_norm_epsilon"],
        "max_position_embeddings": config["n_positions"],
        "num_attention_heads": config["n_head"],
        "num_hidden_layers": config["n_layer"],
        "pad_token_id": 0,
        "rope_parameters": {"rope_theta": config["rotary_emb_base"], "rope_type": "default"},
        "type_vocab_size": config["type_vocab_size"],
        "vocab_size": config["vocab_size"],
    }


def nomic_shapes(model: "TinyModel", vocabulary: int) -> Shapes:
    """Give the tensors of a NomicBERT under the names of its repositories, or of transformers 5."""
    wide, inner = model.hidden, model.intermediate
    norm, layers = (
        ("embeddings.LayerNorm", "layers") if model.new_names else ("emb_ln", "encoder.layers")
    )
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (vocabulary, wide),
        "embeddings.token_type_embeddings.weight": (2, wide),
        **_norm(norm, wide),
    }
    for layer in range(model.layers):
        name = f"{layers}.{layer}"
        if model.new_names:
            parts = [(f"self_attn.{part}_proj", wide, wide) for part in "qkvo"]
            parts += [(f"mlp.{part}_proj", inner, wide) for part in ("gate", "up")]
            parts += [("mlp.down_proj", wide, inner)]
            norms = ["post_attention_layernorm", "post_mlp_layernorm"]
        else:
            parts = [("attn.Wqkv", 3 * wide, wide), ("attn.out_proj", wide, wide)]
            parts += [("mlp.fc11", inner, wide), ("mlp.fc12", inner, wide)]
            parts += [("mlp.fc2", wide, inner)]
            norms = ["norm1", "norm2"]
        for part, out, into in parts:
            shapes |= _linear(f"{name}.{part}", out, into, bias=False)
        for part in norms:
            shapes |= _norm(f"{name}.{part}", wide)
    return shapes


def _norm(name: str, wide: int) -> Shapes:
    return {f"{name}.weight": (wide,), f"{name}.bias": (wide,)}


def _linear(name: str, out: int, into: int, bias: object) -> Shapes:
    return {f"{name}.weight": (out, into)} | ({f"{name}.bias": (out,)} if bias else {})
