"""OpenAI's tokenizer as the tokenizers library has it, made of the ranks that tiktoken has.

tiktoken merges whichever neighbours have the lowest rank together; a list of merges in the order of
their ranks does the same. So each token is split again into the two that it was merged from, as
``TikTokenConverter`` of transformers does. The pattern is that of ``cl100k_base`` in tiktoken's
``openai_public.py``.
"""

import json
from base64 import b64decode
from itertools import pairwise
from pathlib import Path
from typing import Any

from emblem.errors import ModelError

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def file(ranks: Path, folder: Path) -> Path:
    """Give the ``tokenizer.json`` of a rank file, which is made in ``folder`` where it is not there.

    Its name is the rank file's, whose content is proven. Making it takes seconds. Raises ModelError.
    """
    made = folder / f"{ranks.stem}.tokenizer.json"
    if made.is_file():
        return made
    beside = made.with_name(f"{made.name}.new")
    try:
        content = json.dumps(_tokenizer(ranks.read_bytes()), ensure_ascii=False)
        folder.mkdir(parents=True, exist_ok=True)
        beside.write_text(content, "utf-8")
        beside.replace(made)
    except OSError as error:
        raise ModelError(f"{made}: cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise ModelError(f"{ranks}: is not as tiktoken writes ranks: {error}") from None
    return made


def _tokenizer(content: bytes) -> dict[str, Any]:
    ranks = {}
    for line in content.splitlines():
        token, rank = line.split()
        ranks[b64decode(token, validate=True)] = int(rank)
    merges = [
        (_written(left), _written(right))
        for token, rank in sorted(ranks.items(), key=lambda one: one[1])
        if len(token) > 1
        for left, right in _split(token, rank, ranks)
    ]
    pattern = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated"}
    levels = {"add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{**pattern, "invert": False}, {"type": "ByteLevel", **levels}],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", **levels},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,  # a word that is a token is that token, as with tiktoken
            "vocab": {_written(token): rank for token, rank in ranks.items()},
            "merges": merges,
        },
    }


def _split(token: bytes, rank: int, ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Give the two tokens that one is merged from; none where it is never made by merging."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        pairs = [ranks.get(left + right, rank) for left, right in pairwise(parts)]
        lowest = min(pairs)
        if lowest >= rank:
            return []
        at = pairs.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return [(parts[0], parts[1])]


def _characters() -> dict[int, str]:
    """Give the character that stands for each byte: GPT-2's ``bytes_to_unicode``."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }


_CHARACTERS = _characters()


def _written(token: bytes) -> str:
    return "".join(map(_CHARACTERS.__getitem__, token))
