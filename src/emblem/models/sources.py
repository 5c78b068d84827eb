"""The contract of a place that assets come from, and trying several of them in order."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from emblem.errors import SourcesExhausted
from emblem.models import safetensors
from emblem.models.catalog import Asset, PinnedFile
from emblem.models.progress import Progress

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """A source cannot give an asset; the text says why, in a few words."""


class Forbidden(Unavailable):
    """A source is not asked, because the setting of this name is set."""

    def __init__(self, setting: str) -> None:
        super().__init__(f"not asked, because {setting} is set")
        self.setting = setting


class Source(Protocol):
    """A place that assets come from."""

    @property
    def name(self) -> str:
        """What the settings call it."""
        ...

    @property
    def network(self) -> bool:
        """Whether asking it opens connections."""
        ...

    def bring(self, asset: Asset, into: Path, progress: Progress) -> str | None:
        """Put the asset's files into an empty folder and return the revision they are of.

        Nobody has to check digests here. Raises Unavailable where it cannot.
        """
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an asset came from: the source's name, and the commit where it has one."""

    source: str
    revision: str | None


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a source gave nothing, and the setting that forbids to ask it, if one does."""

    source: Source
    reason: str
    forbidden_by: str | None = None


def obtain(
    asset: Asset, sources: Sequence[Source], into: Path, *, offline: bool, progress: Progress
) -> Origin:
    """Fill a folder from the first source that gives the right bytes.

    Raises SourcesExhausted, naming every source and its reason, and leaves the folder empty.
    """
    failures: list[_Failure] = []
    for source in sources:
        incoming = into / f".from-{source.name}"
        try:
            if offline:
                _check_offline(source)
            incoming.mkdir(parents=True)
            revision = source.bring(asset, incoming, progress)
            for file in asset.files:
                check(file, incoming / file.name)
            _move(incoming, into)
        except Unavailable as reason:
            log.info("%s: source %s: %s", asset.name, source.name, reason)
            setting = reason.setting if isinstance(reason, Forbidden) else None
            failures.append(_Failure(source, str(reason), setting))
        except OSError as error:
            failures.append(_Failure(source, str(error.strerror or error)))
        else:
            return Origin(source.name, revision)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
    raise SourcesExhausted(_exhausted(asset, failures))


def check(file: PinnedFile, path: Path) -> None:
    """Compare a file with its pin; raises Unavailable where it is not the same."""
    if not path.is_file():
        raise Unavailable(f"{file.name} is not there")
    size = path.stat().st_size
    if size != file.size:
        raise Unavailable(f"{file.name} has {size} bytes and should have {file.size}")
    digest = safetensors.file_digest(path)
    if digest != file.sha256:
        raise Unavailable(
            f"{file.name} has the SHA-256 {digest[:16]}… and should have {file.sha256[:16]}…"
        )


def _check_offline(source: Source) -> None:
    if source.network:
        raise Forbidden("offline")


def _move(incoming: Path, into: Path) -> None:
    for path in list(incoming.iterdir()):
        path.rename(into / path.name)


def _exhausted(asset: Asset, failures: Sequence[_Failure]) -> str:
    tried = "; ".join(f"{one.source.name}: {one.reason}" for one in failures)
    advice = _advice(asset, failures)
    if asset.is_model:
        advice += ", or copy a folder with the files here and name its path"
    return (
        f"{asset.name} could be had from none of its sources "
        f"({tried or 'no source is configured'}). {advice}."
    )


def _advice(asset: Asset, failures: Sequence[_Failure]) -> str:
    """Say what would help, given what the settings allow."""
    network = [one for one in failures if one.source.network]
    if not network:
        return "Let the setting sources name hub or index"
    forbidden = sorted({one.forbidden_by for one in network if one.forbidden_by})
    if "offline" in forbidden:
        return f"Run `emblem pull {asset.name}` once without offline"
    asked = [one.source.name for one in network if not one.forbidden_by]
    ways = [f"unset {setting}" for setting in forbidden]
    if asked:
        which = asked[0] if forbidden else "one of them"
        ways.append(
            f"connect this machine to {which} (HF_ENDPOINT, HTTPS_PROXY and pip's own settings "
            "are honoured)"
        )
    text = " or ".join(ways)
    return text[0].upper() + text[1:]
