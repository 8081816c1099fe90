"""A customer's own systems are connections; endpoints have headers and client certificates of their own."""

from alembic import op

revision = "0017"
down_revision = "0016"

CREDENTIALS = """
CREATE TABLE endpoint_credentials (
    tenant_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    headers BYTEA,
    header_names TEXT[] NOT NULL,
    certificate TEXT,
    certificate_subject TEXT,
    certificate_ends TIMESTAMP WITH TIME ZONE,
    private_key BYTEA,
    key_version INTEGER NOT NULL,
    CONSTRAINT pk_endpoint_credentials PRIMARY KEY (tenant_id, endpoint_id),
    CONSTRAINT fk_endpoint_credentials_webhook_endpoints FOREIGN KEY(tenant_id, endpoint_id)
        REFERENCES webhook_endpoints (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_endpoint_credentials_data_keys FOREIGN KEY(tenant_id, key_version)
        REFERENCES data_keys (tenant_id, version)
)
"""

# An address that belonged to nobody's connection becomes one, under the same id: so what it received keeps its
# source. What was merely kept waits to be read. The owner of the tables sees their rows only unforced.
ADDRESSES = (
    "ALTER TABLE connections NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE hook_endpoints NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE inbound_events NO FORCE ROW LEVEL SECURITY",
    (
        "INSERT INTO connections (tenant_id, id, connector, name, state, oauth_client_tenant, oauth_client_id,"
        " scopes, via, created_by, created_at)"
        " SELECT tenant_id, id, 'custom', name, 'setup', tenant_id, id, '{}', 'portal', 'Trunkline', created_at"
        " FROM hook_endpoints WHERE connector = 'custom' AND connection_id IS NULL"
    ),
    "UPDATE hook_endpoints SET connection_id = id WHERE connector = 'custom' AND connection_id IS NULL",
    (
        "UPDATE inbound_events e SET connection_id = e.source_id,"
        " state = CASE WHEN e.body IS NULL THEN 'ignored' ELSE 'queued' END"
        " FROM connections c WHERE c.tenant_id = e.tenant_id AND c.id = e.source_id"
        " AND e.connector = 'custom' AND e.connection_id IS NULL"
    ),
    "ALTER TABLE connections FORCE ROW LEVEL SECURITY",
    "ALTER TABLE hook_endpoints FORCE ROW LEVEL SECURITY",
    "ALTER TABLE inbound_events FORCE ROW LEVEL SECURITY",
)

STATEMENTS = (
    CREDENTIALS,
    "ALTER TABLE endpoint_credentials ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE endpoint_credentials FORCE ROW LEVEL SECURITY",
    (
        "CREATE POLICY tenant_scope ON endpoint_credentials TO trunkline_app"
        " USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()))"
    ),
    (
        "CREATE POLICY shred ON endpoint_credentials TO trunkline_shred"
        " USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s"
        " WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL"
        " AND s.finished_at IS NULL))"
    ),
    "GRANT SELECT, DELETE ON endpoint_credentials TO trunkline_shred",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON endpoint_credentials TO trunkline_app",
    *ADDRESSES,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
