"""What must not be shown, made unreadable in what is. Pure."""

import re
from collections.abc import Sequence

HIDDEN = "****"

# A key of the form that is made here and elsewhere; what an Authorization header holds; the
# password of an address.
_SECRETS = re.compile(
    r"\bsk-[\w-]{8,}"
    r"|(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{12,}"
    r"|(?P<user>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)",
    re.IGNORECASE,
)

_QUOTED = re.compile(r"""(?<!\w)(['"`]).*?\1(?!\w)""", re.DOTALL)


def redacted(text: str, known: Sequence[str] = ()) -> str:
    """Give a text without what looks like a key or a password in it, and without the known ones."""
    for one in known:
        if one:
            text = text.replace(one, HIDDEN)
    return _SECRETS.sub(_hidden, text)


def unquoted(said: str) -> str:
    """Give what an error says without what it quotes, which may be a text that was sent."""
    return _QUOTED.sub("'…'", said)


def _hidden(found: re.Match[str]) -> str:
    return f"{found['scheme'] or found['user'] or ''}{HIDDEN}"
