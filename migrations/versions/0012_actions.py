"""Action calls: writes to a provider; and the permissions that a sign-in asks for beyond reading."""

from alembic import op

revision = "0012"
down_revision = "0014"

TABLE = """
CREATE TABLE action_calls (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    action TEXT NOT NULL,
    state TEXT NOT NULL,
    alone BOOLEAN DEFAULT false NOT NULL,
    count INTEGER NOT NULL,
    input BYTEA,
    key_version INTEGER NOT NULL,
    asked_by TEXT NOT NULL,
    asked_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    attempt INTEGER DEFAULT 0 NOT NULL,
    tries INTEGER DEFAULT 0 NOT NULL,
    held_until TIMESTAMP WITH TIME ZONE,
    first_sent_at TIMESTAMP WITH TIME ZONE,
    sent_at TIMESTAMP WITH TIME ZONE,
    due_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    result_id TEXT,
    results JSONB DEFAULT '[]' NOT NULL,
    cause TEXT,
    correlation_id TEXT,
    decided_by TEXT,
    CONSTRAINT pk_action_calls PRIMARY KEY (tenant_id, id),
    CONSTRAINT ck_action_calls_state
        CHECK (state IN ('queued', 'sending', 'checking', 'done', 'partial', 'failed', 'unknown')),
    CONSTRAINT fk_action_calls_connections FOREIGN KEY(tenant_id, connection_id)
        REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_action_calls_data_keys FOREIGN KEY(tenant_id, key_version)
        REFERENCES data_keys (tenant_id, version)
)
"""

STATEMENTS = (
    TABLE,
    "CREATE INDEX ix_action_calls_listing ON action_calls (tenant_id, connection_id, asked_at DESC, id)",
    "CREATE INDEX ix_action_calls_state ON action_calls (tenant_id, asked_at DESC, id)",
    (
        "CREATE INDEX ix_action_calls_held ON action_calls (tenant_id, connection_id, action)"
        " WHERE held_until IS NOT NULL"
    ),
    "ALTER TABLE action_calls ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE action_calls FORCE ROW LEVEL SECURITY",
    (
        "CREATE POLICY tenant_scope ON action_calls TO trunkline_app"
        " USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()))"
    ),
    (
        "CREATE POLICY shred ON action_calls TO trunkline_shred"
        " USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s"
        " WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL"
        " AND s.finished_at IS NULL))"
    ),
    "GRANT SELECT, DELETE ON action_calls TO trunkline_shred",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON action_calls TO trunkline_app",
    # an older process that still runs writes neither: what it asks for is what streams need
    "ALTER TABLE connect_sessions ADD COLUMN actions TEXT[] DEFAULT '{}' NOT NULL",
    "ALTER TABLE authorizations ADD COLUMN scopes TEXT[] DEFAULT '{}' NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
