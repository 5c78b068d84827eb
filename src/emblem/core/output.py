"""What an answer's vectors may be changed to: fewer dimensions, other number formats."""

import numpy as np
import numpy.typing as npt

from emblem.types import OutputType, Vectors

Components = npt.NDArray[np.float32] | npt.NDArray[np.int8] | npt.NDArray[np.uint8]


def shortened(vectors: Vectors, dimensions: int, *, normalised: bool) -> Vectors:
    """Keep the first ``dimensions`` numbers of each vector, of unit norm again if they were.

    What OpenAI does for text-embedding-3. A model that was not trained for it (Matryoshka) loses
    quality.
    """
    if dimensions == vectors.shape[1]:
        return vectors
    short = vectors[:, :dimensions].astype(np.float64)
    if normalised:
        norms = np.sqrt(np.einsum("nd,nd->n", short, short))[:, None]
        short = np.divide(short, norms, out=np.zeros_like(short), where=norms > 0)
    return np.ascontiguousarray(short, dtype=np.float32)


def cast(vectors: Vectors, output: OutputType) -> Components:
    """Write unit vectors (n, d) in another number format.

    ``int8`` is round(127·x) and ``uint8`` the same plus 128: a fixed scale, so that any two vectors
    are comparable. ``ubinary`` packs the signs (x > 0), eight to a byte, first number in the
    highest bit: (n, d / 8); ``binary`` is the same less 128, as int8. These are the conventions of
    sentence-transformers' ``quantize_embeddings``.
    """
    match output:
        case OutputType.FLOAT:
            return vectors
        case OutputType.INT8:
            return _scaled(vectors).astype(np.int8)
        case OutputType.UINT8:
            return (_scaled(vectors) + 128).astype(np.uint8)
        case OutputType.UBINARY:
            return np.packbits(vectors > 0, axis=1)
        case OutputType.BINARY:
            return (np.packbits(vectors > 0, axis=1).astype(np.int16) - 128).astype(np.int8)


def _scaled(vectors: Vectors) -> npt.NDArray[np.int16]:
    scaled: npt.NDArray[np.float32] = np.clip(np.rint(vectors * np.float32(127)), -127, 127)
    return scaled.astype(np.int16)
