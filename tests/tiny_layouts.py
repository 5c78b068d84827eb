"""Small random models of the other layouts: shipped graphs, dense layers, static tables.

As in ``tiny_models``, only numpy and tokenizers are needed, and the bytes are the same everywhere.
The graphs are in ``golden/graphs``; ``scripts/make_layout_golden.py`` made them with torch.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from tiny_models import LETTERS, OTHERS, WORDS, TinyModel, _word_piece, write, write_safetensors

GRAPHS = Path(__file__).parent / "golden" / "graphs"
HIDDEN, POSITIONS = 32, 66
GRAPH_FAMILIES = ("mpnet", "distilbert")
QUANTIZED = "distilbert"  # the one whose golden graph is there quantised, too

IDENTITY = "torch.nn.modules.linear.Identity"
TANH = "torch.nn.modules.activation.Tanh"


def draw(name: str, *shape: int) -> np.ndarray:
    """Draw evenly from -0.35…0.35, the same for the same name: float32."""
    raw = np.random.PCG64(sum(name.encode())).random_raw(int(np.prod(shape))).reshape(shape)
    even = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return ((even - 0.5) * 0.7).astype(np.float32)


# -- graphs -----------------------------------------------------------------------------------


def config_of(family: str) -> dict[str, Any]:
    """Give the config.json of a family that is run by its graph."""
    size = tokenizer_of(family).get_vocab_size(with_added_tokens=True)
    if family == "mpnet":
        return {
            "architectures": ["MPNetModel"],
            "model_type": "mpnet",
            "hidden_size": HIDDEN,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "intermediate_size": 64,
            "hidden_act": "gelu",
            "max_position_embeddings": POSITIONS,
            "relative_attention_num_buckets": 32,
            "layer_norm_eps": 1e-5,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "vocab_size": size,
        }
    return {
        "architectures": ["DistilBertModel"],
        "model_type": "distilbert",
        "activation": "gelu",
        "dim": HIDDEN,
        "hidden_dim": 64,
        "n_heads": 4,
        "n_layers": 2,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 0,
        "sinusoidal_pos_embds": False,
        "vocab_size": size,
    }


def tokenizer_of(family: str) -> Tokenizer:
    """Give the tokenizer of a family: MPNet's puts <s> and </s> around word pieces."""
    if family == "distilbert":
        return _word_piece()
    special = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]"]
    letters = LETTERS + OTHERS
    pieces = [*special, *letters, *("##" + letter for letter in letters), *WORDS, "##ing", "<mask>"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    made.add_special_tokens(special)
    made.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return made


def write_graph(family: str, folder: Path, *, max_seq_length: int = 40) -> Path:
    """Write a folder whose only weights are ``onnx/model.onnx``, and quantised ones where made."""
    write_settings(family, folder, max_seq_length=max_seq_length)
    (folder / "onnx").mkdir()
    shutil.copyfile(GRAPHS / f"{family}.onnx", folder / "onnx" / "model.onnx")
    if family == QUANTIZED:
        quantized = folder / "onnx" / "model_quantized.onnx"
        shutil.copyfile(GRAPHS / f"{family}_quantized.onnx", quantized)
    return folder


def write_settings(family: str, folder: Path, *, max_seq_length: int = 40) -> None:
    """Write all of a folder but its weights: mean pooling and unit length."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_of(family).save(str(folder / "tokenizer.json"))
    write_json(folder / "config.json", config_of(family))
    kind = {"mpnet": "MPNetTokenizer", "distilbert": "DistilBertTokenizer"}[family]
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": kind, "do_lower_case": True, "model_max_length": 512},
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length})
    write_modules(folder, ["Transformer", "Pooling", "Normalize"])
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": True},
    )


def write_modules(folder: Path, kinds: Sequence[str], first: str = "") -> None:
    """Write modules.json and the modules' folders."""
    modules = []
    for index, kind in enumerate(kinds):
        path = f"{index}_{kind}" if index else first
        (folder / path).mkdir(exist_ok=True)
        kind = f"sentence_transformers.models.{kind}"
        modules.append({"idx": index, "name": str(index), "path": path, "type": kind})
    write_json(folder / "modules.json", modules)


# -- dense layers -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TinyDense:
    """A Dense module: what it gives, with or without a bias, and how it bends that."""

    outputs: int
    bias: bool = True
    activation: str = TANH


@dataclass(frozen=True, slots=True)
class TinyChain:
    """A small BERT with layers behind its pooling."""

    name: str
    layers: tuple[TinyDense, ...]
    modes: tuple[str, ...] = ("mean",)
    normalise: bool = True


CHAINS = (
    # As embeddinggemma-300m has them.
    TinyChain("gemma-like", (TinyDense(96, False, IDENTITY), TinyDense(24, False, IDENTITY))),
    # As LaBSE and distiluse have it.
    TinyChain("one-bent", (TinyDense(20),), normalise=False),
    TinyChain("two-poolings", (TinyDense(40, True, "torch.nn.modules.activation.GELU"),
                               TinyDense(12, True, "torch.nn.modules.activation.Sigmoid")),
              modes=("cls", "mean")),
    TinyChain("relu", (TinyDense(48, True, "torch.nn.modules.activation.ReLU"),), modes=("max",)),
)  # fmt: skip


def write_chain(chain: TinyChain, folder: Path) -> Path:
    """Write a small BERT with dense layers, as sentence-transformers does."""
    write(TinyModel(chain.name, "bert", chain.modes, normalise=chain.normalise), folder)
    ends = ["Normalize"] if chain.normalise else []
    write_modules(folder, ["Transformer", "Pooling", *["Dense"] * len(chain.layers), *ends])
    inputs = HIDDEN * len(chain.modes)
    for place, layer in enumerate(chain.layers, 2):
        write_dense(layer, folder / f"{place}_Dense", inputs)
        inputs = layer.outputs
    return folder


def write_dense(layer: TinyDense, folder: Path, inputs: int) -> None:
    """Write the folder of a Dense module."""
    config = {
        "in_features": inputs,
        "out_features": layer.outputs,
        "bias": layer.bias,
        "activation_function": layer.activation,
    }
    write_json(folder / "config.json", config)
    tensors = {"linear.weight": draw(folder.name, layer.outputs, inputs)}
    if layer.bias:
        tensors["linear.bias"] = draw(f"{folder.name} bias", layer.outputs)
    write_safetensors(folder / "model.safetensors", tensors)


# -- static tables ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TinyStatic:
    """A table: its layout, the type of its numbers, and what Model2Vec adds where it has that."""

    name: str
    layout: str  # model2vec, or StaticEmbedding
    kind: str = "float32"
    normalise: bool = True
    tokenizer: str = "wordpiece"  # or unigram
    mapping: bool = False
    weights: bool = False


STATICS = (
    TinyStatic("m2v-plain", "model2vec"),
    TinyStatic("m2v-half", "model2vec", kind="float16"),
    TinyStatic("m2v-int8", "model2vec", kind="int8"),
    TinyStatic("m2v-mapped", "model2vec", normalise=False, mapping=True, weights=True),
    TinyStatic("m2v-weighted", "model2vec", tokenizer="unigram", weights=True),
    TinyStatic("st-table", "StaticEmbedding"),
    TinyStatic("st-unigram", "StaticEmbedding", normalise=False, tokenizer="unigram"),
)
STATIC_WIDTH = 16


def write_static(static: TinyStatic, folder: Path) -> Path:
    """Write a folder as model2vec, or as sentence-transformers, does."""
    root = folder if static.layout == "model2vec" else folder / "0_StaticEmbedding"
    root.mkdir(parents=True, exist_ok=True)
    made = _TOKENIZERS[static.tokenizer]()
    made.save(str(root / "tokenizer.json"))
    size = made.get_vocab_size(with_added_tokens=True)
    write_safetensors(root / "model.safetensors", static_tensors(static, size))
    kinds = ["StaticEmbedding", *["Normalize"] * static.normalise]
    if static.layout == "model2vec":
        write_modules(folder, kinds, ".")
        config = {"model_type": "model2vec", "architectures": ["StaticModel"], "seq_length": 1000000,
                  "hidden_dim": STATIC_WIDTH, "normalize": static.normalise,
                  "embedding_dtype": static.kind}  # fmt: skip
        write_json(folder / "config.json", config)
    else:
        write_modules(folder, kinds, "0_StaticEmbedding")
    return folder


def static_tensors(static: TinyStatic, size: int) -> Mapping[str, np.ndarray]:
    """Give the tensors of a table for so many ids."""
    rows = 40 if static.mapping else size
    table = draw(static.name, rows, STATIC_WIDTH)
    if static.kind == "int8":
        table = np.round(table * 300)
    name = "embeddings" if static.layout == "model2vec" else "embedding.weight"
    tensors = {name: table.astype(static.kind)}
    if static.mapping:
        tensors["mapping"] = np.arange(size, dtype=np.int64) * 7 % rows
    if static.weights:
        tensors["weights"] = draw("weights", size) + np.float32(1)
    return tensors


def _unigram() -> Tokenizer:
    letters = [letter for letter in LETTERS if letter not in "qz"]  # so that some are unknown
    pieces = [("<unk>", 0.0), *(("▁" + word, -4.0 - n / 50) for n, word in enumerate(WORDS))]
    pieces += [("▁", -5.0), *((letter, -11.0) for letter in letters)]
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return made


_TOKENIZERS = {"wordpiece": _word_piece, "unigram": _unigram}


def write_json(file: Path, value: Any) -> None:
    """Write a JSON file, and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
