"""Five providers tell of changes themselves: change there -> delivery -> record here. One row a connector.

Prints how long each took, from the change at the provider to the committed record, at rest.
"""

import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from journey_kit.told import CASES, Told, delays, telling


@pytest.fixture(params=CASES)
async def told(request, serve_each, database_url, valkey_url, tmp_path) -> AsyncIterator[Told]:
    async with telling(
        request.param, database_url=database_url, valkey_url=valkey_url, folder=tmp_path, serve=serve_each
    ) as made:
        yield made


async def test_what_a_provider_tells_becomes_a_record(told, capsys):
    case, simulator, account = told.case, told.simulator, told.row.account
    kind = case.stream
    hooks = simulator.teller("secret", lambda: "http://app.test/").hooks(account)
    registered = told.manifest.webhooks.registration is not None
    assert [hook.url.startswith(told.door.origin) for hook in hooks] == [registered]

    # changed, at rest: how long until the record is here
    took = await delays(told, 3)
    public = told.changed
    with capsys.disabled():
        sys.stdout.write(f"\n{told.name}: {[round(one * 1000) for one in sorted(took)]} ms to the record ")

    # the same again changes nothing, and is no second event
    path, headers, body = told.door.taken[-1]
    count = len(await told.events())
    assert await told.door.again(path, headers, body) == 200
    assert len(await told.events()) == count

    # forged: refused before it is looked at
    forged = body.replace(b"Told", b"Bold") + b" " if case.signed else body
    lies = headers if case.signed else headers | {"authorization": "Basic dHJ1bmtsaW5lOndyb25n"}
    assert await told.door.again(path, lies, forged) == 401
    assert len(await told.events()) == count

    # an old one that comes late, under a new id, does not bring back what was
    late = _late(told, body, hooks)
    assert await told.door.again(path, *late) == 200
    await told.settled_events(count + 1)
    assert await told.shows(public, "Told 3")

    # of another account's changes this tenant hears nothing
    told.actions.change(case.other, kind)
    if not registered:
        sent = told.sender.delivered
        await told.until(lambda: _async(told.sender.delivered > sent), "the other account's delivery")
    assert len(await told.events()) == count + 1

    # made and ended
    made = told.actions.create(account, kind, 1, None)[0]
    await told.until(lambda: _there(told, made), "the new record")
    case.ends(simulator, account, kind, simulator.own_id(kind, made))
    await told.until(lambda: told.shows(made, None), "the end of it")
    assert {state for _, state, _ in await told.events()} <= {"applied", "unchanged", "ignored", "superseded"}

    # and every one of it was as its contract says
    differing = "SELECT type, differs FROM inbound_events WHERE tenant_id = :tenant AND differs IS NOT NULL"
    assert await told.rows(differing) == []


async def _async(value: Any) -> Any:
    return value


async def _there(told: Told, public: str) -> bool:
    return public in (await told.documents())[told.case.stream]


def _late(told: Told, body: bytes, hooks: Any) -> tuple[dict[str, str], bytes]:
    """The last delivery as an older one: of a minute ago, with an id of its own, signed now."""
    text = json.loads(body)
    event = text[0] if isinstance(text, list) else text
    ago = time.time() - 60
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ago))
    if told.name == "hubspot":
        event |= {"eventId": 9_999_999, "occurredAt": int(ago * 1000)}
    elif told.name == "pipedrive":
        event["meta"] |= {"correlation_id": "late", "timestamp": stamp}
    elif told.name == "zendesk":
        event |= {"id": "late", "time": stamp}
    else:
        event |= {"id": "late", ("created" if told.name == "stripe" else "created_at"): int(ago)}
    old = json.dumps(text).replace("Told 3", "Told 1").encode()
    url = f"{told.door.origin}{told.door.taken[-1][0]}"
    hook = msgspec.structs.replace(hooks[0], url=url)
    teller = told.simulator.teller("secret", str)
    return teller.sign(hook, old, time.time()) | {"content-type": "application/json"}, old
