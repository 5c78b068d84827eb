"""Small random folders of families that only the torch extra runs, saved by the library itself.

torch and the library are imported where they are used: this file is collected without them, too.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from tiny_models import LETTERS, OTHERS, WORDS

EVERY_WORD_IN_PIECES = [*WORDS, *(" " + word for word in WORDS)]
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Family:
    """One folder to write: a network, how it is pooled, and what the folder says beside."""

    name: str
    network: Callable[[int], Any]  # from the vocabulary's size to a transformers model
    tokenizer: Callable[[], Tokenizer]
    tokenizer_config: Mapping[str, Any]
    pooling: str = "mean"
    include_prompt: bool = True
    dense: tuple[int, ...] = ()  # the widths after each dense layer
    normalise: bool = True
    max_seq_length: int = 48
    prompts: Mapping[str, str] = field(default_factory=dict)


def write(family: Family, folder: Path) -> Path:
    """Write a folder with the library's own ``save`` and give it back."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import (
        Dense,
        Normalize,
        Pooling,
        Transformer,
    )

    torch.manual_seed(sum(family.name.encode()))
    tokenizer = family.tokenizer()
    network = family.network(tokenizer.get_vocab_size(with_added_tokens=True))
    _spread(network)
    scratch = folder.with_name(folder.name + "-parts")
    network.save_pretrained(scratch)
    tokenizer.save(str(scratch / "tokenizer.json"))
    (scratch / "tokenizer_config.json").write_text(json.dumps(dict(family.tokenizer_config)))
    written = {file.name: file.read_bytes() for file in scratch.glob("tokenizer*")}
    first = Transformer(
        str(scratch),
        model_kwargs={"dtype": torch.float32, "local_files_only": True},
    )
    width = first.get_embedding_dimension()
    modules: list[Any] = [first, Pooling(width, family.pooling, family.include_prompt)]
    for out in family.dense:
        identity = torch.nn.Identity() if out != family.dense[-1] else torch.nn.Tanh()
        modules.append(Dense(width, out, bias=out % 2 == 0, activation_function=identity))
        width = out
    modules += [Normalize()] * family.normalise
    prompts = {"query": "", "document": "", **family.prompts}
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(
        str(folder), create_model_card=False
    )
    for name, text in written.items():  # as written, not as read and saved
        (folder / name).write_bytes(text)
    settings = folder / "sentence_bert_config.json"
    settings.write_text(
        json.dumps(json.loads(settings.read_text()) | {"max_seq_length": family.max_seq_length})
    )
    return folder


def _spread(network: Any) -> None:
    """Make weights so large that a token's place and neighbours show in a vector."""
    import torch

    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.35 if "embed" in name or "shared" in name else 0.25)


