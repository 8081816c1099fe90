"""Every controller of the console, for the list of pages."""

from trunkline_ui.console.actions import ConnectionSync
from trunkline_ui.console.issues import IssuePages
from trunkline_ui.console.keys import KeyPages
from trunkline_ui.console.overview import OverviewPages
from trunkline_ui.console.runbooks import RunbookPages
from trunkline_ui.console.tenant import TenantPages

CONSOLE = (OverviewPages, TenantPages, ConnectionSync, IssuePages, RunbookPages, KeyPages)
