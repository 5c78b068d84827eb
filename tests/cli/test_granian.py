"""Granian's own methods on which ``cli/processes.py`` stands are those that it was written against.

They are no public interface. Where one has changed, read what did and whether ``Processes`` still
fits, run ``tests/serve``, and write the new digests here: ``python tests/cli/test_granian.py``.
"""

import inspect
from hashlib import sha256
from importlib.metadata import version

from granian.net import SocketSpec
from granian.server.common import AbstractServer, AbstractWorker
from granian.server.mp import MPServer, WorkerProcess

WRITTEN_AGAINST = "2.8.7"

# Those that are overridden, and those that call them or are called.
DIGESTS = {
    "AbstractServer.__init__": "3ae478dc1d35dcce",
    "AbstractServer._serve_loop": "123ffa1d2e47bda9",
    "AbstractServer._stop_workers": "f3e0544dda9b5e6c",
    "AbstractServer.shutdown": "e6559a0343cf7bdb",
    "AbstractServer.signal_handler_interrupt": "e9efe050e7e2d430",
    "AbstractServer.signal_handler_reload": "8d88cc8590fc6b21",
    "MPServer._init_shared_socket": "f3155b13b2578c5b",
    "MPServer._spawn_worker": "87b0a0e68f390bca",
    "AbstractServer._serve": "556b027a04da24b6",
    "AbstractServer._spawn_workers": "bc6ae40021d843e2",
    "AbstractServer.build_ssl_context": "dc80c96c00298ccd",
    "AbstractServer.serve": "6e138b19f1f3b009",
    "AbstractServer.startup": "6b80a44c5e1db15e",
    "AbstractWorker._watcher": "5c2a53f123c79f56",
    "AbstractWorker.start": "0fc1f616654bafce",
    "MPServer._drop_shared_socket": "11c8701550a5bb27",
    "MPServer._spawn_asgi_lifespan_worker": "819eb9d2def0d782",
    "WorkerProcess.kill": "6cf8784ecca08290",
    "WorkerProcess.terminate": "1c31da3936577c96",
    "WorkerProcess.wrap_target": "590801916a38ee28",
}


CLASSES = {one.__name__: one for one in (AbstractServer, AbstractWorker, MPServer, WorkerProcess)}


def digests() -> dict[str, str]:
    """Give what the methods are now; one that is gone has none."""
    found = {}
    for name in DIGESTS:
        owner, _, method = name.partition(".")
        there = vars(CLASSES[owner]).get(method)
        source = inspect.getsource(inspect.unwrap(there)) if there else ""
        found[name] = sha256(source.encode()).hexdigest()[:16] if source else "gone"
    return found


def test_no_method_of_granians_has_changed_that_processes_stands_on() -> None:
    changed = [name for name, digest in digests().items() if digest != DIGESTS[name]]
    assert changed == [], f"granian {version('granian')} against {WRITTEN_AGAINST}"


def test_a_socket_is_made_as_processes_makes_it() -> None:
    assert SocketSpec("127.0.0.1", 0, 128).build().get_fd() > 0


if __name__ == "__main__":
    for name, digest in digests().items():
        print(f'    "{name}": "{digest}",')
