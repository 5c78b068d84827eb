"""Opens a folder of modules with sentence-transformers, and makes sure that it is the whole model.

That library and transformers go on, with a line in a log, where a weight is missing (it is made
up at random) or an activation is not known to them (it becomes another one). Here each of these is
a ModelError.
"""

import inspect
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from tokenizers import AddedToken

from emblem.core.tokenize import TextTokenizer, cut
from emblem.errors import ConfigError, ModelError
from emblem.model import Modules
from emblem.offer import Prompts
from emblem.types import Kind, Overflow

_LOADING = threading.Lock()

_UNLIMITED = 10**15  # transformers writes 1e30 where it knows of no limit

_PROBES = (
    "a",
    "The quick brown fox jumps over the lazy dog, and then it sleeps.",
    " Two  spaces, ÉCOLE naïve café № ½ ﬁ ①; 1234567.89 don't e-mail@example.com ",
    "tabs\tand\r\nnew\n\nlines\u00a0\u200b中文字 모델 عربي हिन्दी 😀👩‍💻",
    "[SEP] </s> <s> <|endoftext|> [CLS] <eos> <pad> [MASK] <unk>",
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the need for working memory is guessed from. ``heads`` is 0 where none holds scores."""

    hidden: int
    intermediate: int
    heads: int

    def row_bytes(self, tokens: int) -> int:
        """Predict the bytes of working memory for one sequence of that many tokens, or for more.

        Compared with the growth of peak RSS (``VmHWM`` around one run, in a process of its own,
        after a run of two tokens): 1.1…1.3 times that at Qwen3's sizes, for one sequence of 512 and
        of 1,024 tokens; with the scores of MPNet's 12 heads, 1.05 times that for one of 500.
        """
        scores = 24 * self.heads * tokens if self.heads else 4 * tokens
        return tokens * (64 * self.hidden + 16 * self.intermediate + scores)


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What the library wants beside the ids and the mask, and sequences to try it with.

    ``type_ids``: zeros; ``prompt_length``: the tokens that the pooling leaves out; ``padding``: the
    id that padding has; ``vocabulary``: rows of the table of embeddings.
    """

    type_ids: bool
    prompt_length: bool
    padding: int
    vocabulary: int
    probes: tuple[npt.NDArray[np.int32], ...]


def place(name: str) -> torch.device:
    """Give the device of that name, ``auto`` being the first GPU where there is one.

    Raises ConfigError for one that is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(
            f'device = "{name}": {_line(error)}; auto, cpu, cuda, cuda:1 or mps are expected, and '
            f"torch sees {torch.cuda.device_count()} CUDA devices here"
        ) from None
    return device


def load(modules: Modules, device: torch.device) -> SentenceTransformer:
    """Load a folder in float32, without its code and without the network, or raise ModelError."""
    with _LOADING, _quiet(), _reports() as reports:
        try:
            library = SentenceTransformer(
                str(modules.folder),
                device=str(device),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"dtype": torch.float32},
            )
        except Exception as error:  # noqa: BLE001 - what the library raises for a folder it cannot read
            raise ModelError(
                f"{modules.folder}: sentence-transformers cannot load it: {_line(error)}"
            ) from None
    _check_weights(modules.folder, reports)
    _check_modules(modules.folder, library)
    library.eval()
    return library


def inputs_of(
    library: SentenceTransformer, modules: Modules, tokenizer: TextTokenizer, prompts: Prompts
) -> Inputs:
    """Find out what the library makes of a text, or raise ModelError where we make another thing."""
    folder = modules.folder
    excludes = any(getattr(module, "include_prompt", True) is False for module in library)
    features = library.preprocess([_PROBES[0]])
    known = {"input_ids", "attention_mask", "token_type_ids", "modality"}
    if other := sorted(set(features) - known):
        raise ModelError(f"{folder}: reads {', '.join(other)} beside token ids, which Emblem lacks")
    if features.get("modality", "text") != "text":
        raise ModelError(f"{folder}: puts a text into a chat's messages, which Emblem does not")
    _check_length(library, tokenizer, modules)
    _check_added(library, tokenizer, folder / "tokenizer.json")
    for prompt in ("", *{prompts.of(kind): None for kind in Kind}):
        _compare(library, tokenizer, prompt, folder, excludes=excludes)
    table = library.transformers_model.get_input_embeddings()
    rows = int(table.weight.shape[0])
    if tokenizer.vocabulary > rows:
        raise ModelError(
            f"{folder / 'tokenizer.json'}: has ids up to {tokenizer.vocabulary - 1}, and the "
            f"model's table has {rows} rows"
        )
    padding = getattr(library.tokenizer, "pad_token_id", None)
    return Inputs(
        type_ids="token_type_ids" in features,
        prompt_length=excludes,
        padding=padding if isinstance(padding, int) and 0 <= padding < rows else 0,
        vocabulary=rows,
        probes=tuple(_window(tokenizer, text, "")[0] for text in _PROBES[:3]),
    )


def numbers(library: SentenceTransformer, modules: Modules) -> Numbers:
    """Give the sizes of the network, as its configuration calls them in most models."""
    config = library.transformers_model.config
    inner = getattr(config, "text_config", config)
    intermediate = _first(inner, "intermediate_size", "hidden_dim", "d_ff", "ffn_dim")
    # Written one by one in attention of the simplest kind, and held nowhere in the others.
    eager = getattr(config, "_attn_implementation", "") == "eager"
    heads = _first(inner, "num_attention_heads", "n_heads", "num_heads") if eager else 0
    return Numbers(modules.hidden, intermediate or 4 * modules.hidden, heads)


def _first(config: Any, *names: str) -> int:
    found = (getattr(config, name, None) for name in names)
    return next((value for value in found if isinstance(value, int)), 0)


def _check_length(library: SentenceTransformer, tokenizer: TextTokenizer, modules: Modules) -> None:
    """Raise ModelError where the library cuts a long text elsewhere than we do.

    We may cut before it where the network itself reads no more.
    """
    ours, theirs = tokenizer.frame.max_length, library.max_seq_length
    unlimited = theirs is None or theirs > _UNLIMITED
    if (ours is None and not unlimited) or (ours and ours != theirs and ours != modules.longest):
        raise ModelError(
            f"{modules.folder}: Emblem would read {ours or 'any number of'} tokens at once, and "
            f"sentence-transformers reads {theirs}"
        )


def _check_added(library: SentenceTransformer, tokenizer: TextTokenizer, file: Path) -> None:
    """Raise ModelError where the library cuts other tokens out of a text than our tokenizer does."""
    theirs = _matched(library.tokenizer.added_tokens_decoder)
    ours = _matched(tokenizer.added)
    for number in sorted(theirs.keys() | ours.keys()):
        if ours.get(number) != theirs.get(number):
            raise ModelError(
                f"{file}: added_tokens: the id {number} is {_said(ours.get(number))} there, and "
                f"transformers makes {_said(theirs.get(number))} of it"
            )


def _matched(added: Mapping[int, AddedToken]) -> dict[int, dict[str, Any]]:
    """Give each token with all that decides where in a text it is found."""
    flags = ("content", "lstrip", "rstrip", "single_word", "normalized")
    return {number: {flag: getattr(one, flag) for flag in flags} for number, one in added.items()}


def _said(token: dict[str, Any] | None) -> str:
    return "no added token" if token is None else json.dumps(token, ensure_ascii=False)


def _compare(
    library: SentenceTransformer,
    tokenizer: TextTokenizer,
    prompt: str,
    folder: Path,
    *,
    excludes: bool,
) -> None:
    """Raise ModelError where the library reads one of the probes otherwise than our tokenizer."""
    for text in _PROBES:
        ours, skip = _window(tokenizer, text, prompt)
        features = library.preprocess([text], prompt=prompt or None)
        theirs = features["input_ids"][0].tolist()
        if ours.tolist() != theirs:
            raise ModelError(
                f"{folder / 'tokenizer.json'}: gives {prompt + text!r} other token ids than "
                f"sentence-transformers: {_first_difference(ours.tolist(), theirs)}"
            )
        left_out = features.get("prompt_length") or 0
        if excludes and left_out != skip:
            raise ModelError(
                f"{folder}: sentence-transformers leaves the first {left_out} tokens of "
                f"{prompt + text!r} out of the pooling, and Emblem {skip}"
            )


def _window(tokenizer: TextTokenizer, text: str, prompt: str) -> tuple[npt.NDArray[np.int32], int]:
    """Give a text as the backend will get it, cut as sentence-transformers cuts; and its skip."""
    (read,) = tokenizer.read([text], prompt)
    (window,) = cut(read, tokenizer.frame, Overflow.TRUNCATE)
    return window.ids, window.skip


def _first_difference(ours: list[int], theirs: list[int]) -> str:
    pairs = enumerate(zip(ours, theirs, strict=False))
    place = next((n for n, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
    return (
        f"from place {place}, {ours[place : place + 5]} and not {theirs[place : place + 5]} "
        f"({len(ours)} and {len(theirs)} ids)"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep bars and tables out of the log; what the tables say is looked at here."""
    own = transformers.utils.logging
    own.disable_progress_bar()
    before = own.get_verbosity()
    own.set_verbosity_error()
    try:
        yield
    finally:
        own.set_verbosity(before)


@contextmanager
def _reports() -> Iterator[list[dict[str, Any]]]:
    """Collect what transformers says of the weights that it loads meanwhile.

    It says so to a caller of ``from_pretrained`` who asks, and sentence-transformers does not.
    """
    found: list[dict[str, Any]] = []
    original = transformers.PreTrainedModel.from_pretrained.__func__

    def asking(kind: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs["output_loading_info"] = True
        model, report = original(kind, *args, **kwargs)
        found.append(report)
        return model

    transformers.PreTrainedModel.from_pretrained = classmethod(asking)
    try:
        yield found
    finally:
        transformers.PreTrainedModel.from_pretrained = classmethod(original)


def _check_weights(folder: Path, reports: list[dict[str, Any]]) -> None:
    """Refuse a model of which a part was made up. A pooler is one that no vector depends on."""
    if not reports:
        raise ModelError(f"{folder}: there is no telling whether all of its weights were loaded")
    for report in reports:
        lacking = sorted(name for name in report["missing_keys"] if "pooler" not in name.split("."))
        lacking += sorted(str(one[0]) for one in report["mismatched_keys"])
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            raise ModelError(
                f"{folder}: its weights lack {', '.join(lacking[:3])}{more}, which transformers "
                "would make up at random"
            )


def _check_modules(folder: Path, library: SentenceTransformer) -> None:
    """Refuse what the library did not take over from the folder, and what encode alone would do."""
    if library.truncate_dim is not None:
        raise ModelError(
            f"{folder / 'config_sentence_transformers.json'}: truncate_dim: is not understood; "
            "ask for dimensions in a request or an alias"
        )
    if wanted := library.get_model_kwargs():
        raise ModelError(f"{folder / 'modules.json'}: kwargs: {', '.join(wanted)}: not understood")
    if library.transformers_model is None:
        raise ModelError(f"{folder / 'modules.json'}: has no Transformer")
    for step in json.loads((folder / "modules.json").read_text(encoding="utf-8")):
        if step["type"].rpartition(".")[2] == "Dense":
            _check_dense(folder / step["path"] / "config.json")


def _check_dense(file: Path) -> None:
    """Refuse a layer of which the library would leave something out, or take another activation."""
    config = json.loads(file.read_text(encoding="utf-8"))
    understood = inspect.signature(Dense).parameters
    if unknown := sorted(name for name in config if name not in understood):
        raise ModelError(f"{file}: {', '.join(unknown)}: not understood by sentence-transformers")
    activation = config.get("activation_function", "torch.")
    if not str(activation).startswith("torch.nn."):
        raise ModelError(f"{file}: activation_function: {activation!r} is none of torch.nn")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
