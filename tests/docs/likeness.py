"""Whether what was printed is what a page says."""

from typing import Any

# Numbers of vectors may differ in the last digits from machine to machine.
TOLERANCE = 2e-3
# What is different each time: only its kind is compared.
CHANGING = {"created"}


def difference(said: Any, seen: Any, where: str = "$") -> str:
    """Say where two JSON values differ, "" where they don't."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        if type(said) is not type(seen):
            return f"{where}: {said!r} is documented, {seen!r} was seen"
    elif not isinstance(seen, int | float) or isinstance(seen, bool):
        return f"{where}: {said!r} is documented, {seen!r} was seen"
    if isinstance(said, dict):
        if said.keys() != seen.keys():
            return f"{where}: {sorted(said)} is documented, {sorted(seen)} was seen"
        parts = (
            difference(said[key], seen[key], f"{where}.{key}")
            for key in said
            if key not in CHANGING
        )
        return next(filter(None, parts), "")
    if isinstance(said, list):
        if len(said) != len(seen):
            return f"{where}: {len(said)} items are documented, {len(seen)} were seen"
        pairs = enumerate(zip(said, seen, strict=True))
        return next(filter(None, (difference(a, b, f"{where}[{i}]") for i, (a, b) in pairs)), "")
    if isinstance(said, float):
        return "" if abs(said - seen) <= TOLERANCE else f"{where}: {said} is not {seen}"
    return "" if said == seen else f"{where}: {said!r} is documented, {seen!r} was seen"
