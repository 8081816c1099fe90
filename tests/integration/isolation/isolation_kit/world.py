"""Three tenants in one installation, everybody who can call it, and the whole application to be attacked."""

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import insert, select
from ui_kit.factory import Factory
from ui_kit.rows import Made

from trunkline.access.schemas import ConnectSessionIn, EndUser
from trunkline.actions import repository as action_calls
from trunkline.audit.service import append
from trunkline.deliveries import endpoint_repository, keyring
from trunkline.deliveries import repository as deliveries
from trunkline.deliveries.schemas import EndpointView, Exchange
from trunkline.health.issues import open_issue
from trunkline.health.models import Issue
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.main import connectors, web_app
from trunkline.readers import repository as readers
from trunkline.reviews import repository as reviews
from trunkline.services import Services, build_services
from trunkline.vault.sealed import place
from trunkline.webhooks import own_systems
from trunkline.webhooks.models import InboundAttempt, InboundEvent, Replay
from trunkline.work.models import Work
from trunkline_tenants.directory import Directory
from trunkline_tenants.seed import seed_people

PASSWORD = "correct horse battery"
ORIGIN = "http://testserver.local"
PRODUCT = "https://product.example"
MARK = "Kept-from-others"
"""Stands in every text of every tenant, followed by its slug."""

ATTACKER, VICTIMS = "globex", ("initech", "umbra")


class Ids(msgspec.Struct, kw_only=True):
    """What a tenant has, by kind of id, as a caller writes it."""

    slug: str
    tenant_id: UUID
    uuids: dict[str, str]
    texts: dict[str, str]


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: tuple[tuple[str, str], ...]
    body: str

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


class Who(msgspec.Struct, kw_only=True):
    """A caller and what identifies it."""

    name: str
    role: str
    cookies: dict[str, str] = {}
    headers: dict[str, str] = {}
    csrf: str = ""


