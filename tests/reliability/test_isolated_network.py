"""In a network of its own, Emblem asks nobody but the sources that it was given."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from system import require_isolation

PROGRAM = Path(__file__).parent / "isolated.py"
NAME_SERVICE = "53"

# strace writes sin_port=htons(443), sin_addr=inet_addr("1.2.3.4"), and inet_pton(AF_INET6, "::1", …).
ADDRESS = re.compile(
    r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")'
)


def addresses(trace: str) -> set[tuple[str, str]]:
    """Give each (address, port) that a traced process turned to."""
    return {(four or six, port) for port, four, six in ADDRESS.findall(trace)}


def is_elsewhere(address: str, port: str) -> bool:
    """Tell whether an address is outside loopback, or asks for a name, which leads outside."""
    return port == NAME_SERVICE or not address.removeprefix("::ffff:").startswith(("127.", "::1"))


def test_a_trace_with_a_connection_elsewhere_is_recognised() -> None:
    trace = (
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16)\n'
        '7 connect(5, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16)\n'
        '7 sendto(5, "x", 1, 0, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("127.0.0.53")}, 16)\n'
        "7 connect(5, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), "
        'inet_pton(AF_INET6, "2001:db8::1", &sin6_addr), sin6_scope_id=0}, 28)\n'
        '7 connect(5, {sa_family=AF_UNIX, sun_path="/run/x"}, 110)\n'
    )
    assert {place for place in addresses(trace) if is_elsewhere(*place)} == {
        ("192.0.2.1", "443"),
        ("127.0.0.53", "53"),
        ("2001:db8::1", "443"),
    }


def test_pulling_and_serving_turn_to_nobody_but_the_configured_sources(
    model_home: Path, tmp_path: Path
) -> None:
    require_isolation()
    trace = tmp_path / "trace"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    traced = ["strace", "-f", "-qq", "--seccomp-bpf", "-s", "16", "-e", calls, "-o", str(trace)]
    inside = [*traced, sys.executable, str(PROGRAM), str(model_home), str(scratch)]
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = 'ip link set lo up && exec "$@"'
    done = subprocess.run(
        ["unshare", "--net", *as_root, "bash", "-c", script, "bash", *inside],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    works = [200, 200, 200, 200, 200, 200, 404]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {"pull": 0, "first": works, "second": works}
    seen = addresses(trace.read_text(errors="replace"))
    assert seen, "nothing was traced, so nothing is proven"
    assert {place for place in seen if is_elsewhere(*place)} == set()
