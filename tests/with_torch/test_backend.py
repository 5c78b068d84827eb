"""A folder is loaded whole, or refused with what is wrong with it."""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emblem.errors import ConfigError, ModelError
from emblem.types import Row
from tiny_models import write_safetensors
from with_torch.opening import backend, row, understood

pytestmark = [pytest.mark.slow, pytest.mark.torch]


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / folder.name))


def rewritten(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a JSON object in place."""
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def without(folder: Path, wanted: str) -> str:
    """Take a tensor whose name ends so out of the weights and give its name."""
    from safetensors.numpy import load_file

    file = folder / "model.safetensors"
    tensors = load_file(file)
    (name,) = [one for one in tensors if one.endswith(wanted)]
    del tensors[name]
    write_safetensors(file, tensors)
    return name


def test_a_weight_that_is_missing_is_not_made_up(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["qwen3"], tmp_path)
    name = without(folder, "layers.1.mlp.up_proj.weight")
    with pytest.raises(ModelError, match=f"weights lack {name}, which .* make up at random"):
        backend(folder)


def test_a_weight_of_another_shape_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["distilbert"], tmp_path)
    rewritten(folder / "config.json", lambda config: config.update(hidden_dim=95))
    with pytest.raises(ModelError, match="distilbert"):
        backend(folder)


def test_a_pooler_that_is_missing_matters_to_no_vector(folders: dict[str, Path]) -> None:
    opened = backend(folders["mpnet"])  # which was saved without one
    assert opened.stream().run(row(5)).shape == (1, opened.width)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"activation_function": "somebody.elses.Activation"}, "activation_function: .*torch.nn"),
        ({"activation_function": "torch.hub.list"}, "activation_function: .*torch.nn"),
        ({"gate": True}, "gate"),
    ],
)
def test_a_dense_layer_that_the_library_would_take_otherwise_is_refused(
    change: dict[str, Any], why: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(folders["gemma3"], tmp_path)
    rewritten(folder / "2_Dense" / "config.json", lambda config: config.update(change))
    with pytest.raises(ModelError, match=rf"2_Dense/config\.json: .*{why}"):
        backend(folder)


def test_a_tokenizer_that_the_library_reads_otherwise_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """Gemma's class has a normalizer of its own and does not look at the file's."""
    folder = copied(folders["gemma3"], tmp_path)
    lower = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "NFKC"}]}
    rewritten(folder / "tokenizer.json", lambda file: file.update(normalizer=lower))
    with pytest.raises(ModelError, match=r"tokenizer\.json: gives '.*' other token ids than"):
        backend(folder)


@pytest.mark.parametrize("name", ["qwen3", "gemma3", "mpnet", "distilbert", "t5"])
@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"additional_special_tokens": ["query"]}, 'additional_special_tokens: "query" is not amo'),
        ({"mask_token": {"content": "query"}}, 'mask_token: "query" is not among'),
        ({"truncation_side": "left"}, 'truncation_side: is "left"'),
        ({"split_special_tokens": True}, "split_special_tokens: is true"),
    ],
)
def test_what_would_find_other_tokens_in_a_text_is_refused(
    name: str, change: dict[str, Any], why: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(folders[name], tmp_path)
    rewritten(folder / "tokenizer_config.json", lambda config: config.update(change))
    with pytest.raises(ModelError, match=rf"tokenizer_config\.json: {why}"):
        understood(folder)


def test_a_token_that_only_the_library_or_only_the_file_has_is_refused(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    """No probe holds the word. The class has a mask of its own, and none of what is not listed."""
    folder = copied(folders["mpnet"], tmp_path)
    file = folder / "tokenizer.json"
    tokens = json.loads(file.read_text())["added_tokens"]
    rewritten(file, lambda tokenizer: tokenizer.update(added_tokens=tokens[:-1]))
    rewritten(folder / "tokenizer_config.json", lambda config: config.pop("mask_token"))
    with pytest.raises(ModelError, match=r"added_tokens: the id \d+ is no added token there, and"):
        backend(folder)
    listed = {str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in tokens}
    word = tokens[-1] | {
        "content": "query",
        "id": json.loads(file.read_text())["model"]["vocab"]["query"],
    }
    rewritten(file, lambda tokenizer: tokenizer.update(added_tokens=[*tokens, word]))
    rewritten(
        folder / "tokenizer_config.json", lambda config: config.update(added_tokens_decoder=listed)
    )
    with pytest.raises(ModelError, match=r'is {"content": "query".* makes no added token of it'):
        backend(folder)


def test_a_model_that_transformers_does_not_know_is_named(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(folders["distilbert"], tmp_path)
    rewritten(folder / "config.json", lambda config: config.update(model_type="nobert"))
    with pytest.raises(ModelError, match=r"sentence-transformers cannot load it: .*nobert"):
        backend(folder)


def test_code_of_a_model_is_not_run(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(folders["distilbert"], tmp_path)
    ran = tmp_path / "ran"
    (folder / "own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Config: pass\n")
    change = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    rewritten(folder / "config.json", lambda config: config.update(change))
    with pytest.raises(ModelError):
        backend(folder)
    assert not ran.exists()


def test_the_network_is_never_used(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        raise OSError("the network is asked for")

    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for folder in folders.values():
        backend(folder).stream().run(row(3, 5))
    assert asked == []


def test_a_device_that_is_not_there_is_named_with_what_is_expected(
    folders: dict[str, Path],
) -> None:
    for device in ("cuda:77", "gpu", ""):
        with pytest.raises(ConfigError, match=f'device = "{device}": .*auto, cpu, cuda'):
            backend(folders["qwen3"], device=device)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Row(np.zeros(0, np.int32), np.zeros(0, np.int32)), "a row has sequences"),
        (Row(np.zeros(3, np.int32), np.array([3, 0], np.int32)), "a sequence has tokens"),
        (Row(np.zeros(3, np.int32), np.array([4], np.int32)), "3 ids for 4 tokens"),
        (Row(np.full(3, 10**6, np.int32), np.array([3], np.int32)), "not within 0"),
        (Row(np.full(3, -1, np.int32), np.array([3], np.int32)), "not within 0"),
        (Row(np.zeros(999, np.int32), np.array([999], np.int32)), "more than"),
    ],
)
def test_a_row_that_cannot_be_run_says_why(wrong: Row, why: str, folders: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match=why):
        backend(folders["distilbert"]).stream().run(wrong)


def test_vectors_are_float32_and_laid_out_row_by_row(folders: dict[str, Path]) -> None:
    vectors = backend(folders["gemma3"]).stream().run(row(4, 9, 2, 9))
    assert vectors.shape == (4, 40)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous


def test_a_sequence_has_the_vector_it_has_alone_with_padding_and_without(
    folders: dict[str, Path],
) -> None:
    for folder in folders.values():
        stream = backend(folder).stream()
        lengths = (17, 3, 9, 16, 30, 15)
        whole = row(*lengths)
        sequences = np.split(whole.ids, np.cumsum(lengths)[:-1])
        alone = [stream.run(Row(one, np.array([len(one)], np.int32)))[0] for one in sequences]
        for pad in (True, False):
            stream._pad = pad
            np.testing.assert_allclose(stream.run(whole), np.stack(alone), atol=2e-5)


def test_a_model_that_padding_would_change_is_run_without(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FNet and its like mix all places, whatever the mask says. Here the mask is lost."""
    import torch
    from transformers import DistilBertModel

    forward = DistilBertModel.forward

    def maskless(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs["attention_mask"] = torch.ones_like(kwargs["attention_mask"])
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(DistilBertModel, "forward", maskless)
    stream = backend(folders["distilbert"]).stream()
    together = stream.run(row(17, 16, 15))
    assert not stream._pad
    alone = stream.run(Row(row(17, 16, 15).ids[17:33], np.array([16], np.int32)))
    np.testing.assert_allclose(together[1], alone[0], atol=2e-5)


def test_a_group_that_memory_does_not_hold_is_run_in_parts(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    stream = backend(folders["qwen3"]).stream()
    expected = stream.run(row(8, 8, 8, 8, 8))
    run, sizes = stream._vectors, []

    def small(sequences: list[Any], skip: int) -> Any:
        sizes.append(len(sequences))
        if len(sequences) > 2:
            raise torch.OutOfMemoryError("too little")
        return run(sequences, skip)

    monkeypatch.setattr(stream, "_vectors", small)
    np.testing.assert_allclose(stream.run(row(8, 8, 8, 8, 8)), expected, atol=2e-5)
    assert max(sizes[1:]) <= 3
    monkeypatch.setattr(
        stream, "_vectors", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none"))
    )
    with pytest.raises(torch.OutOfMemoryError):
        stream.run(row(8))


def test_scores_are_counted_where_attention_writes_them_out(folders: dict[str, Path]) -> None:
    """MPNet adds a bias for each distance to its scores, and knows no attention without them."""
    written, fused = backend(folders["mpnet"]), backend(folders["distilbert"])
    assert (written._numbers.heads, fused._numbers.heads) == (4, 0)
    assert written.row_bytes(1000) > fused.row_bytes(1000) > 1000 * 4 * (48 + 96)


def test_a_closed_backend_opens_no_stream(folders: dict[str, Path]) -> None:
    opened = backend(folders["t5"])
    opened.close()
    with pytest.raises(RuntimeError, match="closed"):
        opened.stream()
