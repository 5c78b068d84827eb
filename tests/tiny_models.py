"""Small random sentence-transformers folders, made with numpy and tokenizers alone.

The weights come from raw bits of PCG64, a stream that numpy promises never to change, so a folder
written today has the same bytes as the one that its golden vectors were made from. Nothing of
Emblem is imported: the script that makes those vectors runs where Emblem is not installed.
"""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

import tiny_rotary

TEXT = (
    "the a of and to in is it that for was on are with as at be this have from or by one had not "
    "but what all were when we there can an your which their said if do will each about how up out "
    "them then she many some so these would other into has more her two like him see time could no "
    "make than first been its who now people my made over did down only way find use may water long "
    "little very after words called just where most know vector search query passage token river "
    "museum engine garden number light house window"
)
WORDS = re.findall("[a-z]+", TEXT)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
OTHERS = "0123456789.,;:!?'\"()[]{}<>/\\|@#$%^&*-_=+~`éüßñ中文字模型向量عربيةрусий😀🚀—…"


@dataclass(frozen=True, slots=True)
class TinyModel:
    """One folder to write. ``modes`` are pooling modes; ``legacy`` writes them as old flags."""

    name: str
    family: str  # bert, roberta, xlm-roberta, modernbert or nomic_bert
    modes: tuple[str, ...] = ("mean",)
    normalise: bool = True
    prompts: Mapping[str, str] = field(default_factory=dict)
    include_prompt: bool = True
    max_seq_length: int = 37
    hidden: int = 32
    heads: int = 4
    layers: int = 2
    intermediate: int = 80
    positions: int = 66
    activation: str = "gelu"
    prefix: str = ""  # what stands before the names of the tensors
    old_names: bool = False  # gamma and beta for a layer norm's weight and bias
    half: bool = False  # weights kept as float16
    lowercase: bool = False  # do_lower_case of sentence-transformers
    legacy: bool = True
    own_tokenizer: str = ""  # a class of transformers other than the family's own
    config: Mapping[str, Any] = field(default_factory=dict)  # into config.json; None takes away
    new_names: bool = False  # what transformers 5 calls NomicBERT's fields and tensors

    @property
    def tokenizer(self) -> str:
        """The class of transformers that reads the tokenizer."""
        return self.own_tokenizer or _CLASSES[self.family]


_CLASSES = {
    "bert": "BertTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "modernbert": "PreTrainedTokenizerFast",
    "nomic_bert": "BertTokenizer",
}
PROMPTS = {"query": "query: ", "document": "passage: "}
TINY_MODELS = (
    TinyModel("bert-mean", "bert", prompts=PROMPTS),
    TinyModel("bert-cls", "bert", ("cls",), prefix="bert.", max_seq_length=33),
    TinyModel("bert-max", "bert", ("max",), normalise=False, old_names=True),
    TinyModel("bert-half", "bert", half=True, lowercase=True, layers=3, activation="gelu_new", max_seq_length=64),
    TinyModel("bert-own-words", "bert", ("mean", "cls", "max"), prompts=PROMPTS,
              include_prompt=False, legacy=False),
    TinyModel("roberta-mean", "roberta", prefix="roberta.", prompts=PROMPTS, include_prompt=False),
    TinyModel("roberta-last", "roberta", ("lasttoken",), activation="relu", max_seq_length=21),
    TinyModel("roberta-weighted", "roberta", ("weightedmean",), normalise=False, prompts=PROMPTS,
              include_prompt=False, legacy=False),
    TinyModel("xlmr-mean", "xlm-roberta", prompts=PROMPTS, max_seq_length=64),
    TinyModel("xlmr-sqrt", "xlm-roberta", ("mean_sqrt_len_tokens",), normalise=False,
              lowercase=True, max_seq_length=45),
    TinyModel("xlmr-two", "xlm-roberta", ("weightedmean", "lasttoken"), hidden=48, heads=6,
              prompts={"query": "find: "}, legacy=False, own_tokenizer="PreTrainedTokenizerFast"),
)  # fmt: skip

