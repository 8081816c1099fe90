"""`trunkline audit`: whether the audit logs are whole, their signed heads, and a log as CSV."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import click

from trunkline.cli.failures import Failure
from trunkline.kernel.settings import Settings

if TYPE_CHECKING:
    from trunkline.kernel.db import Database

T = TypeVar("T")
FILE = click.Path(dir_okay=False, path_type=Path)

OPERATORS = "operator"
"""How the installation's own log is named here; a tenant with this slug would come first."""


def add_audit(cli: click.Group) -> None:
    @cli.group(
        epilog="""\b
Examples:
  trunkline audit key > audit-key.pem              keep it elsewhere
  trunkline audit head --out heads.jsonl           what every log is now, signed
  trunkline audit verify --head heads.jsonl --key audit-key.pem
  trunkline audit csv globex > globex.csv"""
    )
    def audit() -> None:
        """Who did what: each tenant's log, a chain that can be verified.

        TENANT is a slug, the id of a tenant that was shredded, or "operator" for the installation's own log.
        """

    @audit.command()
    @click.option("--tenant", metavar="TENANT", help="This log only.")
    @click.option(
        "--head", "heads", metavar="FILE", type=FILE, multiple=True, help="Signed heads to hold to."
    )
    @click.option("--key", "keys", metavar="FILE", type=FILE, multiple=True, help="Public keys that signed.")
    def verify(tenant: str | None, heads: tuple[Path, ...], keys: tuple[Path, ...]) -> None:
        """Find what was edited, removed, moved, put in or cut off. Exit code 1 if anything was.

        The heads that workers signed and kept (TRUNKLINE_AUDIT_HEADS) count too, if the file is here. Without
        --key the signing key of this installation is trusted: whoever holds it could sign a forged log.
        """
        whole = _run(lambda settings, db: _verify(settings, db, tenant, heads, keys))
        if not whole:
            sys.exit(1)

    @audit.command()
    @click.option("--tenant", metavar="TENANT", help="This log's only.")
    @click.option("--out", metavar="FILE", type=FILE, help="Append to this file instead of printing.")
    def head(tenant: str | None, out: Path | None) -> None:
        """The head of every log, signed: a line of JSON each."""
        click.echo(_run(lambda settings, db: _head(settings, db, tenant, out)), nl=out is not None)

    @audit.command()
    def key() -> None:
        """The public key that fits the signatures, in PEM."""
        from trunkline.audit.signing import Signer
        from trunkline.vault.errors import KeyFileError

        try:
            click.echo(Signer(Settings.load().audit_key_file).public.pem, nl=False)
        except KeyFileError as error:
            raise Failure(str(error)) from error

    @audit.command("csv")
    @click.argument("tenant")
    def csv_(tenant: str) -> None:
        """A log as CSV, newest first, people's names included."""
        _run(lambda _settings, db: _csv(db, tenant))


async def _verify(
    settings: Settings, db: "Database", tenant: str | None, heads: tuple[Path, ...], keys: tuple[Path, ...]
) -> bool:
    from trunkline.audit import repository
    from trunkline.audit.heads import read
    from trunkline.audit.signing import PublicKey, Signer
    from trunkline.audit.verification import verify

    own = settings.audit_head_file
    files = list(dict.fromkeys([*heads, *([own] if own.exists() else [])]))
    trusted = [PublicKey.read(path) for path in keys] if keys else [Signer(settings.audit_key_file).public]
    signed = read(files, trusted) if files else {}
    names = await _names(db)
    async with db.system() as system:
        known = await repository.tenants(system)
    wanted = [_named(names, tenant)] if tenant else list(dict.fromkeys([*known, *signed]))
    entries = faults = 0
    for tenant_id in wanted:
        name = names.get(tenant_id, str(tenant_id))
        result = await verify(db, tenant_id, signed.get(tenant_id, {}), _progress(name))
        entries += result.entries
        faults += len(result.faults) + result.more
        for fault in result.faults:
            click.echo(f"{name}: {fault.words}.")
        if result.more:
            click.echo(f"{name}: and {result.more:,} faults more.")
    held = sum(len(of) for of in signed.values())
    click.echo(
        f"{entries:,} entries in {len(wanted):,} logs, held to {held:,} signed heads: "
        + ("every log is whole." if not faults else f"{faults:,} faults.")
    )
    return not faults


def _progress(name: str) -> Callable[[int, int], None]:
    return lambda done, of: click.echo(f"{name}: {done:,} of {of:,} entries read", err=True)


async def _head(settings: Settings, db: "Database", tenant: str | None, out: Path | None) -> str:
    from trunkline.audit.heads import keep, lines, sign_heads
    from trunkline.audit.signing import Signer

    only = _named(await _names(db), tenant) if tenant else None
    made = await sign_heads(db, Signer(settings.audit_key_file), only=only)
    if out is None:
        return lines(made)
    try:
        keep(out, made)
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error.strerror}.") from error
    return f"{len(made):,} signed heads were appended to {out}."


async def _csv(db: "Database", tenant: str) -> None:
    from trunkline.audit.export import csv_lines
    from trunkline.audit.service import ALL

    async for part in csv_lines(db, _named(await _names(db), tenant), ALL):
        click.echo(part, nl=False)


async def _names(db: "Database") -> Mapping[UUID, str]:
    from trunkline.kernel.db import OPERATOR
    from trunkline.vault import repository

    async with db.system() as system:
        return {OPERATOR: OPERATORS} | dict(await repository.tenants(system))


def _named(names: Mapping[UUID, str], tenant: str) -> UUID:
    by_slug = {slug: tenant_id for tenant_id, slug in names.items()}
    try:
        return by_slug.get(tenant) or UUID(tenant)
    except ValueError:
        raise Failure(f"There is no tenant {tenant!r}.") from None


def _run(task: "Callable[[Settings, Database], Awaitable[T]]") -> T:
    from trunkline.audit.heads import HeadFileError
    from trunkline.cli.attach import with_database
    from trunkline.kernel.db import Database
    from trunkline.vault.errors import KeyFileError

    async def run(settings: Settings) -> T:
        db = Database(settings.database_url, pool_size=2, application="audit")
        try:
            return await task(settings, db)
        finally:
            await db.dispose()

    try:
        with with_database(Settings.load()) as settings:
            return asyncio.run(run(settings))
    except (HeadFileError, KeyFileError) as error:
        raise Failure(str(error)) from error
