"""Texts, embedded one by one in the thread that asks, without an engine: to prove or to compare."""

from collections.abc import Sequence

import numpy as np

from emblem.core.head import Head, Layer
from emblem.core.plan import plan
from emblem.core.tokenize import TextTokenizer
from emblem.model import Model
from emblem.ports import Backend
from emblem.types import EmbedRequest, Overflow, Row, Vectors


def embed_alone(
    model: Model,
    tokenizer: TextTokenizer,
    backend: Backend,
    layers: tuple[Layer, ...],
    texts: Sequence[str],
) -> Vectors:
    """Give (n, width) float32, unit where the model normalises; a long text is cut.

    Each text is a row of its own, so that none has to do with another. For a backend that gives
    states of tokens. Raises ValueError for what is no text.
    """
    head = Head(model.pooling, layers, model.normalise)
    stream = backend.stream()
    request = EmbedRequest(tuple(texts))
    readings = tokenizer.readings(request.inputs, "")
    planned = plan(readings, tokenizer.frame, request, Overflow.TRUNCATE)
    vectors = []
    for window in planned.windows:
        row = Row(
            window.ids, np.array([len(window.ids)], np.int32), np.array([window.skip], np.int32)
        )
        vectors.append(head.vectors(stream.run(row), row)[0].copy())
    return np.array(vectors, np.float32)
