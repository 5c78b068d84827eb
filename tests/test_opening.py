"""What is opened is closed again where it comes to nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emblem import opening
from emblem.backends.fake import FakeBackend
from emblem.config import Settings
from emblem.errors import ModelError
from emblem.model import Loss, Quantised
from tiny_engine import WIDTH, model

MADE = Quantised(Path("eight.json"), 32, (), "other", Loss(1.0, 1.0, 1.0, 3), "0.1")


def _raise(*_: object) -> None:
    raise ModelError("it cannot be done")


@pytest.mark.parametrize(
    ("width", "canaries", "alone"),
    [
        (WIDTH + 1, None, None),  # the engine refuses it
        (WIDTH, _raise, None),
        (WIDTH, lambda *_: (["a"], np.eye(1, WIDTH)), _raise),
        (WIDTH, lambda *_: (["a"], np.eye(1, WIDTH)), lambda *_: -np.eye(1, WIDTH)),
    ],
)
def test_a_backend_is_closed_where_its_model_cannot_be_opened(
    width: int,
    canaries: Callable[..., object] | None,
    alone: Callable[..., object] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = FakeBackend(width)
    monkeypatch.setattr(opening, "open_tokenizer", lambda *_: None)
    monkeypatch.setattr(opening, "_backend", lambda *_: backend)
    monkeypatch.setattr(opening.quantised, "canaries", canaries)
    monkeypatch.setattr(opening, "embed_alone", alone)
    with pytest.raises(ModelError):
        opening.open_engine(replace(model(), quantised=MADE if canaries else None), Settings())
    assert backend.closed
