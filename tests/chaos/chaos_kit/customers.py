"""The tenants of a rig, and what their people do: connect, set recipes up, press sync, reconnect what asks for it."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import httpx2
import msgspec
from chaos_kit.accounts import KINDS, MARK_TARGET, MODELS
from chaos_kit.installation import connectors
from chaos_kit.provider_process import CLIENT
from sqlalchemy import text

from trunkline.connections.cookies import cookie_name
from trunkline.connections.errors import FlowRefusedError
from trunkline.deliveries.schemas import EndpointIn
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.principal import SYSTEM, Principal
from trunkline.kernel.settings import Settings
from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.services import Services, build_services
from trunkline.work.errors import DATABASE_AWAY
from trunkline_tenants.directory import Directory

SHARED = "all"
"""Name of the one endpoint that every tenant's events go to."""
CALLBACK = "/oauth/callback/hubspot"
ORIGIN = "http://127.0.0.1:1"
_NAME = "(text(record.firstname) + ' ' + text(record.lastname)).trim()"
MAPPINGS = {
    "contacts": (
        Mapping(target="email", source="email"),
        Mapping(target="first_name", source="firstname"),
        Mapping(target="last_name", source="lastname"),
        Mapping(target="full_name", kind="expression", expression=_NAME),
        Mapping(target=MARK_TARGET["contacts"], source="jobtitle"),
        Mapping(target="company_name", source="company"),
    ),
    "companies": (
        Mapping(target="name", source="name"),
        Mapping(target="domain", source="domain"),
        Mapping(target=MARK_TARGET["companies"], source="phone"),
    ),
}


def expected(kind: str, values: dict[str, str | None]) -> dict[str, str]:
    """What the recipe must make of a record, worked out without the product; nulls are left out."""
    if kind == "contacts":
        first, last = values.get("firstname") or "", values.get("lastname") or ""
        made = {
            "email": values.get("email"),
            "first_name": first,
            "last_name": last,
            "full_name": f"{first} {last}".strip(),
            "job_title": values.get("jobtitle"),
            "company_name": values.get("company"),
        }
    else:
        made = {name: values.get(name) for name in ("name", "domain", "phone")}
    return {name: value for name, value in made.items() if value}


class Customer(msgspec.Struct, kw_only=True):
    account: str
    slug: str
    tenant_id: UUID
    connection_id: UUID
    person: Principal


