"""Opens the console as the settings say."""

from emblem.api.console.people import Proxy
from emblem.api.console.routes import Door, Entrance, Ring
from emblem.api.console.sessions import Sessions
from emblem.config import Settings, openings


def console(settings: Settings, ring: Ring | None) -> Door:
    """Give the console's door. With ``ring`` None nobody is asked for a key.

    Raises ConfigError for groups that say nothing.
    """
    proxy = Proxy(
        settings.console_proxy_header,
        settings.console_proxy_groups_header,
        settings.console_proxy_addresses,
    )
    sessions = None if ring is None else Sessions(ring, proxy)
    return Door(ring, sessions, Entrance(proxy, openings(settings)))
