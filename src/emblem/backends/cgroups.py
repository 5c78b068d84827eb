"""The control groups of this process, whose limits count more than what the host has.

Every group above it may limit as well, and there are two kinds of tree: v2, which is one for all,
and v1, which has one for each controller.
"""

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def v2() -> list[Path]:
    """Give the folder of this process's group in v2, and of every group above it."""
    path, _ = parse_membership(read(_MEMBERSHIP), "")
    return _upwards(_ROOT, path)


def v1(controller: str, *trees: str) -> list[Path]:
    """Give the same in v1, in the trees that a controller may be mounted as."""
    _, path = parse_membership(read(_MEMBERSHIP), controller)
    return [folder for tree in trees for folder in _upwards(_ROOT / tree, path)]


def parse_membership(text: str, controller: str) -> tuple[str, str]:
    """Read ``/proc/self/cgroup``: the path within v2 and within v1's tree; "/" if not there."""
    v2 = v1 = "/"
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            v2 = path
        elif controller in controllers.split(","):
            v1 = path
    return v2, v1


def read(path: Path) -> str:
    """Give a file's text, "" where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _upwards(root: Path, path: str) -> list[Path]:
    # In a container the path may be one that exists only outside; then the root is its own.
    folder = root / path.strip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]
