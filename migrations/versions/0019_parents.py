"""Streams that are read for each record of another: whose children a record's are, and whom to ask again."""

from alembic import op

revision = "0019"
down_revision = "0018"

RECORD_PARENTS = """
CREATE TABLE record_parents (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    external_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    CONSTRAINT pk_record_parents PRIMARY KEY (tenant_id, connection_id, stream, external_id),
    CONSTRAINT fk_record_parents_connections FOREIGN KEY(tenant_id, connection_id)
        REFERENCES connections (tenant_id, id) ON DELETE CASCADE
)
"""
CHANGED_PARENTS = """
CREATE TABLE changed_parents (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    noted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_changed_parents PRIMARY KEY (tenant_id, connection_id, stream, parent_id),
    CONSTRAINT fk_changed_parents_connections FOREIGN KEY(tenant_id, connection_id)
        REFERENCES connections (tenant_id, id) ON DELETE CASCADE
)
"""
_SCOPE = (
    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
    (
        "CREATE POLICY tenant_scope ON {table} TO trunkline_app"
        " USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()))"
    ),
    (
        "CREATE POLICY shred ON {table} TO trunkline_shred"
        " USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s"
        " WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL"
        " AND s.finished_at IS NULL))"
    ),
    "GRANT SELECT, DELETE ON {table} TO trunkline_shred",
)

STATEMENTS = (
    RECORD_PARENTS,
    "CREATE INDEX ix_record_parents_parent ON record_parents (tenant_id, connection_id, stream, parent_id)",
    CHANGED_PARENTS,
    *(one.format(table=table) for table in ("record_parents", "changed_parents") for one in _SCOPE),
    "GRANT SELECT, INSERT, UPDATE ON record_parents TO trunkline_app",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON changed_parents TO trunkline_app",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
