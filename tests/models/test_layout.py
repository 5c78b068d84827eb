"""Reading model folders: what is understood, and that the rest is one line and never a guess."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emblem.errors import ModelError
from emblem.model import Pooling, PoolingMode
from emblem.models import layout
from emblem.offer import Prompts
from emblem.types import Overflow
from tiny_models import PROMPTS, TINY_MODELS, TinyModel, write

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small BERT, mean-pooled and normalised, with prompts."""
    return write(TinyModel("tiny", "bert", prompts=PROMPTS), tmp_path / "tiny")


def _edit(file: Path, **changes: Any) -> None:
    """Change fields of a JSON file; None takes a field away."""
    value = json.loads(file.read_text()) if file.is_file() else {}
    value |= changes
    kept = {name: content for name, content in value.items() if content is not None}
    file.write_text(json.dumps(kept))


@pytest.mark.parametrize("tiny", TINY_MODELS, ids=lambda tiny: tiny.name)
def test_every_family_and_pooling_is_understood(tiny: TinyModel, tmp_path: Path) -> None:
    model = layout.read(write(tiny, tmp_path / "m"), "m", overflow=Overflow.TRUNCATE)
    assert tuple(str(mode) for mode in sorted(model.pooling.modes)) == tuple(sorted(tiny.modes))
    assert model.width == tiny.hidden * len(tiny.modes)
    assert model.normalise == model.space.normalised == tiny.normalise
    assert model.pooling.include_prompt == tiny.include_prompt
    assert model.tokenization.lowercase == tiny.lowercase
    assert not model.tokenization.strip
    assert model.space.overflow is Overflow.TRUNCATE
    assert model.encoder is not None
    assert model.encoder.family == ("bert" if tiny.family == "bert" else "roberta")
    assert model.encoder.position_offset == (0 if tiny.family == "bert" else 2)


def test_flags_are_pooled_in_the_order_of_sentence_transformers(folder: Path) -> None:
    _edit(
        folder / "1_Pooling/config.json",
        pooling_mode_lasttoken=True,
        pooling_mode_cls_token=True,
        pooling_mode_mean_tokens=True,
    )
    modes = (PoolingMode.CLS, PoolingMode.MEAN, PoolingMode.LAST_TOKEN)
    assert layout.read(folder, "m").pooling == Pooling(modes)


def test_what_sentence_transformers_6_writes_is_understood(folder: Path) -> None:
    types = {
        "": "sentence_transformers.base.modules.transformer.Transformer",
        "1_Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
        "2_Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    }
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": index, "name": str(index), "path": path, "type": kind}
                for index, (path, kind) in enumerate(types.items())
            ]
        )
    )
    forward = {"method": "forward", "method_output_name": "last_hidden_state"}
    _edit(
        folder / "sentence_bert_config.json",
        transformer_task="feature-extraction",
        modality_config={"text": forward},
        module_output_name="token_embeddings",
        max_seq_length=None,
        do_lower_case=None,
    )
    _edit(folder / "tokenizer_config.json", model_max_length=21)
    (folder / "1_Pooling/config.json").write_text(
        '{"embedding_dimension": 32, "pooling_mode": ["mean", "cls"], "include_prompt": false}'
    )
    (folder / "2_Normalize").mkdir(exist_ok=True)
    (folder / "2_Normalize/config.json").write_text('{"module_input_name": "sentence_embedding"}')
    _edit(
        folder / "config_sentence_transformers.json",
        model_type="SentenceTransformer",
        similarity_fn_name="cosine",
        __version__={"sentence_transformers": "6.2.0"},
    )
    model = layout.read(folder, "m")
    assert model.tokenization.max_length == 21
    assert model.pooling == Pooling((PoolingMode.MEAN, PoolingMode.CLS), include_prompt=False)
    assert model.normalise


def test_a_transformer_in_a_folder_of_its_own_is_found(folder: Path) -> None:
    inner = folder / "0_Transformer"
    inner.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (folder / name).rename(inner / name)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    assert layout.read(folder, "m").weights == (inner / "model.safetensors",)


