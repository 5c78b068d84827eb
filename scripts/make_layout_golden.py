"""Write what ``tests/test_layouts_agree.py`` compares with: vectors, and the graphs they are of.

Run it with a Python that has sentence-transformers, model2vec, torch, onnx and onnxruntime, none of
which Emblem needs::

    python scripts/make_layout_golden.py
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
sys.path.insert(0, str(ROOT / "tests"))

import tiny_layouts as tiny  # noqa: E402 - found only now
from golden_texts import few  # noqa: E402

SEED = 20_27


def main() -> None:
    """Make everything anew."""
    texts = few(SEED)
    vectors: dict[str, np.ndarray] = {}
    tiny.GRAPHS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for family in tiny.GRAPH_FAMILIES:
            tiny.write_settings(family, root / family)
            make_graph(family, root / family)
            vectors[family] = encode(root / family, texts)
        for chain in tiny.CHAINS:
            vectors[chain.name] = encode(tiny.write_chain(chain, root / chain.name), texts)
        for static in tiny.STATICS:
            folder = tiny.write_static(static, root / static.name)
            one = encode if static.layout == "StaticEmbedding" else model2vec
            vectors[static.name] = one(folder, texts)
    (GOLDEN / "layouts.json").write_text(json.dumps(texts, indent=1) + "\n", encoding="ascii")
    np.savez_compressed(GOLDEN / "layouts.npz", **vectors)
    names = ("sentence-transformers", "transformers", "torch", "model2vec", "onnx", "onnxruntime")
    made = {name: version(name) for name in names}
    (GOLDEN / "layouts_made_with.json").write_text(json.dumps(made, indent=2) + "\n", "ascii")


def make_graph(family: str, folder: Path) -> None:
    """Write an encoder with drawn weights: safetensors in the folder, its graph to the golden ones."""
    import torch
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager")
    for name, parameter in model.named_parameters():
        drawn = torch.from_numpy(tiny.draw(name, *parameter.shape))
        parameter.data = drawn + (1 if name.lower().endswith("norm.weight") else 0)
    model.eval().save_pretrained(folder)
    ids = torch.arange(24).reshape(2, 12) + 10
    axes = {0: "batch", 1: "sequence"}
    names = ["input_ids", "attention_mask"]
    file = tiny.GRAPHS / f"{family}.onnx"
    torch.onnx.export(
        States(model),
        (ids, torch.ones_like(ids)),
        str(file),
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes=dict.fromkeys((*names, "last_hidden_state"), axes),
        opset_version=17,
        dynamo=False,
    )
    if family == tiny.QUANTIZED:
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(str(file), str(file.with_name(f"{family}_quantized.onnx")))


def States(model):  # noqa: N802 - makes a module
    """Wrap an encoder so that it gives nothing but the states of tokens."""
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids, mask):
            return self.model(input_ids=ids, attention_mask=mask).last_hidden_state

    return Wrapped()


def encode(folder: Path, texts: list[str]) -> np.ndarray:
    """Give what sentence-transformers gives, text by text: (n, width) float32."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    given = [model.encode([text], show_progress_bar=False)[0] for text in texts]
    return np.ascontiguousarray(given, np.float32)


def model2vec(folder: Path, texts: list[str]) -> np.ndarray:
    """Give what model2vec gives for texts of any length: (n, width) float32."""
    from model2vec import StaticModel

    model = StaticModel.from_pretrained(folder)
    return np.asarray(model.encode(texts, max_length=None), np.float32)


if __name__ == "__main__":
    main()
