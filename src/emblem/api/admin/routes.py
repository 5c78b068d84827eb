"""All routes of the administration."""

from starlette.routing import Route

from emblem.api.admin.audit import Audit
from emblem.api.admin.desk import Desk
from emblem.api.admin.keys import Keys
from emblem.api.admin.state import Inside, State
from emblem.api.admin.teams import Teams
from emblem.api.admin.usage import Usage
from emblem.ports import Ledger
from emblem.service import Service


def admin_routes(
    ledger: Ledger, service: Service, inside: Inside, desk: Desk | None = None
) -> list[Route]:
    """Give the routes. They look for the caller in ``scope["state"]``, where the edge puts it."""
    desk = desk or Desk()
    parts = (
        Keys(desk, ledger),
        Teams(desk, ledger),
        Usage(desk, ledger),
        Audit(desk, ledger),
        State(desk, ledger, service, inside),
    )
    return [route for part in parts for route in part.routes()]
