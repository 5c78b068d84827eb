"""What must not be shown, made unreadable in what is. Pure."""

import re
from collections.abc import Sequence

HIDDEN = "****"

# A key of the form that is made here and elsewhere; what headers hold; what stands behind a name of
# such things; the password of an address. That may hold any character where somebody forgot to
# write it as %40 or %2F: it ends at the last @, though an address without one may have that, too.
_SECRETS = re.compile(
    r"\bsk-[\w.-]{8,}"
    r"|(?P<header>\b(?:authorization|x-api-key|api-key)['\"]?\s*[:=]\s*['\"]?"
    r"(?:(?:bearer|basic)\s+)?)[^\s'\",]+"
    r"|(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{12,}"
    r"|(?P<user>\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]*:)\S+(?=@)"
    r"|(?P<name>\b\w{0,30}(?:password|passwd|pwd|secret|token|api[_-]?key)=)[^\s&;,'\"]+",
    re.IGNORECASE,
)

# From the first quote to the last: what is quoted may have quotes of its own, and may be cut off.
_QUOTED = re.compile(r"""(?:(?<!\w)|(?<=\b[bru]))['"`“‘«](?:.*['"`”’»]|.*)""", re.DOTALL)


def redacted(text: str, known: Sequence[str] = ()) -> str:
    """Give a text without what looks like a key or a password in it, and without the known ones."""
    for one in known:
        if one:
            text = text.replace(one, HIDDEN)
    return _SECRETS.sub(_hidden, text)


def unquoted(said: str) -> str:
    """Give what an error says without what it quotes, which may be a text that was sent.

    What stands between two that are quoted goes, too.
    """
    return _QUOTED.sub("'…'", said)


def _hidden(found: re.Match[str]) -> str:
    """Keep what stands before the secret: it is in the only group that took part."""
    return f"{found[found.lastgroup] if found.lastgroup else ''}{HIDDEN}"


def on_one_line(text: str) -> str:
    """Give a text so that it cannot act on a terminal, nor begin a line of its own."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
