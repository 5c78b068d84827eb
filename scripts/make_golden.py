"""Write the golden vectors that ``tests/test_agreement.py`` compares Emblem with.

Run it with a Python that has sentence-transformers, wordllama and tokenizers, none of which Emblem
needs, and give it the folder of the real all-MiniLM-L6-v2::

    python scripts/make_golden.py golden --minilm FOLDER

    python scripts/make_golden.py encode JOBS.json

The second form is for ``tests/test_agreement_live.py``. JOBS.json is a list of objects with
``folder``, ``texts``, ``prompt`` (a name, or null) and ``out``, the .npy file to write.

Everything runs in float32, also where the weights are kept in float16: that is what Emblem does.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
sys.path.insert(0, str(ROOT / "tests"))

from golden_texts import few, many  # noqa: E402 - found only now
from tiny_models import ROTARY_MODELS, TINY_MODELS, WORDS, TinyModel, write  # noqa: E402
from tiny_rotary import nomic_as_transformers_has_it  # noqa: E402

SEED = 20_26


def encode(folder: Path, texts: list[str], prompt: str | None = None) -> np.ndarray:
    """Give what sentence-transformers gives with its defaults, but in float32: (n, width)."""
    from sentence_transformers import SentenceTransformer

    rename_fields(folder / "config.json")
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": "float32"})
    vectors = model.encode(texts, prompt_name=prompt, show_progress_bar=False)
    return np.ascontiguousarray(vectors, np.float32)


def rename_fields(file: Path) -> None:
    """Write NomicBERT's fields anew under the names of transformers 5, which reads no others.

    The tensors stay as they are: transformers itself knows what the repositories call them.
    """
    config = json.loads(file.read_text(encoding="utf-8"))
    if "n_embd" in config:
        file.write_text(json.dumps(nomic_as_transformers_has_it(config)), encoding="utf-8")


def minilm(folder: Path) -> None:
    """Write the texts and vectors of the real model."""
    texts = many(SEED)
    save_texts("minilm", texts)
    np.savez_compressed(GOLDEN / "minilm.npz", vectors=encode(folder, texts))


def tiny() -> None:
    """Write the texts of the tiny models, and the vectors of each with every prompt that it has."""
    small("tiny", TINY_MODELS, few(SEED))


def rotary() -> None:
    """Write the same for the families with rotary positions, with texts around every boundary."""
    lengths = (*range(1, 16), 30, 44, 45, 46, 47, 61, 62, 63, 64, 65, 126, 127, 128, 129, 130, 131)
    counted = [" ".join(WORDS[place * 7 % len(WORDS)] for place in range(n)) for n in lengths]
    small("rotary", ROTARY_MODELS, few(SEED + 2) + counted + [" ".join(WORDS * 5)])


def small(name: str, models: Sequence[TinyModel], texts: list[str]) -> None:
    """Write texts, and the vectors that each of the models has for them."""
    save_texts(name, texts)
    arrays: dict[str, np.ndarray] = {}
    for model in models:
        with tempfile.TemporaryDirectory() as scratch:
            folder = write(model, Path(scratch) / model.name)
            weights = (folder / "model.safetensors").read_bytes()
            arrays[f"{model.name}/sha256"] = np.array(hashlib.sha256(weights).hexdigest())
            for prompt in (None, *model.prompts):
                arrays[f"{model.name}/{prompt or 'plain'}"] = encode(folder, texts, prompt)
    np.savez_compressed(GOLDEN / f"{name}.npz", **arrays)


def wordllama() -> None:
    """Write the texts and vectors of the static model."""
    import wordllama as package
    from safetensors.numpy import load_file
    from wordllama.inference import WordLlamaInference

    # WordLlama.load looks for its tokenizer in a folder of another name and would download it.
    folder = Path(package.__file__).parent
    table = load_file(folder / "weights" / "l2_supercat_256.safetensors")["embedding.weight"]
    tokenizer = package.WordLlama.load_tokenizer(
        folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
    )
    texts = [text for text in few(SEED + 1, 60) if text.strip()]
    save_texts("wordllama", texts)
    model = WordLlamaInference(table, tokenizer)
    vectors = [model.embed(text, norm=True)[0] for text in texts]  # alone, so without padding
    np.savez_compressed(GOLDEN / "wordllama.npz", vectors=np.stack(vectors))


def save_texts(name: str, texts: list[str]) -> None:
    """Keep texts as ASCII JSON: some of them hold characters that editors change or hide."""
    written = json.dumps(texts, ensure_ascii=True, indent=0)
    (GOLDEN / f"{name}.json").write_text(written + "\n", encoding="ascii")


def made_with() -> None:
    """Keep the versions that the vectors were made with."""
    names = ("sentence-transformers", "transformers", "torch", "tokenizers", "wordllama", "numpy")
    written = json.dumps({name: version(name) for name in names}, indent=2)
    (GOLDEN / "made_with.json").write_text(written + "\n", encoding="ascii")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    golden = commands.add_parser("golden", help="write tests/golden")
    golden.add_argument("--minilm", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    jobs = commands.add_parser("encode", help="encode the texts of a list of jobs")
    jobs.add_argument("jobs", type=Path)
    given = parser.parse_args()
    if given.command == "encode":
        for job in json.loads(given.jobs.read_text(encoding="utf-8")):
            np.save(job["out"], encode(Path(job["folder"]), job["texts"], job["prompt"]))
        return
    GOLDEN.mkdir(exist_ok=True)
    minilm(given.minilm)
    tiny()
    rotary()
    wordllama()
    made_with()


if __name__ == "__main__":
    main()
