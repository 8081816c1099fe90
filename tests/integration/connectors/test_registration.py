"""Addresses are registered at the providers that take that, stay so, and go with the connection."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from journey_kit.journey import Journey, quick
from journey_kit.way import Row

from trunkline.kit.package import Package, open_package
from trunkline.kit.scaffolding import scaffold
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator_clock import wall_now
from trunkline.sdk.simulator_hooks import Webhook
from trunkline.services import build_services
from trunkline.webhooks import repository
from trunkline.webhooks.service import EndpointService
from trunkline.webhooks.sources import opened
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.pipedrive.simulator import PipedriveSimulator
from trunkline_connectors.stripe.simulator import StripeSimulator
from trunkline_connectors.zendesk.simulator import ZendeskSimulator

ORIGIN = "http://127.0.0.1:8700"
_SUBDOMAIN = {"subdomain": "TinyRobots.zendesk.com"}
WAYS = {
    "stripe": (StripeSimulator, "acct_1TLquietvalley03", {}),
    "pipedrive": (PipedriveSimulator, "9120002", {}),
    "zendesk": (ZendeskSimulator, "12510002", _SUBDOMAIN),
}


HOOKS = """
[webhooks]
owner = "connection"
keyed_by = "provider"
type = "event"
id = ["event_id"]
signatures = [{ header = "X-Dock-Signature" }]
kinds = [{ type = "contact.*", stream = "contacts", ids = ["contact.id"], document = "contact" }]

[webhooks.registration]
events = ["contact.created", "contact.changed"]
id = "hook.uid"
secret = "secret"
create = { method = "POST", path = "/api/{api_version}/hooks", body = { url = "{address}", topics = "{events}" } }
reveal = { method = "GET", path = "/api/{api_version}/hooks/{registration}/secret" }
remove = { method = "DELETE", path = "/api/{api_version}/hooks/{registration}" }

