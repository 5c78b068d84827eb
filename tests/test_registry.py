"""Names are resolved late, and a wrong or missing one is answered with what to do."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

from emblem import registry
from emblem.errors import ConfigError, MissingExtra
from emblem.registry import Entry

HERE = sorted(name for name, entry in registry.BACKENDS.items() if not entry.extra)


@pytest.mark.parametrize("name", HERE)
def test_every_backend_of_the_registry_has_the_whole_port(name: str) -> None:
    backend = registry.backend(name)
    for member in ("width", "row_tokens", "streams", "stream", "row_bytes", "close"):
        assert hasattr(backend, member)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no backend 'openvno'; did you mean openvino"):
        registry.backend("openvno")


def test_a_name_near_to_nothing_is_answered_with_all() -> None:
    with pytest.raises(ConfigError, match=" or ".join(sorted(registry.BACKENDS))):
        registry.backend("zzz")


def test_a_missing_package_is_answered_with_the_line_that_installs_it() -> None:
    entries = {"far": Entry("no_such_package_here.module:Class", extra="far")}
    with pytest.raises(MissingExtra, match=r"pip install 'emblem\[far\]'"):
        registry.resolve(entries, "backend", "far")


def test_torch_is_asked_for_by_the_extra_that_brings_it() -> None:
    """torch is no part of the environment of these tests; where it is, others run it."""
    if find_spec("torch") is None:
        with pytest.raises(MissingExtra, match=r"'torch' needs .*: pip install 'emblem\[torch\]'"):
            registry.backend("torch")
    else:
        assert registry.backend("torch").__name__ == "TorchBackend"


def test_a_module_of_our_own_that_is_missing_is_not_called_an_extra() -> None:
    entries = {"lost": Entry("emblem.backends.lost:Class", extra="lost")}
    with pytest.raises(ModuleNotFoundError):
        registry.resolve(entries, "backend", "lost")


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys; from emblem import registry; registry.backend('static');"
        "print([m for m in ('openvino', 'torch') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
