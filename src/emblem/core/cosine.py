"""How alike vectors are."""

from typing import Any

import numpy as np
import numpy.typing as npt

from emblem.errors import InvalidRequest
from emblem.types import Vectors


def cosines(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Vectors:
    """Give the cosine of every vector of ``one`` (n, d) with every one of ``other`` (m, d): (n, m).

    Between -1 and 1, float32. Raises InvalidRequest where the widths differ, and for a vector that
    is all zeros or has a number that is not finite: it has no direction.
    """
    if one.shape[1] != other.shape[1]:
        raise InvalidRequest(
            f"vectors of {one.shape[1]} and of {other.shape[1]} numbers cannot be compared"
        )
    products: Vectors = (_unit(one) @ _unit(other).T).astype(np.float32)
    return np.clip(products, -1.0, 1.0)


def paired(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Give the cosine of each vector (n, d) with the one in the same place: (n,) float64.

    It is 0 where one of the two has no direction: all zeros, or a number that is not finite.
    """
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        products: npt.NDArray[np.float64] = np.einsum("nd,nd->n", a, b)
    known = np.isfinite(norms) & (norms > 0)
    found: npt.NDArray[np.float64] = np.zeros_like(norms)
    np.divide(products, norms, out=found, where=known)
    return found


def _unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    norms = np.sqrt(np.einsum("nd,nd->n", exact, exact))
    wrong = ~(np.isfinite(norms) & (norms > 0))
    if wrong.any():
        raise InvalidRequest(
            f"vector {int(np.argmax(wrong))} has no direction: it is all zeros, or has a number "
            "that is not finite"
        )
    directions: npt.NDArray[np.float64] = exact / norms[:, None]
    return directions
