"""Work that is known to be due is found by its tenant, what sleeps by its time: who rests is never looked at.

What is there already sleeps, as far as this knows; the dispatcher finds what of it is due.
"""

from alembic import op

revision = "0020"
down_revision = "0019"

STATEMENTS = (
    "ALTER TABLE work ADD COLUMN ready BOOLEAN DEFAULT false NOT NULL",
    "CREATE INDEX ix_work_ready ON work (tenant_id, priority, due_at) WHERE ready AND kind <> 'deliver'",
    "CREATE INDEX ix_work_ready_to_send ON work (tenant_id, priority, due_at) WHERE ready AND kind = 'deliver'",
    "CREATE INDEX ix_work_asleep ON work (due_at) WHERE NOT ready AND kind <> 'deliver'",
    "CREATE INDEX ix_work_asleep_to_send ON work (due_at) WHERE NOT ready AND kind = 'deliver'",
    "DROP INDEX ix_work_due",
    "DROP INDEX ix_work_due_to_send",
    "DROP INDEX ix_work_tenant_due",
    "GRANT SELECT (ready), UPDATE (ready) ON work TO trunkline_system",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
