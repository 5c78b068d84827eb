"""A library in a process of its own, in its own environment: ``python peer.py KIND FOLDER``.

Reads one JSON object a line: ``batches``, lists of texts; ``seconds``, after which no batch is begun;
``out``, a file for the vectors. Answers with one: ``times``, when each batch began and ended, in
seconds since the first. Needs nothing but the library and numpy.
"""

import json
import os
import sys
import time
from itertools import pairwise

import numpy as np


def st(folder, backend="torch", **model_kwargs):
    """Give an encoder of sentence-transformers."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(
        folder, device="cpu", backend=backend, model_kwargs=model_kwargs or None
    )
    return lambda texts: model.encode(
        texts, batch_size=64, convert_to_numpy=True, show_progress_bar=False
    )


def st_onnx(folder):
    """Give its ONNX backend."""
    return st(folder, "onnx", provider="CPUExecutionProvider")


def st_openvino(folder):
    """Give its OpenVINO backend, told to compute in float32 where the CPU could do less."""
    return st(folder, "openvino", ov_config={"INFERENCE_PRECISION_HINT": "f32"})


def fastembed(folder):
    """Give fastembed with the same weights, as it would fetch them by itself."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    TextEmbedding.add_custom_model(
        model="local/all-MiniLM-L6-v2",
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf="local/all-MiniLM-L6-v2"),
        dim=384,
        model_file="onnx/model.onnx",
    )
    model = TextEmbedding("local/all-MiniLM-L6-v2", specific_model_path=folder)
    return lambda texts: np.array(list(model.embed(texts, batch_size=64)))


def row(folder):
    """Give what computes the vector of one text that was read before: the row and its pooling alone.

    A text is read when it comes for the first time.
    """
    from pathlib import Path

    from emblem import opening
    from emblem.config import Settings
    from emblem.core.head import Head
    from emblem.core.plan import plan
    from emblem.models import layout
    from emblem.types import EmbedRequest, Overflow, Row

    model = layout.read(Path(folder), "m", overflow=Overflow.TRUNCATE)
    reader = opening.open_tokenizer(model.tokenization, model.prompts, model.name)
    stream = opening._backend(model, reader, Settings()).stream()  # noqa: SLF001
    head, rows = Head(model.pooling, (), model.normalise), {}

    def embed(texts):
        (text,) = texts
        if text not in rows:
            readings = reader.readings((text,), "")
            made = plan(readings, reader.frame, EmbedRequest((text,)), Overflow.TRUNCATE).windows[0]
            lengths = np.array([len(made.ids)], np.int32)
            rows[text] = Row(made.ids, lengths, np.array([made.skip], np.int32))
        return head.vectors(stream.run(rows[text]), rows[text]).copy()

    return embed


def windows(folder):
    """Give the vectors of whole texts by the rule ``mean``, computed with sentence-transformers.

    k windows of content tokens, the i-th from ⌊in/k⌋ on, special tokens around each, weighted by what they hold.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu")
    tokenizer, most = model.tokenizer, model.max_seq_length - 2

    def one(text):
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        k = -(-len(ids) // most)
        bounds = [i * len(ids) // k for i in range(k + 1)]
        parts = [ids[start:stop] for start, stop in pairwise(bounds)]
        total = np.zeros(model.get_sentence_embedding_dimension())
        for part in parts:
            framed = [tokenizer.cls_token_id, *map(int, part), tokenizer.sep_token_id]
            given = torch.tensor([framed])
            features = {"input_ids": given, "attention_mask": torch.ones_like(given)}
            with torch.no_grad():
                vector = model(features)["sentence_embedding"][0].numpy()
            total += len(part) * vector / np.linalg.norm(vector)
        return (total / np.linalg.norm(total)).astype(np.float32)

    return lambda texts: np.array([one(text) for text in texts])


KINDS = {
    "st": st,
    "st-onnx": st_onnx,
    "st-ov": st_openvino,
    "fastembed": fastembed,
    "row": row,
    "windows": windows,
}


def main():
    """Answer until nothing more comes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    embed = KINDS[sys.argv[1]](sys.argv[2])
    for line in sys.stdin:
        asked = json.loads(line)
        times, vectors = [], []
        started = time.perf_counter()
        for batch in asked["batches"]:
            began = time.perf_counter() - started
            if times and began >= asked.get("seconds", 1e9):
                break
            vectors.append(np.asarray(embed(batch), dtype=np.float32))
            times.append([began, time.perf_counter() - started])
        if "out" in asked:
            np.save(asked["out"], np.concatenate(vectors))
        print(json.dumps({"times": times}), file=answers, flush=True)


if __name__ == "__main__":
    main()
