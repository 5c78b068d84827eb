"""The model hub's cache on this machine, as other programs have filled it."""

import shutil
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants

from emblem.errors import ModelError
from emblem.models import document
from emblem.models.catalog import Asset, Repository
from emblem.models.onnx import external_files
from emblem.models.progress import Progress, watching
from emblem.models.repository import is_ours, needed
from emblem.models.sources import Unavailable

# What a complete copy has; the optional ones must be known not to exist where they are not there.
_NEEDED = ("modules.json", "config.json", "tokenizer.json")
_UNDESCRIBED = ("Normalize", "StaticEmbedding")  # the modules without a config.json
_OPTIONAL = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
)


class Cache:
    """The hub's cache on this machine, as other programs have filled it."""

    name = "cache"
    network = False

    def bring(self, asset: Asset, into: Path, progress: Progress) -> str | None:
        """Copy what is there. Opens no connection."""
        if asset.hub is None:
            raise Unavailable("this is not kept there")
        with watching(into, progress, f"{asset.name} from the hub's cache", asset.size):
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
        names = [name for name in names if (snapshot / name).is_file()]
        wanted = _wanted(names, snapshot, repository)
        for name in _promised(snapshot, wanted):
            if name not in wanted:
                raise Unavailable(f"{repository.id} is in it in part, without {name}")
        for name in wanted:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(snapshot / name, into / name)
        return commit


def _cached(repository: str, name: str, revision: str | None) -> object:
    """Give the path of a cached file, None, or the mark of one known not to exist."""
    return huggingface_hub.try_to_load_from_cache(
        repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision
    )


def _wanted(names: list[str], snapshot: Path, repository: Repository) -> list[str]:
    """Give the files that the model is made of, if a part of its repository can tell."""
    try:
        if not repository.variant and not is_ours(snapshot):
            raise Unavailable("which of its weights fit best, a part of a repository cannot tell")
        wanted = needed(names, snapshot, repository)
        for name in wanted:
            if name.endswith(".onnx"):
                external_files(snapshot / name)
    except ModelError as error:
        raise Unavailable(str(error)) from None
    return wanted


def _promised(snapshot: Path, wanted: list[str]) -> list[str]:
    """Give the files that the files of a cached repository say it has."""
    modules = document.read_list(snapshot / "modules.json")
    names = [
        f"{module.get('path', str)}/config.json"
        for module in modules
        if module.get("path", str) and not module.need("type", str).endswith(_UNDESCRIBED)
    ]
    if any(name.endswith((".onnx", ".xml")) for name in wanted):
        return names
    index = snapshot / "model.safetensors.index.json"
    if (snapshot / "model.safetensors").is_file() or not index.is_file():
        return [*names, "model.safetensors"]
    shards = document.read(index).need("weight_map", dict)
    return [*names, *sorted(set(shards.values()))]
