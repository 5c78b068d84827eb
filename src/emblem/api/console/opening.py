"""Opens the console as the settings say."""

from pathlib import Path

from emblem.api.console.people import Proxy
from emblem.api.console.routes import Door, Entrance, Ring
from emblem.api.console.sessions import Sessions
from emblem.api.console.shelves import FolderShelf, MemoryShelf
from emblem.config import Settings, openings


def console(settings: Settings, ring: Ring | None, shared: Path | None = None) -> Door:
    """Give the console's door. With ``ring`` None nobody is asked for a key.

    ``shared`` is a folder of all processes of a server, None where there is but one.
    Raises ConfigError for groups that say nothing.
    """
    proxy = Proxy(
        settings.console_proxy_header,
        settings.console_proxy_groups_header,
        settings.console_proxy_addresses,
    )
    shelf = MemoryShelf() if shared is None else FolderShelf(shared / "sessions")
    sessions = None if ring is None else Sessions(ring, proxy, shelf=shelf)
    return Door(ring, sessions, Entrance(proxy, openings(settings)))
