"""Opens the console as the settings say."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from emblem.api.console.people import People, Proxy
from emblem.api.console.routes import Door, Ring
from emblem.api.console.sessions import Sessions
from emblem.api.console.shelves import FolderShelf, MemoryShelf, shared_secret
from emblem.config import Settings, oidc, openings
from emblem.errors import MissingExtra

if TYPE_CHECKING:  # only where somebody is to sign in so
    from emblem.api.console.signing_in import SigningIn


def console(settings: Settings, ring: Ring | None, shared: Path | None = None) -> Door:
    """Give the console's door. With ``ring`` None nobody is asked for a key.

    ``shared`` is a folder of all processes of a server, None where there is but one. Raises
    ConfigError for settings that say nothing, and MissingExtra.
    """
    if ring is None:
        return Door(None, None)
    proxy = Proxy(
        settings.console_proxy_header,
        settings.console_proxy_groups_header,
        settings.console_proxy_addresses,
    )
    people = People(proxy, openings(settings), ring.team_called)
    shelf = MemoryShelf() if shared is None else FolderShelf(shared / "sessions")
    sessions = Sessions(ring, people, shelf=shelf)
    return Door(ring, sessions, people, _signing_in(settings, people, sessions, shared))


def _signing_in(
    settings: Settings, people: People, sessions: Sessions, shared: Path | None
) -> "SigningIn | None":
    """Give what lets in whom a provider of OpenID Connect has signed in; None where none is set."""
    provider = oidc(settings) if settings.console else None
    if provider is None:
        return None
    if find_spec("joserfc") is None:
        raise MissingExtra("console_oidc_issuer", "oidc")
    from emblem.api.console.provider import Provider
    from emblem.api.console.signing_in import SigningIn

    return SigningIn(Provider(provider), people, sessions, shared_secret(shared))
