"""Measure what a served model's vectors are worth on three public tasks, over HTTP.

    python benchmarks/quality.py DATA --base-url http://127.0.0.1:8080/v1 --model all-MiniLM-L6-v2

DATA is a folder with stsb/test.tsv (score, sentence1, sentence2), xquad/{corpus,queries}.jsonl and
xquad/qrels.tsv, and banking77/{train,test}.tsv (label, text). It is not part of this project. Needs
numpy, scipy and scikit-learn, and OPENAI_API_KEY in the environment.

The figures are those of MTEB: Spearman's correlation × 100, nDCG@10 × 100, and the mean accuracy of
ten logistic regressions, each on eight training texts a label.
"""

import argparse
import csv
import json
import os
import urllib.request
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

BATCH = 256


class Endpoint:
    """An OpenAI-compatible endpoint and a model behind it."""

    def __init__(self, base_url: str, model: str, overflow: str | None) -> None:
        self._url = f"{base_url}/embeddings"
        self._fixed = {"model": model} | ({"overflow": overflow} if overflow else {})

    def embed(self, texts: list[str]) -> np.ndarray:
        """Embed texts: (n, d) float64 unit vectors."""
        rows = []
        for start in range(0, len(texts), BATCH):
            body = json.dumps({**self._fixed, "input": texts[start : start + BATCH]}).encode()
            headers = {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}",
            }
            request = urllib.request.Request(self._url, body, headers)
            with urllib.request.urlopen(request) as answer:
                rows += [item["embedding"] for item in json.load(answer)["data"]]
        vectors = np.array(rows)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def stsb(endpoint: Endpoint, folder: Path) -> float:
    """Spearman's correlation of cosine and human judgement, × 100."""
    rows = _rows(folder / "stsb" / "test.tsv")
    first = endpoint.embed([row["sentence1"] for row in rows])
    second = endpoint.embed([row["sentence2"] for row in rows])
    cosines = np.sum(first * second, axis=1)
    return 100 * spearmanr(cosines, [float(row["score"]) for row in rows]).statistic


def xquad(endpoint: Endpoint, folder: Path) -> float:
    """nDCG@10 of finding the paragraph that answers a question, × 100."""
    corpus = _lines(folder / "xquad" / "corpus.jsonl")
    queries = _lines(folder / "xquad" / "queries.jsonl")
    wanted = {row["query-id"]: row["corpus-id"] for row in _rows(folder / "xquad" / "qrels.tsv")}
    texts = [f"{row.get('title', '')} {row['text']}".strip() for row in corpus]
    scores = endpoint.embed([row["text"] for row in queries]) @ endpoint.embed(texts).T
    gains = []
    for query, row in zip(queries, scores, strict=True):
        best = [corpus[i]["_id"] for i in np.argsort(-row, kind="stable")[:10]]
        found = wanted[query["_id"]]
        gains.append(1 / np.log2(best.index(found) + 2) if found in best else 0.0)
    return 100 * float(np.mean(gains))


def banking(endpoint: Endpoint, folder: Path) -> float:
    """Accuracy of classifying bank customers' questions into 77 intents, × 100."""
    train, test = (_rows(folder / "banking77" / f"{part}.tsv") for part in ("train", "test"))
    vectors = endpoint.embed([row["text"] for row in train])
    labels = np.array([row["label"] for row in train])
    unseen = endpoint.embed([row["text"] for row in test])
    truth = np.array([row["label"] for row in test])
    rng = np.random.default_rng(42)
    accuracies = []
    for _ in range(10):
        chosen = np.concatenate(
            [rng.permutation(np.flatnonzero(labels == one))[:8] for one in np.unique(labels)]
        )
        classifier = LogisticRegression(max_iter=100).fit(vectors[chosen], labels[chosen])
        accuracies.append(classifier.score(unseen, truth))
    return 100 * float(np.mean(accuracies))


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def _lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Print a line a task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--base-url", default="http://127.0.0.1:8080/v1")
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--overflow", choices=("mean", "truncate"))
    given = parser.parse_args()
    endpoint = Endpoint(given.base_url, given.model, given.overflow)
    for name, task in (("STS-B test", stsb), ("XQuAD nDCG@10", xquad), ("Banking77", banking)):
        print(f"{given.model}\t{name}\t{task(endpoint, given.data):.2f}", flush=True)


if __name__ == "__main__":
    main()
