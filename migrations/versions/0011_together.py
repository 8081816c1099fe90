"""Workers claim and complete the work of many tenants in one transaction; what it says is ids only."""

from alembic import op

revision = "0011"
down_revision = "0015"


def upgrade() -> None:
    op.execute("GRANT SELECT (key, args, tries, again_at), DELETE ON work TO trunkline_system")


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
