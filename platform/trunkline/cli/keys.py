"""`trunkline keys`: what wraps whose data keys, and new ones."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import click

from trunkline.cli.failures import Failure
from trunkline.kernel.settings import Settings

if TYPE_CHECKING:
    from trunkline.vault.rotation import Rotation

T = TypeVar("T")


def add_keys(cli: click.Group) -> None:
    @cli.group(
        epilog="""\b
Examples:
  trunkline keys list
  trunkline keys rotate --tenant globex   a new data key; everything sealed anew
  trunkline keys rotate --wrapping        a new wrapping key for all data keys"""
    )
    def keys() -> None:
        """The keys under which tenants' secrets are sealed."""

    @keys.command("list")
    def list_() -> None:
        """Each tenant's data keys, and the keys that wrap them. Shows no key."""
        click.echo(_run(_listed))

    @keys.command()
    @click.option("--wrapping", is_flag=True, help="A new wrapping key: wraps every data key anew.")
    @click.option("--forget-old", is_flag=True, help="With --wrapping: destroy the old wrapping keys.")
    @click.option("--tenant", "slug", metavar="SLUG", help="A new data key for this tenant.")
    @click.option("--all", "everyone", is_flag=True, help="A new data key for every tenant.")
    @click.option(
        "--grace",
        default=10.0,
        show_default=True,
        type=click.FloatRange(0, 3600),
        help="Seconds to keep an old data key after everything is sealed anew.",
    )
    def rotate(wrapping: bool, forget_old: bool, slug: str | None, everyone: bool, grace: float) -> None:
        """Make new keys while everything runs.

        Stopped half-way, it goes on when called again. No sync, page or call has to wait.
        """
        if wrapping + everyone + (slug is not None) != 1:
            raise click.UsageError("Choose one of --wrapping, --tenant SLUG and --all.")
        if forget_old and not wrapping:
            raise click.UsageError("--forget-old goes with --wrapping.")

        async def run(rotation: "Rotation") -> str:
            tenants = await rotation.tenants()
            if wrapping:
                done = await rotation.wrapping(tenants, forget=forget_old)
                return f"{done:,} data keys are wrapped anew."
            if slug is not None:
                tenants = [tenant for tenant in tenants if tenant.slug == slug]
                if not tenants:
                    raise Failure(f"There is no tenant {slug!r}. `trunkline keys list` shows them.")
            result = await rotation.data_keys(tenants)
            return (
                f"{result.secrets:,} rows of {result.tenants:,} tenants are sealed anew; "
                f"{result.removed:,} old versions are removed."
            )

        click.echo(_run(run, grace))


async def _listed(rotation: "Rotation") -> str:
    from trunkline.cli.table import columns

    rows = [
        (tenant.slug, str(row.number), f"{row.provider} {row.wrapped.key_id}", f"{row.seals:,}")
        for tenant in await rotation.tenants()
        for row in await rotation.versions(tenant)
    ]
    lines = columns(rows, ("Tenant", "Version", "Wrapped by", "Seals counted"))
    return "\n".join([*lines, "", f"New data keys are wrapped by {await rotation.current()}."])


def _run(task: "Callable[[Rotation], Awaitable[T]]", grace: float = 0) -> T:
    from trunkline.cli.attach import with_database
    from trunkline.kernel.db import Database
    from trunkline.vault.errors import VaultError
    from trunkline.vault.providers import key_provider
    from trunkline.vault.rotation import Rotation
    from trunkline.vault.service import Vault

    async def run(settings: Settings) -> T:
        db = Database(settings.database_url, pool_size=2, application="keys")
        try:
            vault = Vault(key_provider(settings))
            said = partial(click.echo, err=True)
            return await task(Rotation(db, vault, said, grace=grace))
        finally:
            await db.dispose()

    try:
        with with_database(Settings.load()) as settings:
            return asyncio.run(run(settings))
    except VaultError as error:
        raise Failure(str(error)) from error
