"""A file in the making: under a name of its own, for its owner only."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def part_of(file: Path) -> Iterator[Path]:
    """Make an empty file beside the one that it is to become, and remove it in the end.

    Nobody else has its name, and only its owner may read it (0600). Raises OSError.
    """
    handle, name = tempfile.mkstemp(prefix=f"{file.name[:100]}.", suffix=".part", dir=file.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
