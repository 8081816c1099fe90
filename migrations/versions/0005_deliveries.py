"""Outbound webhooks: endpoints, events, deliveries and their attempts.

Each part is a file of its own in the folder of this name, run in the order of its number.
"""

from pathlib import Path

from alembic import op

from trunkline.kernel.migrate import statements

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    for statement in statements(Path(__file__).with_suffix("")):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