class World:
    """Made by `create`; `close` in the same event loop."""

    def __init__(self, settings: Settings, services: Services, owner: asyncpg.Connection) -> None:
        self.settings, self.services, self.owner = settings, services, owner
        self.directory = Directory(services.db)
        self.rows = Factory(services)
        self.app = web_app(settings)
        self.tenants: dict[str, Ids] = {}
        self.victims: list[Ids] = []
        self.callers: list[Who] = []

    @classmethod
    async def create(cls, database_url: str, valkey_url: str, folder: Path, *, sets: int = 1) -> "World":
        """`sets`: how many rows of every kind each victim has."""
        settings = Settings(
            public_url=ORIGIN,
            database_url=database_url,
            valkey_url=valkey_url,
            data=folder,
            sandbox_url="http://127.0.0.1:9",
            access_log=False,
            env="production",  # what development rereads at every page costs more than the attack
        )
        services = build_services(settings, connectors(), application="isolation")
        world = cls(settings, services, await asyncpg.connect(database_url))
        seeded = await seed_people(world.directory, member_password=PASSWORD, staff_password=PASSWORD)
        async with services.db.tenant(OPERATOR) as session:
            await services.connections.clients.register(
                session, OPERATOR, "hubspot", client_id="client", secret="secret"
            )
        for slug, tenant in seeded.tenants.items():
            for _ in range(1 if slug == ATTACKER else sets):
                world.tenants[slug] = await world.furnish(slug, tenant.id)
                if slug != ATTACKER:
                    world.victims.append(world.tenants[slug])
        await world._callers()
        await world._login_sessions()
        return world

    async def close(self) -> None:
        await self.owner.close()
        await self.services.close()
        await self.app.dependencies["db"].dependency().dispose()

    async def furnish(self, slug: str, tenant_id: UUID) -> Ids:
        """A row of every kind. `texts`: ids that are no UUIDs."""
        text, db, access = f"{MARK}-{slug}", self.services.db, self.services.access
        rows = self.rows
        connection = await rows.connection(
            tenant_id, name=text, account_label=text, account_id=f"{text}-{new_id().hex}"
        )
        await rows.stream(tenant_id, connection)
        run = await rows.run(tenant_id, connection)
        recipe = await rows.recipe(tenant_id, connection, name=text)
        external = f"{text}-{new_id().hex}"
        await rows.record(tenant_id, connection, run, external, {"id": external})
        made = Made(tenant_id, connection, "contacts", run, recipe, external)
        last = await self.owner.fetchval(
            "SELECT coalesce(max(position), 0) FROM changes WHERE tenant_id = $1", tenant_id
        )
        entity = await rows.entity(made, external, [{"first_name": text}], first_position=last + 1)
        who = Principal(kind="member", id=str(new_id()), role="owner", label=text, tenant_id=tenant_id)
        async with db.tenant(tenant_id) as session:
            await open_issue(session, tenant_id, connection, "mapping_failed", stream="contacts")
            issue = await session.scalar(
                select(Issue.id).where(Issue.tenant_id == tenant_id, Issue.connection_id == connection)
            )
            await append(session, who, "connection.renamed", "connection", connection, after={"name": text})
            work = new_id()
            await session.execute(
                insert(Work).values(tenant_id=tenant_id, id=work, kind="note", key=f"{text}-{work}")
            )
            begun = await self.services.connections.begin(session, tenant_id, who, "hubspot", via="portal")
            connect = await access.create(
                session,
                tenant_id,
                msgspec.structs.replace(who, kind="api_key", role="product"),
                ConnectSessionIn(end_user=EndUser(text, text), connectors=["hubspot"], origin=PRODUCT),
            )
        feed = f"{text}-{new_id().hex}".lower()[:60]
        async with db.tenant(tenant_id) as session:
            await readers.make_feed(session, tenant_id, feed, 0)  # past the service's limit
            review = new_id()
            await reviews.add(
                session,
                tenant_id,
                review,
                connection_id=connection,
                stream="contacts",
                count=60,
                total=100,
                doubtful=False,
                sample=[external],
                run_id=run,
            )
            call, box = new_id(), await self.services.vault.box(session, tenant_id)
            await action_calls.add(
                session,
                {
                    "tenant_id": tenant_id,
                    "id": call,
                    "connection_id": connection,
                    "action": "update_deal_stage",
                    "state": "failed",
                    "count": 1,
                    "input": box.seal(text.encode(), place("action_calls", call, field="input")),
                    "key_version": box.version,
                    "asked_by": text,
                    "result_id": external,
                },
            )
        endpoint, delivery = await self._webhook(tenant_id, who, text)
        event, replay = await self._inbound(tenant_id, connection, text)
        # the attack makes more than a customer may
        with patch.object(own_systems, "MOST", 1_000_000):
            async with self.services.db.tenant(tenant_id) as session:
                system, _ = await self.services.systems.make(session, tenant_id, text, who)
        user = await self.owner.fetchval(
            "SELECT user_id FROM members WHERE tenant_id = $1 LIMIT 1", tenant_id
        )
        key = (await self.directory.create_api_key(text, tenant_id=tenant_id))[1].id
        uuids = {
            "connection": connection,
            "run": run,
            "recipe": recipe,
            "entity": entity,
            "issue": issue,
            "review": review,
            "endpoint": endpoint,
            "delivery": delivery,
            "event": event,
            "replay": replay,
            "call": call,
            "system": system.id,
            "work": work,
            "session": connect.id,
            "user": user,
            "key": key,
            "tenant": tenant_id,
        }
        state = parse_qs(urlsplit(begun.url).query)["state"][0]
        return Ids(
            slug=slug,
            tenant_id=tenant_id,
            uuids={kind: str(value) for kind, value in uuids.items()},
            texts={"external": external, "feed": feed, "slug": slug, "state": state, "token": connect.token},
        )

    async def _inbound(self, tenant_id: UUID, connection: UUID, text: str) -> tuple[UUID, UUID]:
        """An event that arrived, with an attempt at it, and a replay that was planned."""
        event, replay, moment = new_id(), new_id(), datetime.now(UTC)
        async with self.services.db.tenant(tenant_id) as session:
            box = await self.services.vault.box(session, tenant_id)
            session.add(
                InboundEvent(
                    tenant_id=tenant_id,
                    id=event,
                    source_id=connection,
                    identity=event.bytes,
                    connection_id=connection,
                    endpoint_id=new_id(),
                    connector="hubspot",
                    event_id=text,
                    type=text,
                    received_at=moment,
                    verdict="verified",
                    headers=box.seal(b"{}", place("inbound_events", event, field="headers")),
                    body=box.seal(text.encode(), place("inbound_events", event, field="body")),
                    key_version=box.version,
                    size=len(text),
                    address=text,
                    request_id=text,
                    expires_at=moment + timedelta(days=30),
                    state="dead",
                    attempts=1,
                    stream="contacts",
                    external_ids=[text],
                    differs=text,
                )
            )
            await session.flush()
            session.add(
                InboundAttempt(tenant_id=tenant_id, event_id=event, number=1, label="initial", outcome="dead")
            )
            session.add(
                Replay(
                    tenant_id=tenant_id,
                    id=replay,
                    connection_id=connection,
                    filter={},
                    state="planned",
                    total=1,
                    calls=1,
                    up_to=event,
                    created_by=text,
                    reason=text,
                )
            )
        return event, replay

    async def _webhook(self, tenant_id: UUID, who: Principal, text: str) -> tuple[UUID, UUID]:
        """An endpoint, and a delivery to it with an attempt."""
        service = self.services.deliveries
        async with self.services.db.tenant(tenant_id) as session:
            view = EndpointView(
                tenant_id=tenant_id,
                id=new_id(),
                url=f"https://hooks.example/{text}",
                description=text,
                types=["*"],
                full_data=True,
                ordering="none",
                concurrency=4,
                rate=None,
                created_by=text,
                created_at=datetime.now(UTC),
                failing_since=None,
                noticed_at=None,
                resting_until=None,
                disabled_at=None,
                disabled_cause=None,
            )
            await endpoint_repository.add_endpoint(session, view)  # past the service's limit
            await keyring.add_secret(session, self.services.vault, tenant_id, view.id)
        async with self.services.db.tenant(tenant_id) as session:
            event = await service.test(session, tenant_id, view.id, who)
        async with self.services.db.tenant(tenant_id) as session:
            (found,) = await service.deliveries(session, tenant_id, endpoint_id=view.id)
            assert found.event_id == event
            box = await self.services.vault.box(session, tenant_id)
            exchange = Exchange(url=view.url, request={}, response={"server": text}, body=text, cut=False)
            await deliveries.add_attempt(
                session,
                tenant_id,
                found.id,
                1,
                trigger="test",
                status=200,
                cause=None,
                took_ms=1,
                answer=keyring.seal_exchange(box, exchange, found.id, 1),
                version=box.version,
                at=datetime.now(UTC),
            )
        return view.id, found.id

    async def _callers(self) -> None:
        home = self.tenants[ATTACKER]
        for name, email, role in (
            ("owner", "ada@globex.example", "owner"),
            ("admin", "grace@globex.example", "admin"),
            ("viewer", "vera@globex.example", "viewer"),
            ("support", "support@trunkline.example", "support"),
            ("staff admin", "chief@trunkline.example", "staff_admin"),
        ):
            self.callers.append(await self.sign_in(name, email, role))
        bound, _ = await self.directory.create_api_key("bound", tenant_id=home.tenant_id)
        whole, _ = await self.directory.create_api_key("whole")
        self.callers.append(
            Who(name="bound key", role="product", headers={"authorization": f"Bearer {bound}"})
        )
        named = {"authorization": f"Bearer {whole}", "trunkline-tenant": home.slug}
        self.callers.append(Who(name="installation key", role="product", headers=named))
        self.callers.append(Who(name="nobody", role="end_user"))

    async def sign_in(self, name: str, email: str, role: str) -> Who:
        who = Who(name=name, role=role)
        await self.keep(who, await self.ask(who, "GET", "/login"))
        form = {"email": email, "password": PASSWORD, "csrf_token": who.cookies["trunkline_form"]}
        answer = await self.ask(who, "POST", "/login", form=form)
        assert answer.status == 303, answer.body[:2000]
        await self.keep(who, answer)
        home = await self.ask(who, "GET", "/console" if role in {"support", "staff_admin"} else "/portal")
        who.csrf = home.body.partition('name="csrf-token" content="')[2].partition('"')[0]
        assert who.csrf, home.body[:2000]
        return who

    async def keep(self, who: Who, answer: Answer) -> None:
        for key, value in answer.headers:
            if key == "set-cookie":
                name, _, rest = value.partition("=")
                who.cookies[name] = rest.partition(";")[0]

    async def _login_sessions(self) -> None:
        """Others' browsers, which only they may end."""
        for slug, email in (("initech", "peter@initech.example"), ("umbra", "iris@umbra.example")):
            await self.sign_in(slug, email, "owner")
        rows = await self.owner.fetch(
            "SELECT tenant_id, to_jsonb(login_sessions)->>'id' AS id FROM login_sessions ORDER BY created_at"
        )
        for row in rows:
            for ids in self.tenants.values():
                if row["id"] and row["tenant_id"] == ids.tenant_id:
                    ids.uuids["login"] = row["id"]
            for ids in self.victims:
                ids.uuids.setdefault("login", self.tenants[ids.slug].uuids.get("login", str(new_id())))

    async def ask(
        self,
        who: Who,
        method: str,
        path: str,
        *,
        query: str = "",
        form: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request, straight into the application: as a browser or a backend of `who` would send it."""
        sent = {"host": "testserver.local", **who.headers, **(headers or {})}
        content = b""
        if form is not None:
            content, sent["content-type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif body is not None:
            content, sent["content-type"] = msgspec.json.encode(body), "application/json"
        if method not in {"GET", "HEAD"}:
            sent |= {"origin": ORIGIN, "content-length": str(len(content))}
        if who.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in who.cookies.items())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("testserver.local", 80),
        }
        status, got, parts, begun = 0, [], [], False

        async def receive() -> dict[str, Any]:
            nonlocal begun
            if begun:
                return {"type": "http.disconnect"}
            begun = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                got.extend((name.decode().lower(), value.decode()) for name, value in message["headers"])
            else:
                parts.append(message.get("body", b""))

        await self.app(scope, receive, send)
        return Answer(status, tuple(got), b"".join(parts).decode("utf-8", "replace"))

    async def fingerprint(self, slug: str) -> dict[str, str]:
        """Of every row that a tenant has, by table."""
        tables = await self.owner.fetch(
            """SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
               WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p')
                 AND c.relnamespace = 'public'::regnamespace"""
        )
        found = {}
        for (table,) in tables:
            if table not in {"login_sessions", "api_keys"}:  # "last seen" is not a change
                found[table] = await self.owner.fetchval(
                    f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \"{table}\" t"
                    " WHERE tenant_id = $1",
                    self.tenants[slug].tenant_id,
                )
        return found


def never(kind: str, slug: str = "") -> str:
    """A value of the kind's shape that never existed."""
    if kind == "external":
        return f"{MARK}-{slug or 'nobody'}-{new_id().hex}"
    if kind == "slug":
        return f"never-{new_id().hex[:8]}"
    if kind in {"state", "token"}:
        return base64.urlsafe_b64encode(hashlib.sha256(new_id().bytes).digest()).decode().rstrip("=")
    return str(new_id())
