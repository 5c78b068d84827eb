"""Looking up what Emblem knows by name. The data are in ``rows.py``.

A row with pinned files has the SHA-256 and the size of each, so that the same bytes come from any
source; its small files (its layout) are written from this package, so that it is the same model
whichever source its weights came from. A row without is a hub repository at one commit. Another
model is another row.
"""

import difflib

from emblem.models.reference import Reference
from emblem.models.row import Asset, PinnedFile, Repository, Row, Score, Size, Wheel
from emblem.models.rows import CL100K, ROWS

__all__ = [
    "CL100K",
    "ROWS",
    "Asset",
    "PinnedFile",
    "Repository",
    "Row",
    "Score",
    "Size",
    "Wheel",
    "find",
    "named",
    "nearest",
    "of_weights",
]


def find(name: str) -> Row | None:
    """Give the row of a catalogue name, of a repository that a row pins, or of a short name."""
    return next((row for row in ROWS if name in row.names), None)


def named(reference: Reference) -> tuple[Row, str] | None:
    """Give the row that a reference means and the variant of it; None where it means none.

    A short name may have a colon of its own, as Ollama's have, and then it has no variant.
    """
    if reference.folder is not None:
        return None
    if reference.variant and (row := find(reference.tagged)) is not None:
        return row, ""
    row = find(reference.name)
    return None if row is None else (row, reference.variant)


def of_weights(digest: str) -> Row | None:
    """Give the row whose weights have this SHA-256."""
    return next((row for row in ROWS if row.weights == digest), None)


def nearest(name: str) -> str | None:
    """Give the catalogue name that was probably meant by a name that is not in it.

    A short name that was nearly written leads to it too; upper and lower case are one.
    """
    names = {known.lower(): row.name for row in ROWS for known in row.names}
    wanted = name.lower()
    inside = [known for known in names if len(wanted) > 1 and wanted in known]
    close = inside or difflib.get_close_matches(wanted, names, n=1, cutoff=0.66)
    return names[close[0]] if close else None
