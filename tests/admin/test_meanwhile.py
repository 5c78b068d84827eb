"""What changes while a request of the administration is on its way."""

import asyncio
import json
import threading
from collections.abc import Callable

import pytest
from starlette.types import Message

from admin.office import Office
from emblem.accounts import Key, Role
from emblem.api.admin.desk import MAX_QUESTIONS, Desk


def revoke(office: Office, leaked: Key) -> None:
    office.ledger.keys.revoke(leaked.id, now=office.clock.at)


def replace_secret(office: Office, leaked: Key) -> None:
    office.ledger.keys.rotate(leaked.id, overlap_s=0.0, now=office.clock.at)


@pytest.mark.parametrize("take_away", [revoke, replace_secret])
def test_a_key_that_is_taken_away_while_its_request_arrives_makes_no_other(
    office: Office, take_away: Callable[[Office, Key], None]
) -> None:
    """Its process has not noticed yet: the database has the last word."""
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
        """Take it away once its request was let in, and only then send the body."""
        await asyncio.to_thread(take_away, office, leaked)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(office.app(scope, receive, send))
    assert sent[0]["status"] == 403
    assert json.loads(sent[1]["body"])["error"]["code"] == "permission_denied"
    assert "backdoor" not in {key.terms.name for key in office.ledger.keys.every()}


def test_changes_go_on_while_every_question_waits_for_the_database() -> None:
    """A revocation waits for no report; and who gave up asking leaves no room in other threads."""
    desk = Desk()
    answer = threading.Event()

    async def scene() -> list[str]:
        asking = [asyncio.create_task(desk.ask(answer.wait)) for _ in range(2 * MAX_QUESTIONS)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asking[0], 0.01)
        done = [
            await asyncio.wait_for(desk.change(lambda: "revoked"), 20),
            await asyncio.wait_for(asyncio.to_thread(lambda: "elsewhere"), 20),
        ]
        answer.set()
        assert all(await asyncio.gather(*asking[1:]))
        return done

    try:
        assert asyncio.run(scene()) == ["revoked", "elsewhere"]
    finally:
        answer.set()


def test_a_change_that_nobody_waits_for_any_more_is_still_the_only_one() -> None:
    desk = Desk()
    answer = threading.Event()
    order: list[str] = []

    def slow() -> None:
        assert answer.wait(20)
        order.append("slow")

    async def scene() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(desk.change(slow), 0.01)
        later = asyncio.create_task(desk.change(lambda: order.append("later")))
        await asyncio.sleep(0)
        answer.set()
        await later

    asyncio.run(scene())
    assert order == ["slow", "later"]