[webhooks.registration.listed]
call = { method = "GET", path = "/api/{api_version}/hooks", query = { after = "{cursor}" } }
records = "hooks"
address = "target.url"
works = { pointer = "state", equals = ["on"] }
next = "after"
"""


@pytest.fixture
def partner(tmp_path) -> Package:
    """A scaffolded connector with a registration: its provider is made of manifest and fixtures alone."""
    scaffold("dock", tmp_path)
    manifest = tmp_path / "dock" / "manifest.toml"
    manifest.write_text(manifest.read_text() + HOOKS)
    return open_package(tmp_path / "dock")


class Kept(Journey):
    def there(self) -> list[Webhook]:
        return self.simulator.webhooks.of(self.row.account)

    async def endpoint(self) -> Any:
        async with self.services.db.tenant(self.tenant) as session:
            return await repository.endpoint_of_connection(session, self.tenant, self.connection)  # type: ignore[arg-type]

    async def secret(self, field: str = "secret") -> str | None:
        found = await self.endpoint()
        async with self.services.db.tenant(self.tenant) as session:
            return opened(await self.services.vault.box(session, self.tenant), found, field)

    async def check(self) -> None:
        """As tomorrow, or as somebody who presses the button."""
        await self.rows(
            "UPDATE work SET due_at = now() WHERE tenant_id = :tenant AND kind LIKE 'hook_%' RETURNING id"
        )
        await self.work()

    async def issues(self) -> list[str]:
        rows = await self.rows(
            "SELECT cause FROM issues WHERE tenant_id = :tenant AND resolved_at IS NULL ORDER BY cause"
        )
        return [row.cause for row in rows]

    async def deeds(self) -> list[str]:
        rows = await self.rows("SELECT action FROM audit_entries WHERE tenant_id = :tenant ORDER BY sequence")
        return [row.action for row in rows if row.action.startswith(("hook.", "connection.access"))]

    async def disconnect(self) -> None:
        async with self.services.db.tenant(self.tenant) as session:
            await self.services.connections.disconnect(session, self.tenant, self.connection, self.who)  # type: ignore[arg-type]

    def revoked(self) -> bool:
        return all(grant.revoked_at is not None for grant in self.simulator.oauth.grants.values())


@pytest.fixture
async def make(settings_for, partner) -> AsyncIterator[Callable[..., Any]]:
    running = []

    async def made(name: str, change: Callable[[Manifest], Manifest] = lambda one: one) -> Kept:
        known = [*manifests(), partner.manifest]
        if name == "dock":
            account, typed = "1001", {"subdomain": "globex", "api_key": ""}
            simulator = partner.simulator()(clients=[], now=wall_now)
            typed["api_key"] = simulator.oauth.make_key(account)
            kind = type(simulator)
        else:
            kind, account, typed = WAYS[name]
            simulator = kind(now=wall_now)
        settings = settings_for(simulator)
        connectors = Connectors([change(quick(one)) for one in known if one.name == name])
        services = build_services(settings, connectors, application="test")
        running.append(services)
        row = Row(
            make=kind, account=account, truth=lambda *_: {}, kinds={}, tombstones=(), vanishing=(),
            typed=lambda *_: typed,
        )  # fmt: skip
        kept = Kept(row, name, services, simulator, wall_now)
        await kept.register()
        await kept.connect()
        await kept.work()
        return kept

    yield made
    for services in running:
        await services.close()


@pytest.mark.parametrize("name", [*WAYS, "dock"])
async def test_it_comes_with_the_connection_and_goes_with_it(name, make):
    kept = await make(name)
    (hook,) = kept.there()
    endpoint = await kept.endpoint()
    async with kept.services.db.tenant(kept.tenant) as session:
        assert hook.url == await kept.services.hooks.address(session, endpoint)
    assert (endpoint.state, endpoint.registration, endpoint.cause) == ("registered", hook.id, None)
    assert await kept.secret() == hook.secret
    assert hook.secret.encode() not in endpoint.secret
    assert await kept.deeds() == ["hook.registered"]
    await kept.check()
    assert [one.id for one in kept.there()] == [hook.id]

    # somebody removes it there: the check makes it anew, and what the old one signed counts for a day
    kept.simulator.webhooks.remove(hook.id)
    await kept.check()
    (again,) = kept.there()
    assert again.id != hook.id
    assert (await kept.secret(), await kept.secret("previous_secret")) == (again.secret, hook.secret)

    # switched off, or pointing to where this installation was before
    kept.simulator.webhooks.get(kept.row.account, again.id).active = False
    await kept.check()
    (third,) = kept.there()
    third.url = third.url.replace("127.0.0.1:8700", "before.test")
    await kept.check()
    (fourth,) = kept.there()
    assert (fourth.active, fourth.url) == (True, hook.url)
    assert await kept.deeds() == ["hook.registered", *["hook.repaired"] * 3]

    # another secret: both count, and one is left
    await kept.rows("UPDATE hook_endpoints SET previous_until = NULL WHERE tenant_id = :tenant RETURNING id")
    async with kept.services.db.tenant(kept.tenant) as session:
        await kept.services.hooks.rotate_registered(session, kept.tenant, kept.connection, kept.who)
    await kept.check()
    (fifth,) = kept.there()
    assert (await kept.secret(), await kept.secret("previous_secret")) == (fifth.secret, fourth.secret)
    assert len({hook.secret, again.secret, third.secret, fourth.secret, fifth.secret}) == 5
    assert (await kept.deeds())[-2:] == ["hook.rotation_asked", "hook.rotated"]

    # theirs are not ours to remove
    kept.simulator.webhooks.add(msgspec.structs.replace(fifth, id="900", url="https://other.test/hook"))
    await kept.disconnect()
    assert not kept.revoked()
    await kept.work()
    assert [one.id for one in kept.there()] == ["900"]
    assert kept.revoked() == (name != "dock")  # a key that was pasted is its owner's to take back
    assert (await kept.endpoint()).state == "removed"
    assert (await kept.deeds())[-1] == "connection.access_ended"
    assert await kept.rows("SELECT 1 FROM credentials WHERE tenant_id = :tenant") == []


async def test_whoever_dies_between_making_and_writing_it_down_leaves_one(make, monkeypatch):
    """For Stripe, whose secret is told once: what was made and not written down cannot be used."""
    registered = EndpointService.registered
    died = []

    async def dies(self: Any, *given: Any) -> None:
        if not died:
            died.append(given)
            raise ConnectionResetError
        await registered(self, *given)

    monkeypatch.setattr(EndpointService, "registered", dies)
    kept = await make("stripe")
    (orphan,) = kept.there()
    assert (await kept.endpoint()).registration is None
    await kept.check()
    (hook,) = kept.there()
    assert hook.id != orphan.id
    assert await kept.secret() == hook.secret

    # a full account is told of until there is room
    kept.simulator.webhooks.remove(hook.id)
    for number in range(16):
        kept.simulator.webhooks.add(
            Webhook(id=f"we_{number}", account=kept.row.account, url="https://other.test/", secret="s")
        )
    await kept.check()
    assert (await kept.endpoint()).state == "refused"
    assert await kept.issues() == ["webhook_limit"]
    kept.simulator.webhooks.remove("we_3")
    await kept.check()
    assert await kept.issues() == []
    assert len(kept.there()) == 16


async def test_without_the_permission_there_are_words_and_no_call(make):
    def narrow(manifest: Manifest) -> Manifest:
        scopes = tuple(one for one in manifest.auth.scopes if not one.startswith("webhooks"))
        return msgspec.structs.replace(manifest, auth=msgspec.structs.replace(manifest.auth, scopes=scopes))

    kept = await make("pipedrive", narrow)
    assert kept.there() == []
    endpoint = await kept.endpoint()
    assert (endpoint.state, endpoint.cause) == ("refused", "webhook_scope")
    assert await kept.issues() == ["webhook_scope"]
    assert await kept.state() == "active"
    assert "/v1/webhooks" not in {run.path for run in kept.simulator.log.runs()}

    # a person enters it by hand: no issue any more, and no check takes it from them
    async with kept.services.db.tenant(kept.tenant) as session:
        shown = await kept.services.hooks.by_hand(session, kept.tenant, kept.connection, kept.who)
    await kept.check()
    assert shown.startswith("trunkline:")
    assert (await kept.secret(), (await kept.endpoint()).state) == (shown, "active")
    assert await kept.issues() == []


async def test_a_provider_that_is_away_keeps_the_grant_until_the_webhook_is_gone(make):
    kept = await make("zendesk")
    kept.simulator.faults.add("500", requests=1, path="/api/v2/webhooks")
    await kept.disconnect()
    await kept.work()
    assert (len(kept.there()), kept.revoked()) == (1, False)
    await kept.check()
    assert (kept.there(), kept.revoked()) == ([], True)


async def test_a_grant_that_is_gone_keeps_nobody_waiting(make):
    kept = await make("pipedrive")
    for grant in kept.simulator.oauth.grants.values():
        kept.simulator.oauth.revoke_grant(grant.id)
    await kept.disconnect()
    await kept.work()
    assert (await kept.endpoint()).state == "left"
    assert await kept.rows("SELECT 1 FROM work WHERE tenant_id = :tenant AND kind LIKE 'hook_%'") == []
