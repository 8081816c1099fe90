"""Hundreds of secrets and personal values go in wherever something can go in; none may be seen again.

Searched: logs of both shapes at the level debug, standard error, the text and headers of every error that
was answered, every table but those of the customer's own records, and all that was ever said to Valkey.
"""

import asyncio
import re
import time
from typing import Any
from uuid import uuid4

import httpx2
import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from trunkline.connections.service import ConnectionService
from trunkline.kernel.errors import BadInputError
from trunkline.kernel.principal import SYSTEM
from trunkline.recipes.service import definition_of
from trunkline.runs.provider import ProviderClient
from trunkline_connectors.hubspot.simulator_seed import PORTALS
from trunkline_tenants.directory import Directory

OWN = ("entities", "changes")
"""What the customer asked us to hold in the clear: their records, mapped."""


async def until(check: Any, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.05)


async def every_route(rig: Any, clients: dict[str, tuple[httpx2.AsyncClient, str]]) -> int:
    """Each route and method, in query, path, header and body; as a stranger, and as who belongs there."""
    c, sent = rig.canaries, 0
    for route in rig.app.routes:
        if "static" in route.path:
            continue
        path = re.sub(r"\{\w+:uuid\}", lambda _: str(uuid4()), route.path)
        path = re.sub(r"\{\w+:int\}", "7", path)
        path = re.sub(r"\{\w+:\w+\}", lambda _: c.secret("path"), path)
        for method in sorted(route.methods - {"OPTIONS", "HEAD"}):
            belongs = next(name for name in clients if path.startswith(name))
            for client, csrf in (clients["stranger"], clients[belongs]):
                query = {"tenant": "globex", "cursor": c.secret("query"), "email": c.email("query")}
                headers = {"x-trace": c.secret("header"), "referer": f"{ORIGIN}/?code={c.secret('referer')}"}
                values = {"password": c.secret("body"), "email": c.email("body"), "name": c.person("body")}
                more: dict[str, Any] = {}
                if method != "GET":
                    api = route.path.startswith("/v1")
                    more = {"json": values} if api else {"data": {**values, "csrf_token": csrf}}
                await client.request(method, path, params=query, headers=headers, **more)
                sent += 1
    return sent


ORIGIN = "http://testserver.local"
ACCOUNT = PORTALS[1].id


async def strangers(rig: Any, browser: httpx2.AsyncClient) -> None:
    """Codes, states, tokens, passwords and bodies from people whom nobody knows."""
    c = rig.canaries
    await browser.get("/login")
    for _ in range(10):
        form = {
            "email": c.email("login"),
            "password": c.secret("password"),
            "csrf_token": browser.cookies["trunkline_form"],
        }
        await browser.post("/login", data=form)
    for names in (
        ("code", "state"),
        ("error", "error_description", "state"),
        ("code", "state", "iss"),
        ("code",),
    ):
        query = {name: c.secret(f"callback's {name}") for name in names}
        await browser.get(
            "/oauth/callback/hubspot",
            params=query,
            headers={"cookie": f"trunkline_flow={c.secret('cookie')}"},
        )
    for scheme in ("Bearer", "Basic", "Token", "bearer trk_"):
        for method, path in (("GET", "/v1/connections"), ("POST", "/v1/connect-sessions")):
            headers = {
                "authorization": f"{scheme} {c.secret('api key')}",
                "idempotency-key": c.secret("header"),
            }
            await browser.request(method, path, headers=headers)
    bodies = [
        b'{"tenant": "%s"',
        b'{"tenant": "globex", "end_user": "%s"}',
        b'{"tenant": "globex", "end_user": {"id": "%s"}}',
        b'{"name": "m", "label": "M", "fields": [{"name": "a", "label": "A", "type": "%s"}]}',
        b'{"tenant": "globex", "connection_id": "%s", "connectors": [], "end_user": {"id": "1", "name": "x"}}',
        b'{"tenant": "globex", "origin": {"%s": "x"}}',
        b'{"tenant": "globex", "connectors": "%s"}',
        b'["%s"]',
        b'"%s"',
        b"%s",
    ]
    for path in ("/v1/connect-sessions", "/v1/connections/confirm", "/v1/models"):
        for body in bodies:
            content = body % c.secret("JSON").encode()
            headers = {"authorization": f"Bearer {rig.key}", "content-type": "application/json"}
            await browser.post(path, content=content, headers=headers)
    for step in ("redeem", "status", "authorize"):
        body = {"token": c.secret("widget"), "frame_key": c.secret("widget"), "nonce": c.secret("widget")}
        await browser.post(f"/widget/sessions/{uuid4()}/{step}", json=body)


