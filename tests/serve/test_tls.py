"""https: with which keys, from which version on, and renewed while the server runs."""

import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from serve.processes import PATIENCE_S, STATIC, Started, refused, run, started
from system import require

KEY = "sk-tls-0123456789abcdef"
ENV = {"EMBLEM_API_KEY": KEY}


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60)


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate for this machine, signed by itself, and give it with its key."""
    require("openssl")
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    files = ("-keyout", str(key), "-out", str(cert))
    openssl("req", "-x509", *curve, *names, *files, "-days", "2")
    return cert, key


def flags(cert: Path, key: Path) -> list[str]:
    return ["--tls-cert", str(cert), "--tls-key", str(key)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"), "emblem")


@pytest.fixture(scope="module")
def secure(
    model_home: Path, tmp_path_factory: pytest.TempPathFactory, made: tuple[Path, Path]
) -> Iterator[tuple[Started, Path]]:
    from server import linked_home

    home = linked_home(tmp_path_factory.mktemp("secure") / "home", model_home)
    proxies = ("--trusted-proxies", "127.0.0.1/32")
    with started(home, STATIC, *flags(*made), *proxies, env=ENV) as server:
        server.until("Ready in")
        yield server, home
        assert server.stop() == 0
        assert "Traceback" not in server.said()


def shaken(port: int, cert: Path, version: ssl.TLSVersion) -> str:
    """Give the version that a client which knows no other agrees upon with the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cert)
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is not the client that refuses
    # Asking for an old version warns, which is what is tested here.
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.version() or ""


def test_clients_that_trust_the_certificate_are_answered(
    secure: tuple[Started, Path], made: tuple[Path, Path]
) -> None:
    server, _ = secure
    url = f"https://127.0.0.1:{server.port}/v1/embeddings"
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"model": STATIC, "input": "a text"}
    answer = requests.post(url, json=body, headers=headers, verify=str(made[0]), timeout=30)
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(url, timeout=30)


@pytest.mark.parametrize(
    ("version", "name"),
    [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")],
)
def test_tls_is_spoken_from_1_2_on(
    secure: tuple[Started, Path], made: tuple[Path, Path], version: ssl.TLSVersion, name: str
) -> None:
    assert shaken(secure[0].port, made[0], version) == name


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1])
def test_older_versions_are_refused_by_the_server(
    secure: tuple[Started, Path], made: tuple[Path, Path], version: ssl.TLSVersion
) -> None:
    # An alert or the end is what comes from the other side; what is wrong here has other words.
    with pytest.raises(ssl.SSLError, match=r"(?i)alert|EOF occurred"):
        shaken(secure[0].port, made[0], version)


def test_plain_http_is_not_answered(secure: tuple[Started, Path]) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{secure[0].root}/health", timeout=PATIENCE_S)


def test_what_is_printed_says_https(secure: tuple[Started, Path]) -> None:
    server, _ = secure
    assert f"export OPENAI_BASE_URL=https://127.0.0.1:{server.port}/v1" in server.said()
    assert "http://" not in server.said()


def test_the_program_asks_its_own_server_whoever_signed_the_certificate(
    secure: tuple[Started, Path], made: tuple[Path, Path], tmp_path: Path
) -> None:
    server, home = secure
    env = {**ENV, "EMBLEM_PORT": str(server.port), "EMBLEM_TLS_KEY": str(made[1])}
    done = run(home, "ps", env={**env, "EMBLEM_TLS_CERT": str(made[0])})
    assert done.returncode == 0, done.stderr
    assert STATIC in done.stdout
    other, _ = certificate(tmp_path, "other")
    done = run(home, "ps", env={**env, "EMBLEM_TLS_CERT": str(other)})
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_a_key_is_kept_to_its_networks_by_what_a_trusted_proxy_says(
    secure: tuple[Started, Path], made: tuple[Path, Path]
) -> None:
    server, home = secure
    made_key = run(home, "keys", "create", "office", "--from", "198.51.100.0/24", "--json")
    secret = re.search(r"sk-[A-Za-z0-9_-]{20,}", made_key.stdout)
    assert secret is not None, made_key.stderr

    def status(forwarded: str) -> int:
        headers = {"Authorization": f"Bearer {secret[0]}", "X-Forwarded-For": forwarded}
        url = f"https://127.0.0.1:{server.port}/v1/models"
        return requests.get(url, headers=headers, verify=str(made[0]), timeout=30).status_code

    assert status("198.51.100.7") == 200
    assert status("203.0.113.9") == 403
    assert status("198.51.100.7, 203.0.113.9") == 403