@pytest.mark.parametrize(
    ("asked", "tokenizer_says", "given"),
    [(40, 512, 40), (4096, 512, 66), (None, 50, 50), (None, 1e30, 66), (None, None, 66)],
)
def test_the_length_stays_within_the_position_table(
    asked: int | None, tokenizer_says: float | None, given: int, folder: Path
) -> None:
    _edit(folder / "sentence_bert_config.json", max_seq_length=asked)
    _edit(folder / "tokenizer_config.json", model_max_length=tokenizer_says)
    assert layout.read(folder, "m").tokenization.max_length == given


def test_roberta_reads_less_than_its_position_table(tmp_path: Path) -> None:
    tiny = TinyModel("r", "roberta", max_seq_length=66)
    assert layout.read(write(tiny, tmp_path / "r"), "r").tokenization.max_length == 64


@pytest.mark.parametrize(
    ("prompts", "given"),
    [
        ({"query": "q: ", "passage": "p: "}, Prompts("q: ", "p: ")),
        ({"query": "q: ", "document": "", "corpus": "c: "}, Prompts("q: ", "c: ")),
        ({"document": "d: ", "passage": "p: "}, Prompts(None, "d: ")),
        ({"query": "", "document": ""}, Prompts()),
        ({"classification": "c: "}, Prompts()),
        (None, Prompts()),
    ],
)
def test_prompts_are_those_for_questions_and_for_documents(
    prompts: dict[str, str] | None, given: Prompts, folder: Path
) -> None:
    _edit(folder / "config_sentence_transformers.json", prompts=prompts)
    assert layout.read(folder, "m").prompts == given


def test_prompts_of_ones_own_come_first_and_change_the_space(folder: Path) -> None:
    own = layout.read(folder, "m", query_prompt="ask: ", document_prompt="")
    assert own.prompts == Prompts("ask: ", None)
    assert own.space.identity != layout.read(folder, "m").space.identity


def test_a_default_prompt_is_refused_until_somebody_decides(folder: Path) -> None:
    _edit(folder / "config_sentence_transformers.json", default_prompt_name="query")
    with pytest.raises(ModelError, match=r"transformers\.json: default_prompt_name: is \"query\""):
        layout.read(folder, "m")
    assert layout.read(folder, "m", query_prompt="q: ", document_prompt="").prompts.query == "q: "


