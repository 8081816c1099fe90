"""Rotate a tenant's data key over 100,000 secrets, then the wrapping key, while readers read."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

from sqlalchemy import text

from trunkline.cli.bench import Figures, Say
from trunkline.kernel.db import Database
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.rotation import Rotation, Tenant
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault

SECRETS = 100_000
CONNECTIONS = 10_000
"""Of the secrets these are tokens, the rest documents of about 1 KB."""
READERS = 4

_CONNECTIONS = text("""
    INSERT INTO connections (tenant_id, id, connector, name, state, oauth_client_tenant, oauth_client_id, scopes,
        via, created_by)
    SELECT CAST(:t AS uuid), id, 'hubspot', 'HubSpot', 'active', CAST(:t AS uuid), id, '{}', 'portal', 'bench'
    FROM unnest(CAST(:ids AS uuid[])) AS id
""")
_CREDENTIALS = text("""
    INSERT INTO credentials (tenant_id, connection_id, generation, access_token, key_version)
    SELECT CAST(:t AS uuid), c.id, 1, c.token, CAST(:v AS integer)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:blobs AS bytea[])) AS c(id, token)
""")
_RECORDS = text("""
    INSERT INTO records (tenant_id, connection_id, stream, external_id, fingerprint, document, key_version, run_id)
    SELECT CAST(:t AS uuid), CAST(:c AS uuid), 'contacts', r.name, '', r.document, CAST(:v AS integer),
        CAST(:c AS uuid)
    FROM unnest(CAST(:names AS text[]), CAST(:blobs AS bytea[])) AS r(name, document)
""")
_RECORD = text("""
    SELECT document, key_version FROM records
    WHERE tenant_id = :t AND connection_id = :c AND stream = 'contacts' AND external_id = :name
""")
_CREDENTIAL = text(
    "SELECT access_token, key_version FROM credentials WHERE tenant_id = :t AND connection_id = :c"
)


def run(say: Say) -> Figures:
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as name:
        folder = Path(name)
        with EmbeddedServers(folder, unsafe=True, with_valkey=False) as servers:
            upgrade(servers.database_url)
            return asyncio.run(_run(servers.database_url, folder / "wrapping.key", say))


async def _run(url: str, key: Path, say: Say) -> Figures:
    db, tenant = Database(url, application="bench"), uuid4()
    try:
        connections = [uuid4() for _ in range(CONNECTIONS)]
        vault, other = Vault(LocalKeyFile(key)), Vault(LocalKeyFile(key))
        await _fill(db, vault, tenant, connections)
        say(f"{SECRETS:,} secrets are sealed; rotating")
        readers = Readers(db, other, tenant, connections)
        rotation = Rotation(db, vault, say)
        async with readers:
            start = time.monotonic()
            result = await rotation.data_keys([Tenant(tenant, "bench")])
            seconds = time.monotonic() - start
            start = time.monotonic()
            await rotation.wrapping([Tenant(tenant, "bench")])
            wrapping = time.monotonic() - start
        async with db.tenant(tenant) as session:
            old = (
                await session.execute(text("SELECT count(*) FROM data_keys WHERE version < 2"))
            ).scalar_one()
    finally:
        await db.dispose()
    if old or result.secrets < SECRETS:
        sys.exit(f"the rotation is not whole: {result.secrets} sealed anew, {old} old versions left")
    return Figures(
        figures={
            "secrets": result.secrets,
            "failed_reads": readers.failed,
            "reads": readers.done,
            "seconds": seconds,
            "wrapping_seconds": wrapping,
        }
    )


async def _fill(db: Database, vault: Vault, tenant: UUID, connections: list[UUID]) -> None:
    async with db.tenant(tenant) as session:
        box = await vault.box(session, tenant)
        await session.execute(_CONNECTIONS, {"t": tenant, "ids": connections})
        blobs = [box.seal(b"t" * 64, place("credentials", c, field="access_token")) for c in connections]
        await session.execute(
            _CREDENTIALS, {"t": tenant, "ids": connections, "blobs": blobs, "v": box.version}
        )
    for start in range(0, SECRETS - CONNECTIONS, 5000):
        names = [f"{number:07d}" for number in range(start, min(start + 5000, SECRETS - CONNECTIONS))]
        async with db.tenant(tenant) as session:
            box = await vault.box(session, tenant)
            values = {"t": tenant, "c": connections[0], "v": box.version, "names": names}
            blobs = [box.seal(b"d" * 1024, _document(connections[0], name)) for name in names]
            await session.execute(_RECORDS, {**values, "blobs": blobs})


def _document(connection: UUID, name: str) -> str:
    return place("records", connection, "contacts", name, field="document")


class Readers:
    """Read without a pause, with a vault of their own as another process would have; count what fails."""

    def __init__(self, db: Database, vault: Vault, tenant: UUID, connections: list[UUID]) -> None:
        self._db = db
        self._vault = vault
        self._tenant = tenant
        self._connections = connections
        self._stop = False
        self.done = self.failed = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._read(number)) for number in range(READERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def _read(self, number: int) -> None:
        while not self._stop:
            number = (number * 48_271 + 11) % 2_147_483_647
            name = f"{number % (SECRETS - CONNECTIONS):07d}"
            connection = self._connections[number % CONNECTIONS]
            try:
                await self._one(
                    _CREDENTIAL, {"c": connection}, place("credentials", connection, field="access_token")
                )
                first = self._connections[0]
                await self._one(_RECORD, {"c": first, "name": name}, _document(first, name))
                self.done += 2
            except Exception as error:  # noqa: BLE001 - any is a failed read
                self.failed += 1
                print(type(error).__name__, error, file=sys.stderr)  # noqa: T201 - a measurement's own report

    async def _one(self, query: object, values: dict[str, object], context: str) -> None:
        async with self._db.tenant(self._tenant) as session:
            blob, version = (await session.execute(query, {"t": self._tenant, **values})).one()  # type: ignore[call-overload]
            box = await self._vault.box(session, self._tenant)
            box.open(blob, version, context)
