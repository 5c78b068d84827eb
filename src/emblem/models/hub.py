"""The model hub, and its cache on this machine, through huggingface_hub.

HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and the proxy variables are read by that library.
Files are copied and never run; no pickle and no Python is fetched at all.
"""

import hashlib
import re
import shutil
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils.tqdm import tqdm

from emblem.errors import ModelError
from emblem.models import document
from emblem.models.catalog import Asset, PinnedFile, Repository
from emblem.models.progress import Progress, watching
from emblem.models.safetensors import file_digest
from emblem.models.sources import Unavailable

CONNECT_TIMEOUT_S = 8.0

# The files at a repository's root and in its module folders ("1_Pooling") that a model is made of.
_FOLDER = re.compile(r"\d+_\w+")
_TEXT_FILES = {"vocab.txt", "merges.txt"}
_SENTENCEPIECE = {".model", ".spm"}
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
# What a complete copy has; the optional ones must be known not to exist where they are not there.
_NEEDED = ("modules.json", "config.json", "tokenizer.json")
_OPTIONAL = (
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)
T = TypeVar("T")

constants.HF_HUB_DISABLE_TELEMETRY = True


class _Silent(tqdm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]


class Cache:
    """The hub's cache on this machine, as other programs have filled it."""

    name = "cache"
    network = False

    def bring(self, asset: Asset, into: Path, progress: Progress) -> str | None:
        """Copy what is there. Opens no connection."""
        if asset.hub is None:
            raise Unavailable("this is not kept there")
        with watching(into, progress, f"{asset.name} from the hub's cache", _size(asset)):
            if asset.files:
                return self._pinned(asset, asset.hub, into)
            return self._whole(asset.hub, into)

    def _pinned(self, asset: Asset, repository: Repository, into: Path) -> str | None:
        for file in asset.files:
            path = _cached(repository.id, file.in_hub, repository.revision) or _cached(
                repository.id, file.in_hub, None
            )
            if not isinstance(path, str):
                raise Unavailable(f"{file.in_hub} of {repository.id} is not in it")
            shutil.copyfile(path, into / file.name)
        return repository.revision

    def _whole(self, repository: Repository, into: Path) -> str:
        start = _cached(repository.id, "modules.json", repository.revision)
        if not isinstance(start, str):
            raise Unavailable(f"{repository.id} is not in it")
        snapshot = Path(start).parent
        commit = snapshot.name
        for name in _NEEDED:
            if not (snapshot / name).is_file():
                raise Unavailable(f"{name} of {repository.id} is not in it")
        for name in _OPTIONAL:
            if _cached(repository.id, name, commit) is None:
                raise Unavailable(f"{repository.id} is in it in part, without {name}")
        names = [path.relative_to(snapshot).as_posix() for path in snapshot.rglob("*")]
        chosen = [name for name in _chosen(names) if (snapshot / name).is_file()]
        for name in _promised(snapshot):
            if name not in chosen:
                raise Unavailable(f"{repository.id} is in it in part, without {name}")
        for name in chosen:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(snapshot / name, into / name)
        return commit


class Hub:
    """The hub itself, or a mirror of it; and, for a file kept elsewhere, its publisher's server."""

    name = "hub"
    network = True

    def bring(self, asset: Asset, into: Path, progress: Progress) -> str | None:
        """Download. Gives up within seconds where the hub cannot be reached."""
        if constants.is_offline_mode():
            raise Unavailable("not asked, because HF_HUB_OFFLINE is set")
        if asset.hub is not None:
            return self._download(asset, asset.hub, into, progress)
        if not asset.files or not all(file.url for file in asset.files):
            raise Unavailable("this is not kept there")
        with watching(into, progress, f"{asset.name} from its publisher", _size(asset)):
            for file in asset.files:
                _download_url(file, into / file.name)
        return None

    def _download(
        self, asset: Asset, repository: Repository, into: Path, progress: Progress
    ) -> str | None:
        commit, siblings = _listing(repository)
        wanted = (
            [file.in_hub for file in asset.files]
            if asset.files
            else _chosen([sibling.rfilename for sibling in siblings])
        )
        if not asset.files:
            _check_loadable(repository, [sibling.rfilename for sibling in siblings])
        sizes = [sibling.size for sibling in siblings if sibling.rfilename in wanted]
        total = _size(asset) or sum(size or 0 for size in sizes) or None
        with watching(into, progress, f"{asset.name} from the hub", total):
            for name in wanted:
                _translated(partial(_download, repository.id, name, commit, into))
        shutil.rmtree(into / ".cache", ignore_errors=True)
        if asset.files:
            for file in asset.files:
                (into / file.in_hub).rename(into / file.name)
        else:
            for sibling in siblings:
                if sibling.rfilename in wanted:
                    _check_sibling(sibling, into / sibling.rfilename)
        return commit


def _download(repository: str, name: str, commit: str, into: Path) -> None:
    huggingface_hub.hf_hub_download(
        repository,
        name,
        revision=commit,
        local_dir=into,
        endpoint=constants.ENDPOINT,
        etag_timeout=CONNECT_TIMEOUT_S,
        tqdm_class=_Silent,
    )


def _size(asset: Asset) -> int | None:
    return sum(file.size for file in asset.files) or None