def test_a_certificate_is_renewed_while_the_server_runs(home: Path, tmp_path: Path) -> None:
    first, second = certificate(tmp_path, "first"), certificate(tmp_path, "second")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"  # links, as Kubernetes has them
    cert.symlink_to(first[0])
    key.symlink_to(first[1])

    def is_trusted(what: Path) -> bool:
        url = f"https://127.0.0.1:{server.port}/health"
        try:
            return requests.get(url, verify=str(what), timeout=30).ok
        except requests.exceptions.SSLError:
            return False

    with started(home, STATIC, *flags(cert, key), env=ENV) as server:
        server.until("Ready in")
        assert is_trusted(first[0])
        for link, target in ((cert, second[0]), (key, first[1])):
            link.unlink()
            link.symlink_to(target)
        server.process.send_signal(signal.SIGHUP)
        server.until("nothing is renewed")  # for the key is not that certificate's
        assert is_trusted(first[0])
        key.unlink()
        key.symlink_to(second[1])
        server.process.send_signal(signal.SIGHUP)
        server.until("every process has been renewed")
        assert is_trusted(second[0])
        assert not is_trusted(first[0])
        assert server.stop() == 0


def test_a_key_that_is_gone_when_a_process_dies_is_named_as_the_server_ends(
    home: Path, tmp_path: Path
) -> None:
    cert, key = certificate(tmp_path, "emblem")
    with started(home, STATIC, *flags(cert, key), env=ENV) as server:
        server.until("Ready in")
        key.unlink()
        os.kill(server.worker(), signal.SIGKILL)
        assert server.end() == 1
        assert f"tls_key {key} cannot be read: No such file or directory" in server.said()
        assert "Traceback" not in server.said()


@pytest.mark.parametrize(
    ("convert", "words"),
    [
        (("rsa", "-traditional"), "RSA PRIVATE KEY"),
        (("ec",), "EC PRIVATE KEY"),
        (("pkcs8", "-topk8", "-passout", "pass:secret"), "has a password"),
    ],
)
def test_a_key_of_another_form_is_one_line_with_the_command_that_converts_it(
    home: Path, tmp_path: Path, convert: tuple[str, ...], words: str
) -> None:
    cert, key = certificate(tmp_path, "emblem")
    if convert[0] == "rsa":
        openssl("genrsa", "-traditional", "-out", str(tmp_path / "other"), "2048")
    else:
        openssl(*convert, "-in", str(key), "-out", str(tmp_path / "other"))
    line = refused(home, STATIC, *flags(cert, tmp_path / "other"), env=ENV)
    assert words in line
    command = re.search(r"openssl pkcs8 .*", line)
    assert command is not None
    assert "secret" not in line
    if "password" not in words:
        openssl(*command[0].split()[1:])
        assert "BEGIN PRIVATE KEY" in (tmp_path / "other.pkcs8").read_text()


def test_what_is_no_certificate_or_key_is_one_line(home: Path, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "emblem")
    other, _ = certificate(tmp_path, "other")
    assert "cannot be read" in refused(home, STATIC, *flags(tmp_path / "none", key), env=ENV)
    assert "no private key" in refused(home, STATIC, *flags(cert, cert), env=ENV)
    assert "cannot be used" in refused(home, STATIC, *flags(other, key), env=ENV)
    assert "cannot be used" in refused(home, STATIC, *flags(key, key), env=ENV)
    line = refused(home, STATIC, "--tls-cert", str(cert), env=ENV)
    assert "tls_key is not" in line
