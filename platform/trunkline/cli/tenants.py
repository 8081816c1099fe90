"""`trunkline tenants`: how much of the workers one gets, and the end of one."""

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import click

from trunkline.cli.failures import Failure
from trunkline.kernel.settings import Settings

if TYPE_CHECKING:
    from trunkline.cli.composition import Composition


def add_tenants(cli: click.Group, composition: "Composition") -> None:
    @cli.group()
    def tenants() -> None:
        """The customers of this installation."""

    @tenants.command(epilog="Stopped half-way, it goes on when called again.")
    @click.argument("slug")
    @click.option("--yes", "confirmed", metavar="SLUG", help="The slug again, instead of being asked for it.")
    def shred(slug: str, confirmed: str | None) -> None:
        """Destroy everything of a tenant, for ever.

        Revokes its grants at the providers, destroys its keys, removes its rows. Nothing of it can be opened
        afterwards, not from backups of the database either; backups of the folder of tenants' keys
        (TRUNKLINE_TENANT_KEYS) must forget this tenant's file.
        """
        if confirmed is None:
            click.echo(f"This destroys everything of the tenant {slug} and cannot be undone.", err=True)
            confirmed = click.prompt("Type its slug again", err=True)
        if confirmed != slug:
            raise Failure("The slugs differ; nothing was done.")
        click.echo(_shred(composition, slug))

    @tenants.command()
    @click.argument("slug")
    @click.argument("number", type=click.IntRange(1, 100))
    def weight(slug: str, number: int) -> None:
        """How many turns a tenant's work gets for each turn of one with weight 1, while both wait.

        Caps in flight stay as they are. It counts from the next round of dispatching.
        """
        from trunkline.cli.attach import with_database

        with with_database(Settings.load()) as settings:
            asyncio.run(_weigh(settings, slug, number))
        click.echo(f"The tenant {slug} has weight {number}.")


async def _weigh(settings: Settings, slug: str, number: int) -> None:
    from trunkline.kernel.db import Database
    from trunkline.work import backlog

    db = Database(settings.database_url, pool_size=1, application="tenants")
    try:
        async with db.system() as system:
            if not await backlog.weigh(system, slug, number):
                raise Failure(f"There is no tenant {slug!r}.")
    finally:
        await db.dispose()


def _shred(composition: "Composition", slug: str) -> str:
    from trunkline.cli.attach import with_database
    from trunkline.vault.errors import VaultError

    try:
        with with_database(Settings.load()) as settings:
            return asyncio.run(_run(composition, settings, slug))
    except VaultError as error:
        raise Failure(str(error)) from error


async def _run(composition: "Composition", settings: Settings, slug: str) -> str:
    from trunkline.connections.service import ConnectionService
    from trunkline.kernel.db import Database
    from trunkline.kernel.egress import Egress
    from trunkline.kernel.principal import SYSTEM
    from trunkline.runs.events import RunEvents
    from trunkline.runs.service import RunService
    from trunkline.sdk.endpoints import Endpoints
    from trunkline.vault import repository
    from trunkline.vault.providers import key_provider
    from trunkline.vault.service import Vault
    from trunkline.vault.shredding import Shredder
    from trunkline.work.queue import WorkQueue

    db, egress = Database(settings.database_url, pool_size=4, application="shred"), Egress(settings)
    try:
        async with db.system() as system:
            found = {name: tenant_id for tenant_id, name in await repository.tenants(system)}
            before = await repository.shredded_slug(system, slug)
        tenant_id = found.get(slug) or (before and not before.finished_at and before.tenant_id)
        if not tenant_id and before is not None:
            return f"The tenant {slug} was shredded on {before.finished_at:%Y-%m-%d at %H:%M} UTC."
        if not tenant_id:
            raise Failure(f"There is no tenant {slug!r}.")
        vault, work = Vault(key_provider(settings)), WorkQueue()
        connections = ConnectionService(
            settings,
            db,
            composition.connectors(),
            Endpoints(settings),
            egress,
            vault,
            work,
            RunEvents(RunService(work, vault)),
        )

        async def disconnect(tenant_id: UUID, connection_id: UUID) -> None:
            async with db.tenant(tenant_id) as session:
                await connections.disconnect(
                    session, tenant_id, connection_id, SYSTEM, reason="The tenant is being shredded."
                )

        removed = await Shredder(db, vault, disconnect, lambda line: click.echo(line, err=True)).shred(
            tenant_id, slug
        )
    finally:
        await egress.close()
        await db.dispose()
    return (
        f"The tenant {slug} is shredded: its keys are destroyed and {sum(removed.values()):,} rows removed."
    )