def test_shards_are_read_in_the_order_of_their_names(folder: Path) -> None:
    whole = (folder / "model.safetensors").rename(folder / "model-2-of-2.safetensors")
    (folder / "model-1-of-2.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    names = {"b": whole.name, "a": "model-1-of-2.safetensors"}
    _edit(folder / "model.safetensors.index.json", weight_map=names)
    assert [path.name for path in layout.read(folder, "m").weights] == sorted(names.values())


def test_everything_that_decides_the_numbers_is_in_the_identity(folder: Path) -> None:
    before = layout.read(folder, "m").space
    assert layout.read(folder, "other").space.identity == before.identity
    changes: list[tuple[str, dict[str, Any]]] = [
        ("config.json", {"hidden_act": "relu"}),
        ("sentence_bert_config.json", {"max_seq_length": 20}),
        ("1_Pooling/config.json", {"include_prompt": False}),
        ("config_sentence_transformers.json", {"prompts": {"query": "x"}}),
        ("tokenizer.json", {"padding": None, "note": 1}),
    ]
    seen = {before.identity}
    for name, change in changes:
        _edit(folder / name, **change)
        seen.add(layout.read(folder, "m").space.identity)
    assert len(seen) == len(changes) + 1


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("config.json", {"model_type": "t5"}, 'model_type: is "t5"; from safetensors Emblem reads'),
        ("config.json", {"model_type": None}, "model_type: is missing"),
        ("config.json", {"hidden_size": None}, "hidden_size: is missing"),
        ("config.json", {"hidden_size": "32"}, 'hidden_size: is "32", not a whole number'),
        ("config.json", {"hidden_size": 33}, "hidden_size: 33 is no multiple of 4"),
        ("config.json", {"num_hidden_layers": 0}, "num_hidden_layers: is 0, not above zero"),
        ("config.json", {"hidden_act": "silu"}, 'hidden_act: is "silu", not gelu'),
        ("config.json", {"embedding_size": 16}, "embedding_size: is 16, and only 32"),
        ("config.json", {"position_embedding_type": "alibi"}, "position_embedding_type: is"),
        ("config.json", {"layer_norm_eps": -1}, "layer_norm_eps: is -1, not a number from zero"),
        ("config.json", {"layer_norm_eps": "0"}, 'layer_norm_eps: is "0", not a number'),
        ("config.json", {"auto_map": {"AutoModel": "x.Y"}}, "auto_map: the model needs code"),
        ("config.json", {"is_decoder": True}, "is_decoder: is true, and only false"),
        ("config.json", {"quantization_config": {"a": 1}}, "quantization_config: is"),
        ("1_Pooling/config.json", {"word_embedding_dimension": 31}, "word_embedding_dimension: is"),
        ("1_Pooling/config.json", {"pooling_mode": "median"}, "pooling_mode: 'median' is not one"),
        ("1_Pooling/config.json", {"pooling_mode": [{}]}, r"pooling_mode: \{\} is not one of cls"),
        (
            "1_Pooling/config.json",
            {"pooling_mode_mean_tokens": False},
            "_token: is false, and so is",
        ),
        ("1_Pooling/config.json", {"pooling_mode_new": True}, "pooling_mode_new: is not a field"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": 1}, "_max_tokens: is 1, not true or"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length: is 0, which leaves"),
        ("sentence_bert_config.json", {"query_length": 32}, "query_length: is 32, and only absent"),
        ("sentence_bert_config.json", {"model_args": {"a": 1}}, "model_args: is"),
        ("sentence_bert_config.json", {"new": 1}, "new: is not a field that Emblem understands"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "model_type: is"),
        ("config_sentence_transformers.json", {"prompts": {"query": 1}}, r"prompts\.query: is 1"),
        ("config_sentence_transformers.json", {"truncate_dim": 8}, "truncate_dim: is not a field"),
        ("2_Normalize/config.json", {"module_input_name": "token_embeddings"}, "module_input_name"),
        ("tokenizer_config.json", {"do_lower_case": False}, "do_lower_case: is false, and the"),
        ("tokenizer_config.json", {"tokenize_chinese_chars": False}, "tokenize_chinese_chars: is"),
        ("tokenizer.json", {"model": None}, "model: is missing"),
        ("tokenizer.json", {"added_tokens": [{"id": "x"}]}, "an id there or in added_tokens"),
    ],
)
def test_what_is_not_understood_names_file_and_field(
    name: str, changes: dict[str, Any], why: str, folder: Path
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    _edit(folder / name, **changes)
    with pytest.raises(ModelError, match=why) as caught:
        layout.read(folder, "m")
    assert str(folder / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "1_Pooling/config.json", "model.safetensors"]
)
def test_a_missing_file_is_named(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=Path(name).name):
        layout.read(folder, "m")


@pytest.mark.parametrize("padding", [-2, -1, 66, 2**63])
def test_a_padding_index_of_roberta_lies_within_its_position_table(
    padding: int, tmp_path: Path
) -> None:
    folder = write(TinyModel("r", "roberta"), tmp_path / "r")
    _edit(folder / "config.json", pad_token_id=padding)
    with pytest.raises(
        ModelError, match=rf"config\.json: pad_token_id: is {padding}, not within 0…65"
    ):
        layout.read(folder, "r")


