"""Export the model for rivals that read other files: ``python export.py MODEL OUT``.

Runs in the environment of sentence-transformers with its ONNX and OpenVINO backends. Writes OUT/onnx,
OUT/openvino; OUT/fastembed, which is the first with the length that the model itself reads
(fastembed would take the shorter one of two that tokenizer_config.json has); and OUT/flat, which is
the first with the graph beside the configuration, where infinity's optimum finds it.
"""

import json
import shutil
import sys
from pathlib import Path

from sentence_transformers import SentenceTransformer


def main() -> None:
    """Write what is not there yet."""
    source, out = sys.argv[1], Path(sys.argv[2])
    for backend in ("onnx", "openvino"):
        folder = out / backend
        if not (folder / "modules.json").exists():
            model = SentenceTransformer(
                source, backend=backend, device="cpu", model_kwargs={"export": True}
            )
            model.save_pretrained(str(folder))
    own = out / "fastembed"
    if not own.exists():
        shutil.copytree(out / "onnx", own)
        file = own / "tokenizer_config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        config["max_length"] = config["model_max_length"] = 256
        file.write_text(json.dumps(config, indent=1), encoding="utf-8")
    flat = out / "flat"
    if not flat.exists():
        shutil.copytree(out / "onnx", flat)
        (flat / "onnx" / "model.onnx").rename(flat / "model.onnx")


if __name__ == "__main__":
    main()