_BY_KIND = {
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
    "rope_parameters": {
        "full_attention": {"rope_theta": 80000.0, "rope_type": "default"},
        "sliding_attention": {"rope_theta": 500.0, "rope_type": "default"},
    },
    "global_attn_every_n_layers": None,
    "global_rope_theta": None,
    "local_rope_theta": None,
}
ROTARY_MODELS = (
    TinyModel("modernbert-cls", "modernbert", ("cls",), layers=4, max_seq_length=64),
    TinyModel("modernbert-mean", "modernbert", prompts=PROMPTS, include_prompt=False, half=True,
              prefix="model.", config={"local_attention": 7, "global_attn_every_n_layers": 2}),
    TinyModel("modernbert-5", "modernbert", ("lasttoken",), layers=3, activation="silu",
              config=_BY_KIND, max_seq_length=48),
    TinyModel("modernbert-biased", "modernbert", layers=3, hidden=48, heads=2, normalise=False,
              activation="gelu_pytorch_tanh", max_seq_length=64,
              config={"attention_bias": True, "mlp_bias": True, "norm_bias": True}),
    # As wide a window and as long a text as real ones have.
    TinyModel("modernbert-long", "modernbert", layers=3, positions=600, max_seq_length=600,
              config={"local_attention": 128, "global_rope_theta": 80000.0}),
    TinyModel("nomic-mean", "nomic_bert", prompts=PROMPTS, max_seq_length=64),
    TinyModel("nomic-cls", "nomic_bert", ("cls",), layers=3, hidden=48, heads=6, half=True,
              config={"rotary_emb_base": 10000.0, "layer_norm_epsilon": 1e-5}),
    TinyModel("nomic-5", "nomic_bert", new_names=True, max_seq_length=48),
    TinyModel("nomic-long", "nomic_bert", positions=600, max_seq_length=600, normalise=False),
)  # fmt: skip


def write(model: TinyModel, folder: Path) -> Path:
    """Write a folder as sentence-transformers does and give it back."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _TOKENIZERS["" if model.family == "modernbert" else model.tokenizer]()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = config_of(model, tokenizer.get_vocab_size(with_added_tokens=True))
    _write_json(folder / "config.json", config)
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(model))
    _write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": model.max_seq_length, "do_lower_case": model.lowercase},
    )
    _write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": dict(model.prompts), "default_prompt_name": None},
    )
    modules = ["Transformer", "Pooling"] + ["Normalize"] * model.normalise
    _write_json(
        folder / "modules.json",
        [
            {
                "idx": index,
                "name": str(index),
                "path": f"{index}_{kind}" if index else "",
                "type": f"sentence_transformers.models.{kind}",
            }
            for index, kind in enumerate(modules)
        ],
    )
    (folder / "1_Pooling").mkdir(exist_ok=True)
    _write_json(folder / "1_Pooling" / "config.json", _pooling(model))
    write_safetensors(folder / "model.safetensors", _weights(model, config["vocab_size"]))
    return folder


_KINDS = {"float32": "F32", "float16": "F16", "int8": "I8", "int64": "I64"}


def write_safetensors(file: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write arrays as one safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        kind = _KINDS[array.dtype.name]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in tensors.values())
    file.write_bytes(struct.pack("<Q", len(head)) + head + data)


def encoder_weights(model: TinyModel, vocabulary: int) -> dict[str, np.ndarray]:
    """Give the tensors of a model under their plain names, float32."""
    shapes = _SHAPES.get(model.family, _bert_shapes)(model, vocabulary)
    bits = np.random.PCG64(sum(model.name.encode()))
    return {name: _draw(bits, name, shape) for name, shape in shapes.items()}


def _bert_shapes(model: TinyModel, vocabulary: int) -> dict[str, tuple[int, ...]]:
    wide, inner = model.hidden, model.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, wide),
        "embeddings.position_embeddings.weight": (model.positions, wide),
        "embeddings.token_type_embeddings.weight": (2 if model.family == "bert" else 1, wide),
        **_norm("embeddings.LayerNorm", wide),
    }
    for layer in range(model.layers):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{name}.attention.self.{part}", wide, wide)
        shapes |= _linear(f"{name}.attention.output.dense", wide, wide)
        shapes |= _norm(f"{name}.attention.output.LayerNorm", wide)
        shapes |= _linear(f"{name}.intermediate.dense", inner, wide)
        shapes |= _linear(f"{name}.output.dense", wide, inner)
        shapes |= _norm(f"{name}.output.LayerNorm", wide)
    return shapes


def _norm(name: str, wide: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (wide,), f"{name}.bias": (wide,)}


def _linear(name: str, out: int, wide: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, wide), f"{name}.bias": (out,)}


def _draw(bits: np.random.PCG64, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw evenly from -0.35…0.35, around 1 for the scale of a layer norm."""
    raw = bits.random_raw(int(np.prod(shape))).reshape(shape)
    even = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    centre = 1.0 if re.search(r"(?i:norm\d?|_ln)\.weight$", name) else 0.0
    return (centre + (even - 0.5) * 0.7).astype(np.float32)


def _weights(model: TinyModel, vocabulary: int) -> dict[str, np.ndarray]:
    named = {}
    for name, array in encoder_weights(model, vocabulary).items():
        if model.old_names:
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
            name = name.replace("LayerNorm.bias", "LayerNorm.beta")
        named[model.prefix + name] = array.astype(np.float16) if model.half else array
    return named


def config_of(model: TinyModel, vocabulary: int) -> dict[str, Any]:
    """Give what config.json says."""
    config = _CONFIGS.get(model.family, _bert_config)(model, vocabulary) | model.config
    return {name: value for name, value in config.items() if model.config.get(name, 0) is not None}