class Customers:
    """`settings`: the straight ways, past the proxies. `receiver`: where our webhooks go; empty: nowhere."""

    def __init__(
        self,
        settings: Settings,
        *,
        accounts: Sequence[str],
        note: Callable[..., None],
        receiver: str = "",
    ) -> None:
        self._settings = msgspec.structs.replace(settings, public_url=ORIGIN)
        self.services: Services = build_services(self._settings, connectors(), application="rig")
        self._accounts = accounts
        self._note = note
        self._receiver = receiver
        self._endpoints: dict[UUID, UUID] = {}
        self._provider = httpx2.AsyncClient(base_url=settings.sandbox_url, timeout=30, trust_env=False)
        self.all: list[Customer] = []
        self.key = ""

    @property
    def listening(self) -> bool:
        """Whether the product asked for events."""
        return bool(self._receiver)

    async def close(self) -> None:
        await self._provider.aclose()
        await self.services.provider.close()
        await self.services.close()

    async def control(self, deed: str, **given: Any) -> Any:
        """Of the provider's process."""
        return (await self._provider.post(f"/chaos/{deed}", json=given)).raise_for_status().json()

    async def truth(self) -> Any:
        """The ledger, by account; documents as a list would give them with the fields that we ask for."""
        manifest = connectors().get("hubspot")
        names = {kind: sorted(manifest.stream(kind).field_names) for kind in KINDS}  # type: ignore[union-attr]
        return await self.control("truth", names=names)

    async def settle_in(self) -> None:
        """All tenants, connected, with recipes: the first passes are due."""
        services = self.services
        await services.start()
        directory = Directory(services.db)
        self.key, _ = await directory.create_api_key("Chaos")
        async with services.db.tenant(OPERATOR) as session:
            await services.connections.clients.register(
                session, OPERATOR, "hubspot", client_id=CLIENT.client_id, secret=CLIENT.client_secret
            )
        await self._listen(OPERATOR, SYSTEM, SHARED, types=["connection.*", "record.deleted"])
        for index, account in enumerate(self._accounts):
            tenant = await directory.create_tenant(f"t{index:02d}", f"Tenant {index}")
            person = Principal(kind="member", id=str(uuid4()), role="owner", label="Ada", tenant_id=tenant.id)
            await self._listen(
                tenant.id, person, tenant.slug, types=["record.*"], payload="full", ordering="record"
            )
            connection_id = await self._travel(tenant.id, person, account, None)
            self.all.append(
                Customer(
                    account=account,
                    slug=tenant.slug,
                    tenant_id=tenant.id,
                    connection_id=connection_id,
                    person=person,
                )
            )
            async with services.db.tenant(tenant.id) as session:
                for kind in KINDS:
                    await services.recipes.create(
                        session,
                        tenant.id,
                        person,
                        connection_id=connection_id,
                        connector="hubspot",
                        name=kind,
                        definition=RecipeDefinition(stream=kind, model=MODELS[kind], mappings=MAPPINGS[kind]),
                        schedule_seconds=60,
                    )

    async def _listen(self, owner: UUID, principal: Principal, name: str, **given: Any) -> None:
        """The product asks for events, before anything happens that they tell of."""
        if not self._receiver:
            return
        path = f"/receiver/{name}"
        data = EndpointIn(url=f"{self._receiver}{path}", **given)
        async with self.services.db.tenant(owner) as session:
            view, secret = await self.services.deliveries.create(session, owner, principal, data)
        self._endpoints[owner] = view.id
        await self.control("expect", path=path, secret=secret)

    async def send_tests(self) -> None:
        """Everybody presses the button that sends a test event."""
        for customer in self.all:
            tenant_id = customer.tenant_id
            with contextlib.suppress(*DATABASE_AWAY, TimeoutError):
                async with self.services.db.tenant(tenant_id) as session:
                    await self.services.deliveries.test(
                        session, tenant_id, self._endpoints[tenant_id], customer.person
                    )

    async def be_told(self, web: str, **given: Any) -> None:
        """The provider tells of its edits from now on. `web`: origin of the web process. `given`: see `Postman.aim`."""
        async with self.services.db.tenant(OPERATOR) as session:
            view = await self.services.hooks.of_client(session, OPERATOR, "hubspot")
        await self.control(
            "aim", url=web + view.url.removeprefix(ORIGIN), secret=CLIENT.client_secret, **given
        )

    async def _travel(
        self, tenant_id: UUID, person: Principal, account: str, connection_id: UUID | None
    ) -> UUID:
        """To the provider's consent page and back."""
        connections = self.services.connections
        async with self.services.db.tenant(tenant_id) as session:
            begun = await connections.begin(
                session, tenant_id, person, "hubspot", via="portal", connection_id=connection_id
            )
        query = dict(parse_qsl(urlsplit(begun.url).query))
        answer = await self._provider.post(
            "/hubspot/_control/api/authorize", json={"account": account, "query": query}
        )
        back = dict(parse_qsl(urlsplit(answer.raise_for_status().json()["location"]).query))
        cookies = {cookie_name(begun.state_hash, secure=False): begun.flow}
        finished = await connections.finish("hubspot", CALLBACK, back, cookies, person)
        return finished.connection_id

    async def mend(self) -> int:
        """Reconnects what asks for it; how many are still to be reconnected."""
        async with self.services.db.system() as session:
            rows = await session.execute(
                text("SELECT id FROM connections WHERE state = 'reconnect_required'")
            )
            broken = set(rows.scalars())
        left = 0
        for customer in self.all:
            if customer.connection_id not in broken:
                continue
            try:
                await self._travel(
                    customer.tenant_id, customer.person, customer.account, customer.connection_id
                )
                self._note("reconnected", tenant=customer.slug)
            except (FlowRefusedError, httpx2.HTTPError):  # a bad day at the provider's: once more later
                left += 1
        return left

    async def keep_mending(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            with contextlib.suppress(*DATABASE_AWAY, TimeoutError):
                await self.mend()


class Visitors:
    """The product's backend, over the web process: presses sync, and follows every tenant's change feed."""

    def __init__(self, url: str, customers: Customers, seed: int) -> None:
        self._client = httpx2.AsyncClient(
            base_url=url,
            timeout=20,
            trust_env=False,
            headers={"authorization": f"Bearer {customers.key}"},
        )
        self._customers = customers
        self._rng = random.Random(f"visitors:{seed}")
        self.cursors: dict[UUID, int] = {}
        self.seen: dict[UUID, list[tuple[int, str, int, str]]] = {}
        """Tenant -> (position, entity, revision, operation), in the order in which they came."""
        self.refused = 0
        """Answers that were none: the web process or what it stands on was away."""

    async def close(self) -> None:
        await self._client.aclose()

    async def press_sync(self, every: float) -> None:
        while True:
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) * every)
            await self.sync(self._rng.choice(self._customers.all))

    async def sync(self, customer: Customer) -> None:
        with contextlib.suppress(httpx2.HTTPError):
            answer = await self._client.post(
                f"/v1/connections/{customer.connection_id}/sync",
                headers={"trunkline-tenant": customer.slug},
            )
            self.refused += answer.status_code >= 500

    async def follow(self, every: float) -> None:
        while True:
            for customer in self._customers.all:
                await self.read_on(customer)
                await asyncio.sleep(every / len(self._customers.all))

    async def read_on(self, customer: Customer) -> bool:
        """One page of the feed; True: the head is reached."""
        after = self.cursors.get(customer.tenant_id, 0)
        try:
            answer = await self._client.get(
                "/v1/changes",
                params={"after": after, "limit": 500},
                headers={"trunkline-tenant": customer.slug},
            )
            page = answer.raise_for_status().json()
        except httpx2.HTTPError:
            self.refused += 1
            return False
        seen = self.seen.setdefault(customer.tenant_id, [])
        seen += [
            (one["position"], one["entity_id"], one["revision"], one["operation"]) for one in page["changes"]
        ]
        self.cursors[customer.tenant_id] = page["next"]
        return bool(page["next"] == page["head"])

    async def read_to_the_end(self, seconds: float) -> Sequence[str]:
        """Slugs of tenants whose feed could not be read to its head."""
        left = {customer.slug: customer for customer in self._customers.all}
        async with asyncio.timeout(seconds):
            while left:
                for slug, customer in list(left.items()):
                    if await self.read_on(customer):
                        del left[slug]
                await asyncio.sleep(0.1)
        return list(left)
