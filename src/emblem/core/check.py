"""What every result must be before anybody sees it."""

import numpy as np
import numpy.typing as npt

from emblem.errors import InvalidResult
from emblem.space import Space
from emblem.types import EmbedRequest, EmbedResult, Vectors

NORM_TOLERANCE = 1e-3


def refuse_wrong(request: EmbedRequest, result: EmbedResult, space: Space) -> None:
    """Raise InvalidResult for a result that cannot be right; see ``violation``."""
    if what := violation(request, result, space):
        single = of_one_text(what, result.vectors)
        raise InvalidResult(result.served_by, what, of_one_text=single)


def violation(request: EmbedRequest, result: EmbedResult, space: Space) -> str | None:
    """Say what is wrong with a result, or None where nothing is.

    As many vectors as texts, of the width that was asked for, every number finite, no zero vector,
    unit norm where the space has it, a token count for each text, and no overflow of another text.
    """
    vectors = result.vectors
    expected = (len(request.inputs), request.dimensions or space.width)
    if vectors.shape != expected:
        return f"{_shape(vectors.shape)} where {_shape(expected)} was asked for"
    if vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
        return f"numbers of type {vectors.dtype} where contiguous float32 was expected"
    fine = space.normalised and _surely_unit(vectors)
    what = None if fine else _wrong(_squared_norms(vectors), space)
    return what or _miscounted(result, expected[0])


def _wrong(squared: npt.NDArray[np.float64], space: Space) -> str | None:
    return _broken(squared) or (_off(squared) if space.normalised else None)


def _surely_unit(vectors: Vectors) -> bool:
    """Tell whether no norm is anywhere near to being off, as that of a broken vector is.

    Added up as float32, in a fifth of the time: what that may be wrong by is far less than the half
    of the tolerance that is kept, so that whatever is in doubt is left to be added up exactly.
    """
    if len(vectors) == 1:  # which is most of what is asked for, in a third of the time
        only = vectors[0]
        return abs(float(only.dot(only)) - 1.0) <= NORM_TOLERANCE / 2
    squared = np.einsum("nd,nd->n", vectors, vectors)
    # Number by number: of a few vectors it takes a fifth of the time that numpy needs.
    return all(abs(one - 1.0) <= NORM_TOLERANCE / 2 for one in squared.tolist())


def _off(squared: npt.NDArray[np.float64]) -> str | None:
    off = np.abs(np.sqrt(squared) - 1.0)
    worst = int(np.argmax(off)) if len(off) else 0
    if len(off) and off[worst] > NORM_TOLERANCE:
        return f"vector {worst} has norm {np.sqrt(squared[worst]):.4f}, not 1"
    return None


def of_one_text(what: str, vectors: Vectors) -> bool:
    """Tell whether a violation is one that a single text may cause: not finite numbers, or zeros."""
    return vectors.ndim == 2 and what == _broken(_squared_norms(vectors))


def _broken(squared: npt.NDArray[np.float64]) -> str | None:
    if not np.isfinite(squared).all():
        return f"a number that is not finite in vector {int(np.argmin(np.isfinite(squared)))}"
    if not squared.all():
        return f"a zero vector at {int(np.argmin(squared))}"
    return None


def _squared_norms(vectors: Vectors) -> npt.NDArray[np.float64]:
    """One dot product per row, (n,): it finds NaN, infinities and zeros at once."""
    with np.errstate(invalid="ignore"):  # some NaN is said to be one as it is made wider
        wide = vectors.astype(np.float64)
    squared: npt.NDArray[np.float64] = np.vecdot(wide, wide)
    return squared


def _miscounted(result: EmbedResult, texts: int) -> str | None:
    tokens = result.tokens
    if tokens.shape != (texts,) or tokens.dtype != np.int32:
        return f"{_shape(tokens.shape)} token counts of type {tokens.dtype} for {texts} texts"
    if min(tokens.tolist(), default=0) < 0:
        return f"a token count below zero at {int(np.argmin(tokens))}"
    uncut = result.uncut
    if uncut is not None and (
        uncut.shape != tokens.shape or uncut.dtype != np.int32 or (uncut < tokens).any()
    ):
        return "a text that is longer than it was before it was cut"
    if result.overflowed and not all(0 <= index < texts for index in result.overflowed):
        return f"an overflowing text that is not among the {texts}"
    return None


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape)
