"""The lane that sends finds what is due in it behind any backlog of other work."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("CREATE INDEX ix_work_due_to_send ON work (due_at) WHERE kind = 'deliver'")


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
