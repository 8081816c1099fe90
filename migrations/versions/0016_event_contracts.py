"""How an inbound event deviates from its contract, in words."""

from alembic import op

revision = "0016"
down_revision = "0012"


def upgrade() -> None:
    op.execute("ALTER TABLE inbound_events ADD COLUMN differs TEXT")
    op.execute("GRANT UPDATE (differs) ON inbound_events TO trunkline_app")
    op.execute("GRANT SELECT (differs) ON inbound_events TO trunkline_console")


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
