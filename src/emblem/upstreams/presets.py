"""What is known of providers of embeddings: rows of data, each with the sources of what it says.

A row says how to ask so that the answer is the whole truth: which form of vectors is cheapest, which
field refuses a text that is too long instead of cutting it, which says what a text is for. What no
source says is not set. ``run`` is true where Emblem's own tests run against that very server; every
other row is written from documentation alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from emblem.errors import ConfigError
from emblem.types import Kind

Fields = Mapping[str, Any]

NOTHING: Fields = {}
BASE64, FLOAT = "base64", "float"

# So many texts go into one request where a provider names no cap of its own.
DEFAULT_INPUTS = 256


@dataclass(frozen=True, slots=True)
class Known:
    """A model of a provider that is known.

    ``width`` is how many numbers it gives when none are asked for, ``length`` how many tokens it
    reads at once, None where that is not known. ``tokenizer`` is ``cl100k`` or "". ``normalised``
    tells that its vectors are known to have norm 1, ``shortening`` that its maker shortens a vector
    to its first numbers, made of norm 1 again.
    """

    name: str
    width: int
    length: int | None
    tokenizer: str = ""
    normalised: bool = True
    shortening: bool = False


@dataclass(frozen=True, slots=True)
class Preset:
    """How to speak to a provider.

    ``base_url`` is "" where everybody has one of their own. ``key_variable`` is the usual name of
    the environment variable with its key, "" where there is none. ``dialect`` is ``openai``,
    ``emblem`` (the same with Emblem's own fields) or ``cohere``. ``dimensions_field`` is what its
    field for shorter vectors is called, None where it has none. ``encodings`` are the forms of
    vectors that it gives, cheapest first; ``says_float`` is false where plain numbers are had only by
    leaving ``encoding_field`` out. ``kinds`` are the fields that say what a text is for, and
    ``needs_kind`` that it must be said. ``refuses_long`` are the fields that make it refuse a text
    that is too long, empty where it does by itself, None where it cuts and says nothing.

    ``path`` follows the base URL, with ``{model}`` for the model's name; ``query`` follows that.
    The key is sent in ``key_header``: in ``authorization`` as a bearer token, in any other alone.
    ``extra`` is sent with every request.
    """

    name: str
    base_url: str = ""
    key_variable: str = ""
    dialect: str = "openai"
    dimensions_field: str | None = "dimensions"
    encodings: tuple[str, ...] = (BASE64, FLOAT)
    max_inputs: int = DEFAULT_INPUTS
    max_request_tokens: int | None = None
    max_request_bytes: int | None = None
    kinds: Mapping[Kind, Fields] = field(default_factory=dict)
    refuses_long: Fields | None = None
    models: tuple[Known, ...] = ()
    run: bool = False
    needs_kind: bool = False
    encoding_field: str = "encoding_format"
    says_float: bool = True
    path: str = "/embeddings"
    query: str = ""
    key_header: str = "authorization"
    extra: Fields = field(default_factory=dict)

    def known(self, model: str) -> Known | None:
        """Give what is known of a model, by the provider's own name for it."""
        return next((one for one in self.models if one.name == model), None)


def preset(name: str) -> Preset:
    """Give the row of a provider. Raises ConfigError with the names that are near."""
    found = next((one for one in PRESETS if one.name == name), None)
    if found is not None:
        return found
    names = [one.name for one in PRESETS]
    near = get_close_matches(name, names, n=3) or names
    raise ConfigError(f"there is no preset {name!r}; did you mean {' or '.join(near)}?")


def _kinds(name: str, query: str, document: str) -> Mapping[Kind, Fields]:
    return {Kind.QUERY: {name: query}, Kind.DOCUMENT: {name: document}}


# OpenAI's openapi.yaml (openai/openai-openapi, CreateEmbeddingRequest): at most 2,048 inputs, 8,192
# tokens each for every embedding model, 300,000 in all; a longer one is refused. ``dimensions`` for
# text-embedding-3 gives the first numbers, of norm 1 again (platform.openai.com/docs/guides/
# embeddings). The tokenizer is tiktoken's map from models to encodings.
_OPENAI_MODELS = (
    Known("text-embedding-3-small", 1536, 8192, "cl100k", shortening=True),
    Known("text-embedding-3-large", 3072, 8192, "cl100k", shortening=True),
    Known("text-embedding-ada-002", 1536, 8192, "cl100k"),
)
_OPENAI_TOKENS = 300_000

# docs.voyageai.com/reference/embeddings-api: at most 1,000 texts; at most 120,000 tokens in all for
# the models with the lowest cap; ``truncation`` is true unless it is switched off; vectors have norm
# 1 (docs.voyageai.com/docs/faq). ``encoding_format`` is null or "base64", and never "float".
_VOYAGE_MODELS = tuple(
    Known(name, 1024, length)
    for name, length in (
        ("voyage-3-large", 32_000),
        ("voyage-3.5", 32_000),
        ("voyage-3.5-lite", 32_000),
        ("voyage-code-3", 32_000),
        ("voyage-finance-2", 32_000),
        ("voyage-law-2", 16_000),
    )
)

# docs.cohere.com/reference/embed: at most 96 texts, input_type is required, truncate is END unless
# something else is asked for. Whether vectors have norm 1 is not documented.
_COHERE_MODELS = (
    Known("embed-v4.0", 1536, 128_000, normalised=False),
    Known("embed-english-v3.0", 1024, 512, normalised=False),
    Known("embed-multilingual-v3.0", 1024, 512, normalised=False),
    Known("embed-english-light-v3.0", 384, 512, normalised=False),
    Known("embed-multilingual-light-v3.0", 384, 512, normalised=False),
)

PRESETS: tuple[Preset, ...] = (
    Preset("openai-compatible", run=True),
    Preset(
        "emblem",
        dialect="emblem",
        base_url="http://127.0.0.1:8080/v1",
        max_inputs=100,  # so many long texts are named by its header
        kinds=_kinds("input_type", "query", "document"),
        refuses_long=NOTHING,
        run=True,
    ),
    Preset(
        "openai",
        base_url="https://api.openai.com/v1",
        key_variable="OPENAI_API_KEY",
        max_inputs=2048,
        max_request_tokens=_OPENAI_TOKENS,
        refuses_long=NOTHING,
        models=_OPENAI_MODELS,
    ),
    # learn.microsoft.com, "Azure OpenAI in Azure AI Foundry Models v1 API": the base URL is
    # https://RESOURCE.openai.azure.com/openai/v1, the model is the deployment's name, and the key
    # goes into a header of its own. Caps and models are OpenAI's.
    Preset(
        "azure",
        key_variable="AZURE_OPENAI_API_KEY",
        key_header="api-key",
        max_inputs=2048,
        max_request_tokens=_OPENAI_TOKENS,
        refuses_long=NOTHING,
        models=_OPENAI_MODELS,
    ),
    # learn.microsoft.com, "Azure OpenAI REST API reference", version 2024-10-21: the older form,
    # whose base URL is https://RESOURCE.openai.azure.com/openai.
    Preset(
        "azure-deployments",
        key_variable="AZURE_OPENAI_API_KEY",
        key_header="api-key",
        path="/deployments/{model}/embeddings",
        query="api-version=2024-10-21",
        max_inputs=2048,
        max_request_tokens=_OPENAI_TOKENS,
        refuses_long=NOTHING,
        models=_OPENAI_MODELS,
    ),
    # docs.ollama.com/api/embed: ``truncate`` is true unless it is switched off, and the compatible
    # endpoint has no such field.
    Preset("ollama", base_url="http://127.0.0.1:11434/v1"),
    # vllm-project/vllm, entrypoints/pooling/embed/protocol.py: float and base64; a text is cut only
    # where ``truncate_prompt_tokens`` asks for it, else it is refused.
    Preset(
        "vllm",
        base_url="http://127.0.0.1:8000/v1",
        key_variable="VLLM_API_KEY",
        refuses_long=NOTHING,
    ),
    # huggingface/text-embeddings-inference, docs/source/en/cli_arguments.md: at most 32 texts unless
    # the server is started otherwise. Its compatible endpoint cuts where --auto-truncate is on.
    Preset("tei", base_url="http://127.0.0.1:8080/v1", max_inputs=32),
    # ggml-org/llama.cpp, tools/server/README.md: base64 and float, norm 1, no field for dimensions;
    # an input that does not fit into the batch is refused.
    Preset(
        "llama.cpp",
        base_url="http://127.0.0.1:8080/v1",
        key_variable="LLAMA_API_KEY",
        dimensions_field=None,
        refuses_long=NOTHING,
    ),
    # What stands behind a LiteLLM proxy decides what becomes of long texts.
    Preset(
        "litellm",
        base_url="http://127.0.0.1:4000/v1",
        key_variable="LITELLM_API_KEY",
        run=True,
    ),
    # infinity-emb 0.0.78: fastapi_schemas/pymodels.py has both forms, transformer/embedder cuts.
    Preset("infinity", base_url="http://127.0.0.1:7997", run=True),
    Preset(
        "cohere",
        dialect="cohere",
        base_url="https://api.cohere.com/v2",
        key_variable="COHERE_API_KEY",
        path="/embed",
        dimensions_field="output_dimension",
        encoding_field="embedding_types",
        max_inputs=96,
        kinds=_kinds("input_type", "search_query", "search_document"),
        needs_kind=True,
        refuses_long={"truncate": "NONE"},
        models=_COHERE_MODELS,
    ),
    # docs.mistral.ai/api/endpoint/embeddings. 256 texts are the most that the service takes (found
    # by rig-core, providers/mistral/embedding.rs); what it does with long texts is not documented.
    Preset(
        "mistral",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        dimensions_field="output_dimension",
        max_inputs=256,
        models=(
            Known("mistral-embed", 1024, None, normalised=False),
            Known("codestral-embed", 1536, None, normalised=False),
        ),
    ),
    # api.jina.ai/openapi.json; jina.ai/news/jina-embeddings-v3.
    Preset(
        "jina",
        base_url="https://api.jina.ai/v1",
        key_variable="JINA_API_KEY",
        encoding_field="embedding_type",
        encodings=(FLOAT,),
        kinds=_kinds("task", "retrieval.query", "retrieval.passage"),
        refuses_long={"truncate": False},
        models=(Known("jina-embeddings-v3", 1024, 8192, normalised=False),),
    ),
    Preset(
        "voyage",
        base_url="https://api.voyageai.com/v1",
        key_variable="VOYAGE_API_KEY",
        dimensions_field="output_dimension",
        says_float=False,
        max_inputs=1000,
        max_request_tokens=120_000,
        kinds=_kinds("input_type", "query", "document"),
        refuses_long={"truncation": False},
        models=_VOYAGE_MODELS,
    ),
    # ai.google.dev/gemini-api/docs/openai and docs/embeddings: 3,072 numbers, 2,048 tokens; fewer
    # numbers are the first ones, whose norm is not made 1.
    Preset(
        "gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_variable="GEMINI_API_KEY",
        encodings=(FLOAT,),
        max_inputs=100,
        models=(Known("gemini-embedding-001", 3072, 2048, shortening=True),),
    ),
    # openrouter.ai/docs/api/api-reference/embeddings/create-embeddings: one name may be served by
    # several providers, and it may fall back from one to another unless that is switched off.
    Preset(
        "openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        kinds=_kinds("input_type", "search_query", "search_document"),
        extra={"provider": {"allow_fallbacks": False}},
    ),
)
