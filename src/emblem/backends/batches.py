"""Which sequences of a row are run together by a backend that pads. Decides only."""

import numpy as np
import numpy.typing as npt

# A group holds at most so many places for padding to each that holds a token.
MOST_PADDING = 0.25


def batches(
    lengths: npt.NDArray[np.int32], skip: npt.NDArray[np.int32], *, pad: bool
) -> list[npt.NDArray[np.intp]]:
    """Group the sequences of a row, each group by the indices of its sequences, longest first.

    ``lengths`` and ``skip`` are (n,). All sequences of a group have the same ``skip``; without
    ``pad`` they have the same length too, with it they are padded to that of their longest, by
    MOST_PADDING at most.
    """
    groups: list[list[int]] = []
    longest = tokens = 0
    for index in np.lexsort((-lengths, skip)).tolist():
        length = int(lengths[index])
        fits = groups and skip[groups[-1][0]] == skip[index] and (pad or length == longest)
        places = longest * (len(groups[-1]) + 1) if groups else 0
        if fits and places <= (1 + MOST_PADDING) * (tokens + length):
            groups[-1].append(index)
            tokens += length
        else:
            groups.append([index])
            longest = tokens = length
    return [np.array(group, dtype=np.intp) for group in groups]
