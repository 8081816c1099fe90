"""Whatever a worker can do has a name for support."""

from unittest.mock import MagicMock

from trunkline.services import Services
from trunkline_ui.console.tenant_view import KINDS


def test_every_kind_of_work_is_named() -> None:
    services = MagicMock()
    services.settings.check_seconds = 60
    assert set(Services.handlers(services)) == set(KINDS)