def test_a_pooling_that_names_no_mode_takes_the_mean(folder: Path) -> None:
    (folder / "1_Pooling/config.json").write_text('{"word_embedding_dimension": 32}')
    assert layout.read(folder, "m").pooling == Pooling((PoolingMode.MEAN,))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "modules.json"])
def test_a_file_that_is_nested_without_end_is_named(name: str, folder: Path) -> None:
    (folder / name).write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ModelError, match=rf"{name}: is nested too deeply$"):
        layout.read(folder, "m")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe", b"", b"nul", b'{"a": 1} x'])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "sentence_bert_config.json"])
def test_a_file_that_is_not_a_json_object_is_named(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}: is ") as caught:
        layout.read(folder, "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("modules", "why"),
    [
        ([], "the modules are none"),
        ([1], r"\[0\]: is 1, not an object"),
        ([{"path": ""}], r"\[0\]\.type: is missing"),
        ([{"type": "custom.Model", "path": ""}], "code of its own, which Emblem never runs"),
        ([{"type": "sentence_transformers.models.Transformer", "kwargs": {"a": 1}}], "kwargs: is"),
        (
            [
                {"type": f"sentence_transformers.models.{name}", "path": path}
                for name, path in (("Transformer", ""), ("Dense", "2"), ("Pooling", "1"))
            ],
            "the modules are Transformer, Dense, Pooling",
        ),
        (
            [
                {"type": f"sentence_transformers.models.{name}", "path": path}
                for name, path in (("Transformer", "../x"), ("Pooling", "1"))
            ],
            "path: leads out of the model's folder",
        ),
        *(
            (
                [
                    {"type": "sentence_transformers.models.Transformer", "path": path},
                    {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
                ],
                why,
            )
            for path, why in (("a\0b", r"\[0\]\.path: cannot be"), ("a" * 9999, "too long$"))
        ),
    ],
)
def test_modules_that_are_not_understood_are_named(
    modules: list[Any], why: str, folder: Path
) -> None:
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=f"modules.json: .*{why}|{why}"):
        layout.read(folder, "m")


def test_a_folder_without_modules_is_no_invitation_to_guess(folder: Path) -> None:
    (folder / "modules.json").unlink()
    with pytest.raises(ModelError, match=r"modules\.json: is missing, and without it"):
        layout.read(folder, "m")


def test_a_tokenizer_may_not_give_ids_that_the_table_has_no_row_for(folder: Path) -> None:
    _edit(folder / "config.json", vocab_size=3)
    with pytest.raises(ModelError, match=r"tokenizer\.json: model\.vocab: goes up to id \d+, and"):
        layout.read(folder, "m")


def test_a_pickle_is_named_and_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no model\.safetensors; only pytorch_model\.bin, which"):
        layout.read(folder, "m")


def test_an_adapter_is_not_passed_over(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"adapter_config\.json: adapters are not understood"):
        layout.read(folder, "m")


def test_an_index_may_not_name_files_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    index = folder / "model.safetensors.index.json"
    _edit(index, weight_map={"a": "../model.safetensors"})
    with pytest.raises(ModelError, match=r"weight_map: \.\./model\.safetensors is not a file of"):
        layout.read(folder, "m")


def test_a_static_table_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "modules.json").unlink()
    static = {"table": "nothing", "special_tokens": False, "pooling": "mean", "normalise": True}
    (folder / "static.json").write_text(json.dumps(static))
    with pytest.raises(ModelError, match=r"model\.safetensors: has no table of two dimensions"):
        layout.read(folder, "m")


def test_a_static_table_of_another_name_is_not_taken_for_it(
    wordllama_folder: Path, tmp_path: Path
) -> None:
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).symlink_to(wordllama_folder / name)
    static = {"table": "other", "special_tokens": False, "pooling": "mean", "normalise": True}
    (tmp_path / "static.json").write_text(json.dumps(static))
    with pytest.raises(
        ModelError, match=r"static\.json: table: model\.safetensors has no table other"
    ):
        layout.read(tmp_path, "m")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        layout.read(tmp_path / "nowhere", "m")