def _byte_pairs(special: list[str]) -> Tokenizer:
    """Byte-level BPE as Qwen has it: the ids of ``special`` come last, the first ends a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces, merges = [*alphabet], []
    for word in (*WORDS, *("Ġ" + word for word in WORDS)):
        whole = word[0]
        for letter in word[1:]:
            if (whole, letter) not in merges:
                merges.append((whole, letter))
            whole += letter
            pieces.append(whole)
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    end = tokenizer.token_to_id(special[0])
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"$A {special[0]}",
                pair=f"$A {special[0]} $B:1 {special[0]}:1",
                special_tokens=[(special[0], end)],
            ),
        ]
    )
    return tokenizer


def qwen_tokenizer() -> Tokenizer:
    return _byte_pairs(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def gemma_tokenizer() -> Tokenizer:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    letters = ["▁", *LETTERS, *LETTERS.upper(), *OTHERS]
    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    merges: list[tuple[str, str]] = []
    for word in (*WORDS, *("▁" + word for word in WORDS)):
        whole = word[0]
        for letter in word[1:]:
            if (whole, letter) not in merges:
                merges.append((whole, letter))
            whole += letter
            pieces.append(whole)
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return _framed(tokenizer, "<bos>", "<eos>")


def mpnet_tokenizer() -> Tokenizer:
    return _word_piece(["<s>", "<pad>", "</s>", "<unk>"], "<s>", "</s>", "<unk>", ["<mask>"])


def bert_tokenizer() -> Tokenizer:
    return _word_piece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[CLS]", "[SEP]", "[UNK]")


def t5_tokenizer() -> Tokenizer:
    special = ["<pad>", "</s>", "<unk>"]
    pieces: list[tuple[str, float]] = [(token, 0.0) for token in special]
    pieces += [("▁" + word, -4.0 - index / 50) for index, word in enumerate(WORDS)]
    letters = LETTERS + LETTERS.upper() + OTHERS
    pieces += [("▁", -5.0), *((one, -11.0 - n / 50) for n, one in enumerate(letters))]
    tokenizer = Tokenizer(models.Unigram(list(dict(pieces).items()), unk_id=2))
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return _framed(tokenizer, "", "</s>")


def _word_piece(
    special: list[str], start: str, end: str, unknown: str, last: list[str] | None = None
) -> Tokenizer:
    letters = LETTERS + OTHERS
    pieces = [*special, *letters, *("##" + one for one in letters), *WORDS, *(last or [])]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.add_special_tokens(
        [AddedToken(token, lstrip=True, special=True) for token in last or []]
    )
    return _framed(tokenizer, start, end)


def _framed(tokenizer: Tokenizer, start: str, end: str) -> Tokenizer:
    around = [token for token in (start, end) if token]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}".strip(),
        pair=f"{start} $A {end} {start} $B {end}".strip().replace("  ", " "),
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in around],
    )
    return tokenizer


def qwen3(vocabulary: int) -> Any:
    from transformers import Qwen3Config, Qwen3Model

    return Qwen3Model(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=256,
            pad_token_id=vocabulary - 3,
            eos_token_id=vocabulary - 3,
        )
    )


def gemma3(vocabulary: int) -> Any:
    """Give what EmbeddingGemma is: it looks both ways, mostly at what is near."""
    from transformers import Gemma3TextConfig, Gemma3TextModel

    kinds = ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]
    return Gemma3TextModel(
        Gemma3TextConfig(
            vocab_size=vocabulary,
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=len(kinds),
            layer_types=kinds,
            num_attention_heads=3,
            num_key_value_heads=1,
            head_dim=16,
            query_pre_attn_scalar=16,
            max_position_embeddings=128,
            sliding_window=8,
            use_bidirectional_attention=True,
        )
    )


def mpnet(vocabulary: int) -> Any:
    from transformers import MPNetConfig, MPNetModel

    return MPNetModel(
        MPNetConfig(
            vocab_size=vocabulary,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=66,
        ),
        add_pooling_layer=False,
    )


def distilbert(vocabulary: int) -> Any:
    from transformers import DistilBertConfig, DistilBertModel

    return DistilBertModel(
        DistilBertConfig(
            vocab_size=vocabulary,
            dim=48,
            hidden_dim=96,
            n_layers=3,
            n_heads=4,
            max_position_embeddings=64,
        )
    )


def t5(vocabulary: int) -> Any:
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=48,
            d_kv=12,
            d_ff=96,
            num_layers=3,
            num_heads=4,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=24,
            is_encoder_decoder=False,
            is_decoder=False,
        )
    )


_BERT = {"do_lower_case": True, "model_max_length": 512}
_ROBERTA_NAMES = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_INSTRUCTION = "Instruct: Given a web search query, find passages that answer it\nQuery:"

FAMILIES = (
    Family(
        "qwen3",
        qwen3,
        qwen_tokenizer,
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "padding_side": "left",
            "pad_token": "<|endoftext|>",
            "eos_token": "<|im_end|>",
            "model_max_length": 256,
        },
        pooling="lasttoken",
        max_seq_length=160,
        prompts={"query": _INSTRUCTION},
    ),
    Family(
        "gemma3",
        gemma3,
        gemma_tokenizer,
        {
            "tokenizer_class": "GemmaTokenizer",
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
            "add_bos_token": True,
            "add_eos_token": True,
        },
        dense=(95, 40),
        max_seq_length=96,
        prompts={"query": "task: search result | query: ", "document": "title: none | text: "},
    ),
    Family(
        "mpnet",
        mpnet,
        mpnet_tokenizer,
        {"tokenizer_class": "MPNetTokenizer", **_ROBERTA_NAMES, **_BERT},
        pooling="cls",
        prompts={"query": "query: "},
    ),
    Family(
        "distilbert",
        distilbert,
        bert_tokenizer,
        {"tokenizer_class": "DistilBertTokenizer", **_BERT},
        dense=(32,),
        include_prompt=False,
        normalise=False,
        prompts={"query": "search: ", "document": "text to be found: "},
    ),
    Family(
        "t5",
        t5,
        t5_tokenizer,
        {
            "tokenizer_class": "T5Tokenizer",
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "extra_ids": 0,
        },
        pooling="weightedmean",
        dense=(60,),
        max_seq_length=64,
    ),
)
