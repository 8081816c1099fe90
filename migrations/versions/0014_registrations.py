"""Addresses of webhooks are registered at their providers."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("ALTER TABLE hook_endpoints ADD COLUMN registered_at TIMESTAMP WITH TIME ZONE")
    op.execute("ALTER TABLE hook_endpoints ADD COLUMN rotating BOOLEAN DEFAULT false NOT NULL")
    # who looks after an installation sees how it stands, and no secret
    op.execute("CREATE POLICY console ON hook_endpoints FOR SELECT TO trunkline_console USING (true)")
    op.execute(
        "GRANT SELECT (tenant_id, id, connector, connection_id, state, cause, registered_at, checked_at) "
        "ON hook_endpoints TO trunkline_console"
    )
    # connections from before are asked about once; where there is nothing to register, that is all
    op.execute(
        "INSERT INTO work (tenant_id, id, kind, key, connection_id) "
        "SELECT tenant_id, gen_random_uuid(), 'hook_registration', id::text, id FROM connections "
        "WHERE state IN ('active', 'setup') ON CONFLICT DO NOTHING"
    )


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
