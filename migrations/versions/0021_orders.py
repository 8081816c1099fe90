"""An order for each record or for all of a tenant's; ends of client certificates are told of.

What is on its way already tells of no records: until it is at its end, its key is its connection. A process of before
knows `ordered` alone, and keeps the order of each connection.
"""

from alembic import op

revision = "0021"
down_revision = "0020"

STATEMENTS = (
    "ALTER TABLE webhook_endpoints ADD COLUMN order_key TEXT DEFAULT 'connection' NOT NULL",
    (
        "ALTER TABLE webhook_endpoints ADD CONSTRAINT ck_webhook_endpoints_order_key"
        " CHECK (order_key IN ('record', 'connection', 'tenant'))"
    ),
    "ALTER TABLE outbound_events ADD COLUMN record_keys BIGINT[] DEFAULT '{}' NOT NULL",
    "DROP INDEX ix_deliveries_order",
    (
        "CREATE INDEX ix_deliveries_order ON deliveries (tenant_id, endpoint_id, number)"
        " WHERE state = 'pending'"
    ),
    "ALTER TABLE endpoint_credentials ADD COLUMN certificate_notice INTEGER",
    "CREATE POLICY console ON endpoint_credentials FOR SELECT TO trunkline_console USING (true)",
    "GRANT SELECT (tenant_id, endpoint_id, certificate_ends) ON endpoint_credentials TO trunkline_console",
    # the owner of the tables sees their rows only unforced
    "ALTER TABLE endpoint_credentials NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE work NO FORCE ROW LEVEL SECURITY",
    (
        "INSERT INTO work (tenant_id, id, kind, key) SELECT tenant_id, gen_random_uuid(), 'watch_certificate',"
        " endpoint_id::text FROM endpoint_credentials WHERE certificate IS NOT NULL ON CONFLICT DO NOTHING"
    ),
    "ALTER TABLE endpoint_credentials FORCE ROW LEVEL SECURITY",
    "ALTER TABLE work FORCE ROW LEVEL SECURITY",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