async def failing(rig: Any, browser: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defects that quote what they met."""
    c = rig.canaries
    kinds = (
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        LookupError,
        OSError,
        AssertionError,
        ExceptionGroup,
    )

    async def fail(self: Any, session: Any, *_args: Any, **_more: Any) -> None:
        local = c.person("local variable")
        kind = kinds[len(c.planted) % len(kinds)]
        try:
            await session.execute(text("SELECT CAST(CAST(:it AS text) AS integer)"), {"it": c.secret("SQL")})
        except Exception as error:
            if kind is ExceptionGroup:
                raise ExceptionGroup(
                    c.email("exception"), [ValueError(c.phone("exception")), error]
                ) from error
            if kind is OSError:
                raise BadInputError("Not usable.") from ValueError(local)
            raise kind(f"{c.secret('exception')} and {c.email('exception')} and {local}") from error

    with monkeypatch.context() as patch:
        patch.setattr(ConnectionService, "list", fail)
        for _ in range(8):
            await browser.get(
                "/v1/connections", params={"tenant": "globex"}, headers={"authorization": f"Bearer {rig.key}"}
            )
            await browser.get("/portal")


async def syncing(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reads records of people, is told off by the provider in every way, and breaks."""
    c, services = rig.canaries, rig.services
    connection_id = await rig.connect()
    for number in range(15):
        values = {"firstname": c.person("record"), "lastname": c.secret("record"), "email": c.email("record")}
        values |= {"phone": c.phone("record"), "lifecyclestage": c.secret("record")} if number % 3 else {}
        rig.simulator.store.create(ACCOUNT, "contacts", values)
    manifest = services.connectors.get("hubspot")
    async with services.db.tenant(rig.tenant_id) as session:
        await services.recipes.create(
            session,
            rig.tenant_id,
            SYSTEM,
            connection_id=connection_id,
            connector="hubspot",
            name="Contacts",
            definition=definition_of(manifest.recipe("contacts")),
            schedule_seconds=60,
        )

    async def ask() -> None:
        async with services.db.tenant(rig.tenant_id) as session:
            await services.runs.sync_now(session, rig.tenant_id, connection_id, None, "full")
            await session.execute(
                text("UPDATE work SET due_at = now() WHERE tenant_id = :t AND lease_until IS NULL"),
                {"t": rig.tenant_id},
            )

    async def count(sql: str) -> int:
        async with services.db.tenant(rig.tenant_id) as session:
            return int(await session.scalar(text(sql)) or 0)

    async def synced() -> bool:
        return (
            await count("SELECT count(*) FROM entities") >= 15
            and await count("SELECT count(*) FROM runs WHERE state = 'succeeded'") >= 1
        )

    await ask()
    await until(synced, "first sync")

    def told(status: int, kind: str = "application/json") -> tuple[int, dict[str, str], bytes]:
        message = f'{{"status": "error", "category": "{c.secret("error")}", "message": "{c.email("error")} {c.person("error")}"}}'
        headers = {"content-type": kind, "location": f"https://evil.test/?token={c.secret('location')}"}
        headers |= {"x-trace": c.secret("header"), "set-cookie": f"session={c.secret('cookie')}"}
        return status, headers, message.encode()

    broken = [(200, {"content-type": "application/json"}, f'{{"results": "{c.secret("answer")}'.encode())]
    broken += [(200, {"content-encoding": c.secret("encoding")}, c.secret("answer").encode())]
    broken += [(200, {"content-encoding": "gzip"}, c.secret("answer").encode())]
    broken += [(200, {}, f'{{"results": [{{"id": {{"{c.secret("answer")}": 1}}}}]}}'.encode())]
    for answer in [
        *(told(status) for status in (400, 402, 403, 404, 302, 409, 500, 503)),
        told(500, "text/html"),
        *broken,
    ]:
        given = rig.sandbox.given
        rig.sandbox.answers.append(answer)
        await ask()
        await until(lambda given=given: _more(rig, given), "an answer taken")
        await until(lambda: _nothing_runs(count), "the run ended")

    async def fail(*_args: Any, **_more: Any) -> None:
        met = c.person("exception of a job")
        raise ValueError(f"{met} {c.secret('exception of a job')} {c.email('exception of a job')}")

    with monkeypatch.context() as patch:
        patch.setattr(ProviderClient, "page", fail)
        before = len(c.planted)
        await ask()

        async def failed() -> bool:
            return len(c.planted) > before

        await until(failed, "a job that breaks")
        await until(lambda: _nothing_runs(count), "the broken run ended")


async def _more(rig: Any, given: int) -> bool:
    return rig.sandbox.given > given


async def _nothing_runs(count: Any) -> bool:
    return await count("SELECT count(*) FROM work WHERE lease_until > now()") == 0


async def test_nothing_that_was_planted_is_seen_again(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    c = rig.canaries
    rig.key, _ = await Directory(rig.services.db).create_api_key("product")
    c.known("API key", rig.key)
    stranger = rig.browser()
    owner, csrf = await rig.signed_in("ada@globex.example")
    staff, staff_csrf = await rig.signed_in("chief@trunkline.example")
    product = rig.browser()
    product.headers["authorization"] = f"Bearer {rig.key}"
    for jar in (owner, staff):
        for cookie in jar.cookies.jar:
            if cookie.name == "trunkline_session":  # the form's own cookie belongs into the form
                c.known("session cookie", str(cookie.value))
    await strangers(rig, stranger)
    await failing(rig, owner, monkeypatch)
    await syncing(rig, monkeypatch)
    sent = await every_route(
        rig,
        {
            "stranger": (stranger, ""),
            "/v1": (product, ""),
            "/console": (staff, staff_csrf),
            "/": (owner, csrf),
        },
    )
    for client in (stranger, owner, staff, product):
        await client.aclose()

    said = rig.logs.getvalue()
    # it happened, and was said
    assert len(c.planted) >= 200
    assert sent >= 150
    assert said.count("unexpected_error") >= 8
    assert "run failed" in said
    assert said.count("Traceback") >= 8
    assert len(rig.answers) >= 100
    assert len(rig.valkey) >= 20
    # a value that is there is found
    assert c.found(f"x{next(iter(c.planted))}")
    assert c.found(c.secret().encode().hex())
    assert c.found(c.phone())
    # and yet
    assert not c.found(said), "logs"
    shown = {place: found for place, whole in rig.answers if (found := c.found(without_typed(whole)))}
    assert not shown, "answers"
    assert not c.found("\n".join(rig.valkey)), "Valkey's traffic"
    assert not [line for line in rig.valkey if not plain(line)], "Valkey's traffic has another shape"
    for wrong in (
        "GET login:pair:ada@globex.example",
        "PUBLISH trunkline:work ada",
        "SET trunkline:rate:Ada 1",
    ):
        assert not plain(wrong)
    assert not c.found(await valkey(rig.settings.valkey_url)), "Valkey"
    tables = await rig.database(without=OWN)
    assert {"work", "audit", "issues", "records", "credentials"} <= tables.keys() | {"audit", "credentials"}
    held = {name: found for name, whole in tables.items() if (found := c.found(whole))}
    assert not held, "database"
    # last, for all that is said to Valkey is heard: a value that lies there is found
    hidden = c.secret("Valkey")
    async with Redis.from_url(rig.settings.valkey_url) as client:
        await client.zadd("test:hidden", {f"{hidden} {hidden} {hidden}": 1})
        assert c.found(await valkey(rig.settings.valkey_url))
        await client.delete("test:hidden")


def without_typed(whole: str) -> str:
    """A form that is shown again holds what its own reader typed; passwords and hidden fields never."""
    return re.sub(
        r"<input(?![^>]*type=\"(?:password|hidden))[^>]*>|<textarea.*?</textarea>", "", whole, flags=re.DOTALL
    )


_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_HOLDER = r"[\w.-]+:\d+:[0-9a-f]+"
_WORK = rf"work:{_HOLDER}:\d+"
_WORDS = re.compile(
    "|".join(
        (
            r"[A-Z]+|-?\d+(?:\.\d+)?|-inf|LIB-(?:NAME|VER)|redis-py|\d+\.\d+\.\d+|Server|Memory|Clients",
            rf"{_UUID}|[0-9a-f]{{40}}",
            r"login:(?:pair|account|address|browser):[0-9a-f]{32}",
            rf"trunkline:work(?::{_HOLDER}:\d+(?::health-check)?|)",
            rf"(?:arq:(?:job|in-progress|retry|result):)?{_WORK}|arq:abort",
            rf"trunkline:rate:{_UUID}(?::slow)?",
            rf"trunkline:rate:(?:client:{_UUID}|account:[0-9a-f]{{32}}|{_UUID}):[a-z_*]+:(?:closed|[\d/.]+(?::slow)?)",
            rf"trunkline:breaker:(?:{_UUID}|host:[0-9a-f]{{32}}(?::tenants)?)",
        )
    )
)
_HEALTH = re.compile(r"PSETEX trunkline:work:\S+:health-check \d+ \w+-\d+ [\d:]+ (?:(?:j_\w+|queued)=\d+ ?)+")
_JOB = re.compile(rf"PSETEX arq:job:{_WORK} \d+ (.*)", re.DOTALL)


def plain(line: str) -> bool:
    """Whether what was said to Valkey is ids, fingerprints, numbers, and words that code wrote."""
    if line.startswith("SCRIPT LOAD -- ") or _HEALTH.fullmatch(line):
        return True
    job = _JOB.fullmatch(line)
    if job is None:
        return all(_WORDS.fullmatch(word) for word in line.split())
    try:
        said = msgspec.msgpack.decode(job[1].encode("latin-1").decode("unicode_escape").encode("latin-1"))
    except ValueError:
        return False
    return (said["f"], said["a"], said["k"], set(said)) == ("run_work", [], {}, set("tfak") | {"et"})


async def valkey(url: str) -> str:
    """Every key with all that it holds; a dump as the server writes it may be packed."""
    readers = {
        "string": lambda client, key: client.get(key),
        "hash": lambda client, key: client.hgetall(key),
        "list": lambda client, key: client.lrange(key, 0, -1),
        "set": lambda client, key: client.smembers(key),
        "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
        "stream": lambda client, key: client.xrange(key),
        "none": lambda client, key: client.get(key),  # it ended meanwhile
    }
    async with Redis.from_url(url) as client:
        keys = [key async for key in client.scan_iter()]
        return "\n".join(
            [f"{key} {await readers[(await client.type(key)).decode()](client, key)}" for key in keys]
        )
