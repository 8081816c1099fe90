"""`trunkline hooks`: the addresses that providers' apps deliver webhooks to."""

import asyncio
from typing import TYPE_CHECKING, Any

import click

from trunkline.cli.failures import Failure
from trunkline.kernel.settings import Settings

if TYPE_CHECKING:
    from trunkline.cli.composition import Composition


def add_hooks(cli: click.Group, composition: "Composition") -> None:
    @cli.group()
    def hooks() -> None:
        """Webhooks that providers send."""

    @hooks.command()
    @click.argument("connector")
    def address(connector: str) -> None:
        """Where the operator's app is to send its webhooks: enter it there. Made at first asking."""
        from trunkline.cli.attach import with_database

        with with_database(Settings.load()) as settings:
            click.echo(asyncio.run(address_of(settings, composition.connectors(), connector)))


async def address_of(settings: Settings, connectors: Any, connector: str) -> str:
    """Raises Failure."""
    from trunkline.kernel.db import OPERATOR, Database
    from trunkline.kernel.errors import NotFoundError
    from trunkline.packages.shelf import PackageShelf
    from trunkline.vault.providers import key_provider
    from trunkline.vault.service import Vault
    from trunkline.webhooks.service import EndpointService

    db = Database(settings.database_url, pool_size=1, application="hooks")
    service = EndpointService(settings, Vault(key_provider(settings)), connectors)
    connectors.use(PackageShelf(db))
    try:
        await connectors.refresh()
        async with db.tenant(OPERATOR) as session:
            return (await service.of_client(session, OPERATOR, connector)).url
    except NotFoundError as error:
        raise Failure(
            f"{connector!r} has no app of the operator's that gets webhooks at one address: either it is not "
            "registered here, or its provider delivers to an address of each connection, or not at all."
        ) from error
    finally:
        await db.dispose()
