"""What may become of a request that gets no answer. None of these texts has the address in it."""

import os
import re
import socket
import ssl

CLOSED = "it was closed before the answer ended"
CLOSED_HERE = "it was closed here"
NO_HTTP = "what came is no HTTP"
PACKED = "an answer that cannot be unpacked"

_ERRNO = re.compile(r"\[Errno (\d+)\]")


class Endless(Exception):
    """An answer that is longer than any right one, or cannot be unpacked; the text says which."""


class Unreached(Exception):
    """There was no connection, so nothing was sent; the text says why."""


class TooSlow(Unreached):
    """There was no connection in time."""


class Lost(Exception):
    """The connection ended before the answer did; the text says how."""


class GivenUp(Lost):
    """The connection ended before an answer began."""


def why(error: Exception) -> str:
    """Say what is wrong without the address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        said = (error.reason or type(error).__name__).lower().replace("_", " ")
        return f"TLS could not be begun or went wrong: {said}"
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    if isinstance(error, OSError):
        # What asyncio says has the address in it; of several tries it keeps the number in the text.
        number = error.errno or next(map(int, _ERRNO.findall(str(error))), 0)
        if number:
            return os.strerror(number)
    return type(error).__name__
