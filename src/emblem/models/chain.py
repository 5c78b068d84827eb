"""``modules.json``: what a sentence-transformers model is made of, and how wide each step leaves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from emblem.errors import ModelError
from emblem.models import dense, document, pooling
from emblem.models.document import Document

TRANSFORMER, STATIC, POOLING, NORMALIZE = "Transformer", "StaticEmbedding", "Pooling", "Normalize"
DENSE, DROPOUT = "Dense", "Dropout"

# What sentence-transformers may put between the encoder and the end, and Emblem does not compute.
_ON_TOKENS = ("WeightedLayerPooling", "CNN", "LSTM")
_ON_VECTORS = ("LayerNorm",)
WITH_WEIGHTS = (DENSE, *_ON_TOKENS, *_ON_VECTORS)


@dataclass(frozen=True, slots=True)
class Module:
    """A step of a model: its class, without the package, and the folder with its files."""

    kind: str
    folder: Path

    @property
    def config(self) -> Path:
        """The file that describes it."""
        return self.folder / "config.json"


@dataclass(frozen=True, slots=True)
class Chain:
    """The modules in their order. ``file`` is the modules.json that lists them."""

    file: Path
    modules: tuple[Module, ...]

    @property
    def kinds(self) -> list[str]:
        """The classes of the modules, less those that only training uses."""
        return [module.kind for module in self.modules if module.kind != DROPOUT]

    @property
    def normalises(self) -> bool:
        """Whether the vectors are made unit at the end."""
        return self.kinds[-1:] == [NORMALIZE]

    def of(self, kind: str) -> list[Module]:
        """Give the modules of a class."""
        return [module for module in self.modules if module.kind == kind]

    def error(self, wanted: str) -> ModelError:
        """Say that the modules are others than what is wanted."""
        names = ", ".join(module.kind for module in self.modules) or "none"
        return ModelError(f"{self.file}: type: the modules are {names}; {wanted}")


def read(folder: Path) -> Chain:
    """Read ``modules.json``. Raises ModelError for code of its own, and for a path that leads out."""
    file = folder / "modules.json"
    steps = document.read_list(file)
    return Chain(file, tuple(Module(_kind(step), _inside(folder, step)) for step in steps))


def beyond(chain: Chain) -> str:
    """Say why a model's modules are not computed here; "" where they are.

    A static table, or an encoder and its pooling, may be followed by dense layers and, at the end,
    by Normalize.
    """
    kinds = chain.kinds
    start = 1 if kinds[:1] == [STATIC] else 2
    tail = kinds[start:]
    layers = tail[:-1] if tail[-1:] == [NORMALIZE] else tail
    usual = kinds[:start] in ([STATIC], [TRANSFORMER, POOLING])
    if not usual or any(kind != DENSE for kind in layers):
        wanted = (
            "Transformer and Pooling, or StaticEmbedding, then perhaps Dense layers and then perhaps "
            "Normalize are computed here"
        )
        others = "; for others: pip install 'emblem[torch]'" if kinds[:1] == [TRANSFORMER] else ""
        return str(chain.error(wanted + others))
    for module in chain.of(DENSE):
        if why := dense.beyond(document.read(module.config)):
            return why
    return ""


def known_to_library(chain: Chain) -> None:
    """Refuse modules of which there is no saying what sentence-transformers would give."""
    between = (POOLING, DENSE, DROPOUT, NORMALIZE, *_ON_TOKENS, *_ON_VECTORS)
    kinds = [module.kind for module in chain.modules]
    if kinds[:1] != [TRANSFORMER] or any(kind not in between for kind in kinds[1:]):
        raise chain.error(
            f"{TRANSFORMER}, then {', '.join(between[:-1])} and {between[-1]} are understood"
        )
    if kinds.count(POOLING) != 1:
        raise chain.error("one Pooling is understood")
    tokens = kinds[1 : kinds.index(POOLING)]
    vectors = kinds[kinds.index(POOLING) + 1 :]
    if any(kind not in (*_ON_TOKENS, DROPOUT) for kind in tokens) or any(
        kind in _ON_TOKENS for kind in vectors
    ):
        raise chain.error("no module for tokens behind the Pooling, and no other before it")


def width(modules: Sequence[Module], hidden: int) -> int:
    """Give the numbers in a vector after these modules, behind an encoder that gives ``hidden``.

    They are those of ``known_to_library``. Raises ModelError where one takes another number than it
    is given.
    """
    for module in modules:
        if module.kind == POOLING:
            hidden *= len(pooling.read(document.read(module.config), hidden).modes)
        elif module.kind == DENSE:
            hidden = dense.widths(document.read(module.config), hidden)[1]
        elif module.kind == "CNN":
            config = document.read(module.config)
            hidden = config.positive("out_channels") * len(config.need("kernel_sizes", list))
        elif module.kind == "LSTM":
            config = document.read(module.config)
            both = config.get("bidirectional", bool) is not False
            hidden = config.positive("hidden_dim") * (2 if both else 1)
    return hidden


def check_normalize(chain: Chain) -> None:
    """Refuse a Normalize that makes something else unit than the vectors."""
    for module in chain.of(NORMALIZE):
        config = document.read_if_there(module.config)
        config.only("module_input_name", "sentence_embedding")
        config.only("module_output_name", "sentence_embedding")
        config.no_more()


def _kind(step: Document) -> str:
    """Give the class of a module; the package it is in differs between versions."""
    kind: str = step.need("type", str)
    step.get("idx", int)
    step.get("name", str)
    step.get("path", str)
    step.only("kwargs", {}, [])
    step.no_more()
    package, _, name = kind.rpartition(".")
    if package.partition(".")[0] != "sentence_transformers":
        raise step.error("type", f"{kind} is code of its own, which Emblem never runs")
    return name


def _inside(folder: Path, step: Document) -> Path:
    path = folder / (step.get("path", str) or "")
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        path.exists()  # raises for a name that is too long
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise step.error("path", f"cannot be a path: {why}") from None
    if not inside:
        raise step.error("path", "leads out of the model's folder")
    return path