def _cached(repository: str, name: str, revision: str | None) -> object:
    """Give the path of a cached file, None, or the mark of one known not to exist."""
    return huggingface_hub.try_to_load_from_cache(
        repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision
    )


def _listing(repository: Repository) -> tuple[str, list[RepoSibling]]:
    """Resolve a revision to its commit, and list its files. Proves that the hub can be reached."""
    api = huggingface_hub.HfApi(endpoint=constants.ENDPOINT)
    info = _translated(
        lambda: _within(
            CONNECT_TIMEOUT_S,
            lambda: api.model_info(
                repository.id,
                revision=repository.revision,
                timeout=CONNECT_TIMEOUT_S,
                files_metadata=True,
            ),
        )
    )
    if info.sha is None:
        raise Unavailable(f"{constants.ENDPOINT} does not say which commit it has")
    return info.sha, info.siblings or []


def _chosen(names: list[str]) -> list[str]:
    """Give the files that a model is made of, out of all that a repository has."""
    chosen = []
    for name in sorted(names):
        path = PurePosixPath(name)
        if len(path.parts) > 2 or (len(path.parts) == 2 and not _FOLDER.fullmatch(path.parts[0])):
            continue
        if path.name.startswith("."):
            continue
        if path.suffix == ".safetensors":
            fits = bool(_WEIGHTS.fullmatch(path.name))
        else:
            fits = path.suffix in {".json", *_SENTENCEPIECE} or path.name in _TEXT_FILES
        if fits:
            chosen.append(name)
    if "model.safetensors" in chosen:
        chosen = [name for name in chosen if not re.fullmatch(r"model-.+\.safetensors", name)]
    return chosen


def _promised(snapshot: Path) -> list[str]:
    """Give the files that the files of a cached repository say it has."""
    modules = document.read_list(snapshot / "modules.json")
    names = [
        f"{module.get('path', str)}/config.json"
        for module in modules
        if module.get("path", str) and not module.need("type", str).endswith("Normalize")
    ]
    index = snapshot / "model.safetensors.index.json"
    if (snapshot / "model.safetensors").is_file() or not index.is_file():
        return [*names, "model.safetensors"]
    shards = document.read(index).need("weight_map", dict)
    return [*names, *sorted(set(shards.values()))]


def _check_loadable(repository: Repository, names: list[str]) -> None:
    """Refuse a repository without weights that may be loaded, before downloading the rest."""
    if any(_WEIGHTS.fullmatch(PurePosixPath(name).name) for name in _chosen(names)):
        return
    others = [name for name in names if name.endswith((".bin", ".pt", ".h5", ".onnx", ".ckpt"))]
    only = f"; only {', '.join(others[:3])}, which Emblem does not read" if others else ""
    raise ModelError(f"{repository.id}: no model.safetensors{only}")


def _check_sibling(sibling: RepoSibling, path: Path) -> None:
    """Compare a file with what the hub's listing says of it."""
    if sibling.size is not None and path.stat().st_size != sibling.size:
        raise Unavailable(f"{sibling.rfilename} came with {path.stat().st_size} bytes of its own")
    lfs = sibling.lfs
    if lfs is not None and file_digest(path) != lfs.sha256:
        raise Unavailable(f"{sibling.rfilename} came with another SHA-256 than the hub announced")
    if lfs is None and sibling.blob_id is not None:
        content = path.read_bytes()
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
        if blob.hexdigest() != sibling.blob_id:
            raise Unavailable(f"{sibling.rfilename} came with other bytes than the hub announced")


def _download_url(file: PinnedFile, path: Path) -> None:
    def connect() -> Any:
        # The address is one of the catalogue's.
        return urllib.request.urlopen(file.url, timeout=CONNECT_TIMEOUT_S)  # noqa: S310

    with (
        _translated(lambda: _within(CONNECT_TIMEOUT_S, connect), file.url) as response,
        path.open("wb") as out,
    ):
        left = file.size + 1
        while left > 0 and (chunk := response.read(min(left, 1 << 20))):
            out.write(chunk)
            left -= len(chunk)


def _within(seconds: float, call: Callable[[], T]) -> T:
    """Call in a thread that is left alone after so many seconds.

    A client's own time limit holds for each address of a host and not for its name's resolution.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name="emblem-connect", daemon=True).start()
    try:
        return future.result(timeout=seconds + 1)
    except TimeoutError:
        raise Unavailable(f"no answer within {seconds:.0f} s") from None


def _translated(call: Callable[[], T], where: str = "") -> T:
    """Call into a foreign library whose errors come from three other libraries."""
    try:
        return call()
    except (Unavailable, ModelError):
        raise
    except Exception as error:
        raise Unavailable(_reason(error, where or constants.ENDPOINT)) from error


def _reason(error: Exception, where: str) -> str:
    """Say in a few words what a foreign error means."""
    if isinstance(error, errors.GatedRepoError):
        return "access must be asked for on the model's page, and HF_TOKEN set"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is no such repository, or it is private and HF_TOKEN is not set"
    if isinstance(error, errors.RevisionNotFoundError):
        return "it has no such revision"
    if isinstance(error, errors.EntryNotFoundError):
        return "it lacks a file that the model needs"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "not asked, because HF_HUB_OFFLINE is set"
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{where} cannot be used: {text[:160] or type(error).__name__}"