def _bert_config(model: TinyModel, vocabulary: int) -> dict[str, Any]:
    bert = model.family == "bert"
    kind = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta"}[model.family]
    return {
        "architectures": [f"{kind}Model"],
        "model_type": model.family,
        "hidden_size": model.hidden,
        "num_attention_heads": model.heads,
        "num_hidden_layers": model.layers,
        "intermediate_size": model.intermediate,
        "max_position_embeddings": model.positions,
        "type_vocab_size": 2 if bert else 1,
        "vocab_size": vocabulary,
        "pad_token_id": 0 if bert else 1,
        **({} if bert else {"bos_token_id": 0, "eos_token_id": 2}),
        "hidden_act": model.activation,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "layer_norm_eps": 1e-12 if bert else 1e-5,
        "position_embedding_type": "absolute",
    }


def _tokenizer_config(model: TinyModel) -> dict[str, Any]:
    if model.family in ("bert", "nomic_bert", "modernbert"):
        special = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
        kind: dict[str, Any] = {"tokenizer_class": model.tokenizer}
        if model.family != "modernbert":
            kind["do_lower_case"] = True
    else:
        special = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>"}
        special |= {"unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}
        kind = {"tokenizer_class": model.tokenizer}
    tokens = {f"{word}_token": token for word, token in special.items()}
    return {**kind, **tokens, "model_max_length": 512}


def _pooling(model: TinyModel) -> dict[str, Any]:
    if not model.legacy:
        return {
            "embedding_dimension": model.hidden,
            "pooling_mode": model.modes[0] if len(model.modes) == 1 else list(model.modes),
            "include_prompt": model.include_prompt,
        }
    flags = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens": "weightedmean",
        "pooling_mode_lasttoken": "lasttoken",
    }
    return {
        "word_embedding_dimension": model.hidden,
        **{flag: mode in model.modes for flag, mode in flags.items()},
        "include_prompt": model.include_prompt,
    }


def _word_piece() -> Tokenizer:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = LETTERS + OTHERS
    pieces = [*special, *letters, *("##" + letter for letter in letters)]
    pieces += [*WORDS, "##ing", "##s", "##ed", "##er"]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(special)
    return tokenizer


def _byte_pairs() -> Tokenizer:
    """Byte-level BPE whose merges spell each word, and a space before it, from left to right."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *alphabet]
    merges: list[tuple[str, str]] = []
    for word in (*WORDS, *("Ġ" + word for word in WORDS)):
        whole = word[0]
        for letter in word[1:]:
            if (whole, letter) not in merges:
                merges.append((whole, letter))
            whole += letter
            pieces.append(whole)
    pieces.append("<mask>")
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return _with_xlm_specials(tokenizer)


def _bracketed_byte_pairs() -> Tokenizer:
    """The same byte pairs with BERT's special tokens behind them, as ModernBERT has them."""
    tokenizer = _byte_pairs()
    written = json.loads(tokenizer.to_str())
    special = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}
    pieces = [piece for piece in written["model"]["vocab"] if piece not in special]
    ends = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    vocabulary = {piece: index for index, piece in enumerate([*pieces, *ends])}
    merges = [tuple(pair) for pair in written["model"]["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(end, vocabulary[end]) for end in ("[CLS]", "[SEP]")],
    )
    tokenizer.add_special_tokens(ends[:-1])
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True)])
    return tokenizer


def _unigram() -> Tokenizer:
    letters = LETTERS + LETTERS.upper() + OTHERS
    pieces: list[tuple[str, float]] = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + word, -4.0 - index / 50) for index, word in enumerate(WORDS)]
    pieces += [(first + second, -9.0) for first, second in pairwise("theinganderouest")]
    pieces += [("▁", -5.0), *((letter, -11.0 - index / 50) for index, letter in enumerate(letters))]
    pieces.append(("<mask>", 0.0))
    tokenizer = Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=3, byte_fallback=False))
    # This is the pipeline that transformers builds for its XLMRobertaTokenizer, whatever the file says.
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return _with_xlm_specials(tokenizer)


def _normalising_unigram() -> Tokenizer:
    """The same words behind a normaliser, read by transformers from the file as it stands."""
    tokenizer = _unigram()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer


def _with_xlm_specials(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


_SHAPES = {"modernbert": tiny_rotary.modernbert_shapes, "nomic_bert": tiny_rotary.nomic_shapes}
_CONFIGS = {"modernbert": tiny_rotary.modernbert_config, "nomic_bert": tiny_rotary.nomic_config}
_TOKENIZERS = {
    "": _bracketed_byte_pairs,
    "BertTokenizer": _word_piece,
    "RobertaTokenizer": _byte_pairs,
    "XLMRobertaTokenizer": _unigram,
    "PreTrainedTokenizerFast": _normalising_unigram,
}


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
