"""What changes while a request of the administration is on its way."""

import asyncio
import json

from starlette.types import Message

from admin.office import Office
from emblem.accounts import Role


def test_a_key_that_is_revoked_while_its_request_arrives_makes_no_other(office: Office) -> None:
    leaked, secret = office.key("leaked", Role.ADMIN)
    office.ring.refresh()
    body = json.dumps({"name": "backdoor", "role": "admin"}).encode()
    headers = {
        "authorization": f"Bearer {secret}",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/admin/keys",
        "raw_path": b"/admin/keys",
        "query_string": b"",
        "scheme": "http",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("emblem", 80),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        """Revoke the key once its request was let in, and only then send the body."""
        await asyncio.to_thread(office.ledger.keys.revoke, leaked.id, now=office.clock.at)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(office.app(scope, receive, send))
    assert sent[0]["status"] == 403
    assert json.loads(sent[1]["body"])["error"]["code"] == "permission_denied"
    assert "backdoor" not in {key.terms.name for key in office.ledger.keys.every()}
