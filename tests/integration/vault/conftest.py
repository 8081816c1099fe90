from uuid import uuid4

import pytest
from sqlalchemy import text

from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault


@pytest.fixture
def vault(tmp_path):
    return Vault(LocalKeyFile(tmp_path / "wrapping.key"))


class Secrets:
    """A tenant with a connection, its tokens, and records."""

    def __init__(self, db, vault, slug):
        self.db, self.vault, self.slug = db, vault, slug
        self.id, self.connection = uuid4(), uuid4()

    async def make(self, records):
        values = {"t": self.id, "c": self.connection, "slug": self.slug}
        async with self.db.system() as session:
            await session.execute(
                text("INSERT INTO tenants (id, slug, name) VALUES (:t, :slug, 'Globex')"), values
            )
        async with self.db.tenant(self.id) as session:
            await session.execute(
                text("""INSERT INTO connections (tenant_id, id, connector, name, state, oauth_client_tenant,
                        oauth_client_id, scopes, via, created_by)
                        VALUES (:t, :c, 'hubspot', 'HubSpot', 'active', :t, :c, '{}', 'portal', 'test')"""),
                values,
            )
            await self.put_token(session, b"token")
        for start in range(0, records, 2000):
            await self.put_records(range(start, min(start + 2000, records)))
        return self

    async def put_token(self, session, token):
        box = await self.vault.box(session, self.id)
        sealed = box.seal(token, place("credentials", self.connection, field="access_token"))
        await session.execute(
            text("""INSERT INTO credentials (tenant_id, connection_id, generation, access_token, key_version)
                    VALUES (:t, :c, 1, :token, :version)
                    ON CONFLICT (tenant_id, connection_id) DO UPDATE SET
                        access_token = excluded.access_token, key_version = excluded.key_version"""),
            {"t": self.id, "c": self.connection, "token": sealed, "version": box.version},
        )

    def record(self, name):
        return place("records", self.connection, "contacts", name, field="document")

    async def put_records(self, numbers, box=None):
        async with self.db.tenant(self.id) as session:
            box = box or await self.vault.box(session, self.id)
            await session.execute(
                text("""INSERT INTO records (tenant_id, connection_id, stream, external_id, fingerprint, document,
                            key_version, run_id)
                        SELECT CAST(:t AS uuid), CAST(:c AS uuid), 'contacts', r.name, '', r.document,
                            CAST(:version AS integer), CAST(:c AS uuid)
                        FROM unnest(CAST(:names AS text[]), CAST(:documents AS bytea[])) AS r(name, document)"""),
                {
                    "t": self.id,
                    "c": self.connection,
                    "version": box.version,
                    "names": [f"{number:07d}" for number in numbers],
                    "documents": [box.seal(b"document %d" % n, self.record(f"{n:07d}")) for n in numbers],
                },
            )

    async def token(self):
        async with self.db.tenant(self.id) as session:
            row = (await session.execute(text("SELECT access_token, key_version FROM credentials"))).one()
            box = await self.vault.box(session, self.id)
            return box.open(row[0], row[1], place("credentials", self.connection, field="access_token"))

    async def documents(self):
        async with self.db.tenant(self.id) as session:
            rows = (
                await session.execute(text("SELECT external_id, document, key_version FROM records"))
            ).all()
            box = await self.vault.box(session, self.id)
            return {box.open(row[1], row[2], self.record(row[0])) for row in rows}

    async def versions(self):
        async with self.db.tenant(self.id) as session:
            rows = await session.execute(
                text("""SELECT key_version FROM records UNION SELECT key_version FROM credentials
                        UNION SELECT version FROM data_keys ORDER BY 1""")
            )
            return list(rows.scalars())


@pytest.fixture
def secrets(db, vault):
    async def make(records=3, slug="globex", with_vault=None):
        return await Secrets(db, with_vault or vault, slug).make(records)

    return make
