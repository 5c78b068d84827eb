"""What a reference stands for: a row of the catalogue, a repository of the hub, or a folder.

Whether it is on this machine is the library's to say.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from emblem.errors import ModelError
from emblem.models import catalog
from emblem.models.catalog import Row
from emblem.models.reference import INT8, Reference, parse

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_MADE_HERE = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Named:
    """What a reference stands for, before anything is looked for on the disk.

    ``name`` is what it is served under. ``row`` is the catalogue's, None where it has none for the
    revision that is meant. ``folder`` is a local one; else ``base`` is the name of a row or of a
    repository.
    """

    name: str
    base: str
    row: Row | None = None
    variant: str = ""
    revision: str | None = None
    folder: Path | None = None


def identify(reference: str, revision: str | None = None, variant: str = "") -> Named:
    """Say what a reference stands for. Raises ModelError where it can be nothing.

    A name of the catalogue comes before a folder that is called alike.
    """
    if reference == catalog.CL100K.name:
        raise ModelError(
            f"{reference} is no model: it is the vocabulary that OpenAI's token ids are read with, "
            "and a server fetches it by itself"
        )
    row = catalog.find(reference)
    parsed = Reference(row.name) if row is not None else parse(reference)
    parsed = replace(
        parsed,
        revision=_one("revision", reference, parsed.revision or "", revision or "") or None,
        variant=_one("variant", reference, parsed.variant, variant),
    )
    if parsed.folder is not None:
        if parsed.revision:
            raise ModelError(f"{reference} is a folder, which has no revision {parsed.revision}")
        name = with_variant(parsed.folder.resolve().name, parsed.variant)
        return Named(name, "", None, parsed.variant, None, parsed.folder)
    found = catalog.named(parsed)
    if found is not None and _is_of(found[0], parsed):
        return Named(with_variant(found[0].name, found[1]), found[0].name, found[0], found[1])
    if parsed.variant == INT8 and parsed.revision is None and is_own_name(parsed.name):
        return Named(parsed.tagged, parsed.name, None, INT8)
    if not _HUB_ID.fullmatch(parsed.name) or ".." in parsed.name or "--" in parsed.name:
        raise ModelError(_unknown(reference))
    return Named(parsed.tagged, parsed.name, None, parsed.variant, parsed.revision)


def is_own_name(name: str) -> bool:
    """Tell whether ``emblem quantize`` may call a model so that no catalogue and no hub has."""
    return bool(_MADE_HERE.fullmatch(name)) and ".." not in name and "--" not in name


def name_of(reference: str, variant: str = "") -> str:
    """Give the name that a reference is served under.

    The names of a catalogue model give the catalogue's, a repository keeps its own, a folder gives
    its last part; a variant is written behind it. A revision is not. Raises ModelError where it can
    be nothing.
    """
    return identify(reference, None, variant).name


def _one(what: str, reference: str, written: str, given: str) -> str:
    if written and given and written != given:
        raise ModelError(f"{reference} names the {what} {written}, and {given} is asked for too")
    return written or given


def with_variant(name: str, variant: str) -> str:
    """Write a name with its variant behind it, if it has one."""
    return f"{name}:{variant}" if variant else name


def _is_of(row: Row, reference: Reference) -> bool:
    """Tell whether a row is meant: by a name of it, or by its repository at the pinned commit."""
    hub = row.asset.hub
    if reference.revision in (None, hub.revision if hub else None):
        return True
    if hub is not None and reference.name == hub.id:
        return False
    if hub is None:
        raise ModelError(f"{row.name} has one revision only, and none called {reference.revision}")
    raise ModelError(
        f"{row.name}: the catalogue pins its revision {hub.revision}; for another one write "
        f"{hub.id}@{reference.revision}"
    )


def _unknown(reference: str) -> str:
    close = catalog.nearest(reference)
    named = reference if reference.strip() and reference.isprintable() else repr(reference)
    meant = f"; did you mean {close}?" if close else ""
    return (
        f"{named} is no model that Emblem knows{meant} (emblem list --all shows those it knows; a "
        "model of the hub is written org/name, and a folder ./name)"
    )
