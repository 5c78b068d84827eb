"""The prompts that a model's makers recommend, where its own files say none."""

from pathlib import Path

from emblem.models import document
from emblem.models.row import Row
from emblem.offer import Prompts


def prompts(folder: Path, row: Row | None, own: Prompts) -> Prompts:
    """Give what to ask ``layout.read`` for: None for a kind leaves it to the folder's own files.

    What somebody decided (``own``) comes first, prompt by prompt; then whatever the folder names,
    and a folder that names any prompt is left to speak for itself; then the row.
    """
    if row is None or not row.prompts:
        return own
    named = document.read_if_there(folder / "config_sentence_transformers.json").inner("prompts")
    if named is not None and any(named.fields.values()):
        return own
    return Prompts(
        row.prompts.query if own.query is None else own.query,
        row.prompts.document if own.document is None else own.document,
    )
