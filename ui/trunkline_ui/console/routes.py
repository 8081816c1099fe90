"""Every controller of the console, with what all of them take."""

from litestar import Router
from litestar.di import Provide

from trunkline_ui.console.actions import ConnectionSync
from trunkline_ui.console.api_versions import ApiVersionPages
from trunkline_ui.console.audit import AuditPages
from trunkline_ui.console.common import provide_frame
from trunkline_ui.console.connectors import ConnectorPages
from trunkline_ui.console.events import ConsoleEvents, ConsoleReplays
from trunkline_ui.console.issues import IssuePages
from trunkline_ui.console.keys import KeyPages
from trunkline_ui.console.oauth_clients import OperatorClientPages
from trunkline_ui.console.overview import OverviewPages
from trunkline_ui.console.package_steps import PackageSteps
from trunkline_ui.console.packages import PackagePages
from trunkline_ui.console.runbooks import RunbookPages
from trunkline_ui.console.tenant import TenantPages
from trunkline_ui.console.versions import ConnectionVersion
from trunkline_ui.console.webhooks import WebhookPages

CONSOLE = (
    Router(
        "",
        route_handlers=[
            OverviewPages,
            TenantPages,
            ConnectionSync,
            ConnectionVersion,
            ConsoleEvents,
            ConsoleReplays,
            IssuePages,
            RunbookPages,
            ConnectorPages,
            ApiVersionPages,
            PackagePages,
            PackageSteps,
            OperatorClientPages,
            WebhookPages,
            KeyPages,
            AuditPages,
        ],
        dependencies={"framed": Provide(provide_frame, sync_to_thread=False)},
        include_in_schema=False,
    ),
)
