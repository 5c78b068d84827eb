"""What a command line of ``emblem verify`` asks for, and what comes of it, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emblem.cli.verify_explained import Band, Finding, Way
    from emblem.cli.verify_stored import Wanted
    from emblem.config import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """A command line. ``source`` is a file or a database, None where only servers are compared."""

    source: str | None
    model: str | None
    base_url: str | None
    against: str | None
    against_model: str | None
    table: str | None
    least: float
    wanted: Wanted
    way: Way
    settings: Settings


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen of ``compared`` rows out of ``rows``, None where nobody counted those.

    ``least`` is the lowest cosine, None where nothing could be compared; ``as_asked`` says how texts
    were embedded.
    """

    source: str
    model: str
    space: str
    as_asked: str
    ok: bool
    rows: int | None
    compared: int
    least: float | None
    bands: tuple[Band, ...]
    findings: tuple[Finding, ...]
    left_out: int
    problems: tuple[str, ...]
