"""Partners' connectors: their archives, who may connect them, and which version a connection keeps."""

from pathlib import Path

from alembic import op

from trunkline.kernel.migrate import statements

revision = "0013"
down_revision = "0011"


def upgrade() -> None:
    for statement in statements(Path(__file__).with_suffix("")):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
