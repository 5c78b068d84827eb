"""The model hub, through huggingface_hub.

HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and the proxy variables are read by that library.
Files are copied and never run; no pickle and no Python is fetched at all.
"""

import hashlib
import logging
import shutil
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import huggingface_hub
from huggingface_hub import constants, errors
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils.tqdm import tqdm

from emblem.errors import ModelError
from emblem.models.catalog import Asset, PinnedFile, Repository
from emblem.models.progress import Progress, watching
from emblem.models.repository import deciding, needed
from emblem.models.safetensors import file_digest
from emblem.models.sources import Forbidden, Unavailable

CONNECT_TIMEOUT_S = 8.0

T = TypeVar("T")

constants.HF_HUB_DISABLE_TELEMETRY = True


class _Silent(tqdm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "disable": True})  # type: ignore[no-untyped-call]


class Hub:
    """The hub itself, or a mirror of it; and, for a file kept elsewhere, its publisher's server."""

    name = "hub"
    network = True

    def bring(self, asset: Asset, into: Path, progress: Progress) -> str | None:
        """Download. Gives up within seconds where the hub cannot be reached."""
        if constants.is_offline_mode():
            raise Forbidden("HF_HUB_OFFLINE")
        if asset.hub is not None:
            with _quiet():
                return self._download(asset, asset.hub, into, progress)
        if not asset.files or not all(file.url for file in asset.files):
            raise Unavailable("this is not kept there")
        with watching(into, progress, f"{asset.name} from its publisher", asset.size):
            for file in asset.files:
                _download_url(file, into / file.name)
        return None

    def _download(
        self, asset: Asset, repository: Repository, into: Path, progress: Progress
    ) -> str | None:
        commit, siblings = _listing(repository)
        wanted = [file.in_hub for file in asset.files] or _needed(
            repository, commit, [sibling.rfilename for sibling in siblings], into
        )
        sizes = [sibling.size for sibling in siblings if sibling.rfilename in wanted]
        total = asset.size or sum(size or 0 for size in sizes) or None
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


def _needed(repository: Repository, commit: str, names: list[str], into: Path) -> list[str]:
    """Fetch the small files that say which others are needed."""
    for name in deciding(repository.id, names):
        _translated(partial(_download, repository.id, name, commit, into))
    return needed(names, into, repository)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the hub's HTTP client from logging every request, for as long as the block runs."""

    def matters(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    clients = [logging.getLogger(name) for name in ("httpx", "httpx2")]
    for client in clients:
        client.addFilter(matters)
    try:
        yield
    finally:
        for client in clients:
            client.removeFilter(matters)


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
    except errors.OfflineModeIsEnabled:
        raise Forbidden("HF_HUB_OFFLINE") from None
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
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{where} cannot be used: {text[:160] or type(error).__name__}"
