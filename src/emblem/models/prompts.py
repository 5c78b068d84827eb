"""``config_sentence_transformers.json``: the prompts that a model puts before texts."""

from emblem.models.document import Document
from emblem.offer import Prompts

_DOCUMENT_NAMES = ("document", "passage", "corpus")


def read(config: Document, own: Prompts) -> Prompts:
    """Give the prompts of a model; those in ``own`` that are not None come first.

    Where there is no prompt for documents, the one for passages or for the corpus is taken, as
    sentence-transformers describes it. Empty prompts are none.
    """
    config.only("model_type", "SentenceTransformer")
    _check_default(config, own)
    named = config.inner("prompts")
    config.no_more("__version__", "similarity_fn_name")
    query = document = None
    if named is not None:
        query = named.get("query", str)
        document = next((text for name in _DOCUMENT_NAMES if (text := named.get(name, str))), None)
    query = query if own.query is None else own.query
    document = document if own.document is None else own.document
    return Prompts(query or None, document or None)


def _check_default(config: Document, own: Prompts) -> None:
    """Refuse a prompt that would apply to texts of no kind, unless somebody decided about it."""
    default = config.get("default_prompt_name", str)
    if default and (own.query is None or own.document is None):
        raise config.error(
            "default_prompt_name",
            f'is "{default}": a text that comes without input_type would get a prompt, and Emblem '
            "embeds such a text as it was sent; to serve the model so, set both of its prompts "
            "(query_prompt, document_prompt)",
        )
