"""TLS: are the certificate and the key what the server can use? And trust in one's own server."""

import re
import ssl
from pathlib import Path

from emblem.config import Settings
from emblem.errors import ConfigError

# What the first line of a key says, and how to turn it into what the server reads.
_OTHERS = ("RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY")
_ENCRYPTED = "ENCRYPTED PRIVATE KEY"


def certificate(settings: Settings) -> tuple[Path, Path] | tuple[None, None]:
    """Give the files of the certificate and its key; None twice where there is none.

    Raises ConfigError for what cannot be used, naming the file and not what is in it.
    """
    if not settings.tls_cert:
        return None, None
    cert, key = Path(settings.tls_cert).absolute(), Path(settings.tls_key).absolute()
    _read(cert, "tls_cert")
    _check_kind(_read(key, "tls_key"), key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise ConfigError(f"tls_cert {cert} and tls_key {key} cannot be used: {why}") from None
    return cert, key


def trusting(settings: Settings) -> ssl.SSLContext:
    """Trust one's own certificate and no other, whoever signed it and whatever host it names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(settings.tls_cert)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError(f"tls_cert {settings.tls_cert} cannot be read: {error}") from None
    return context


def _read(file: Path, setting: str) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{setting} {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{setting} {file} is not PEM, the form that is text") from None


def _check_kind(text: str, key: Path) -> None:
    kinds = re.findall(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----", text)
    if "PRIVATE KEY" in kinds:
        return
    if kinds and kinds[0] in (*_OTHERS, _ENCRYPTED):
        what = "has a password" if kinds[0] == _ENCRYPTED else f"is an {kinds[0]}"
        raise ConfigError(
            f"tls_key {key} {what}; the server reads PKCS#8 without one. "
            f"To convert it: openssl pkcs8 -topk8 -nocrypt -in {key} -out {key}.pkcs8"
        )
    raise ConfigError(f"tls_key {key} has no private key in PEM (-----BEGIN PRIVATE KEY-----)")


def _no_password() -> str:
    return ""  # where none is given, OpenSSL would ask at the terminal
