"""Which of a repository's files are fetched."""

from emblem.models.repository import chosen


def test_only_files_that_a_model_is_made_of_are_chosen() -> None:
    wanted = ["0_Transformer/tokenizer.json", "config.json", "sentencepiece.bpe.model", "vocab.txt"]
    others = [
        "README.md",
        "modeling_custom.py",
        "pytorch_model.bin",
        "training_args.bin",
        "model_fp16.safetensors",
        "onnx/config.json",
        "1_Pooling/deep/config.json",
        ".gitattributes",
        ".hidden.json",
        "../up.json",
        "/etc/absolute.json",
        "..\\up.json",
    ]
    assert chosen([*others, *wanted]) == wanted


def test_shards_are_chosen_only_where_there_is_no_whole_file() -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert chosen(shards) == shards
    assert chosen([*shards, "model.safetensors"]) == ["model.safetensors"]
