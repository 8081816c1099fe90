"""Every controller of the portal, for the composition root; the recipes' pages are `trunkline_ui.recipes`."""

from trunkline_ui.portal.actions import ConnectionActions, RunActions
from trunkline_ui.portal.activity import ActivityPages
from trunkline_ui.portal.connect import ConnectPages
from trunkline_ui.portal.connection import ConnectionPages
from trunkline_ui.portal.issues import IssuePages
from trunkline_ui.portal.oauth_clients import OAuthClientPages
from trunkline_ui.portal.overview import OverviewPages
from trunkline_ui.portal.records import RecordPages
from trunkline_ui.portal.runs import RunPages

PORTAL = (
    OverviewPages,
    ConnectPages,
    OAuthClientPages,
    ConnectionPages,
    ConnectionActions,
    RunPages,
    RunActions,
    RecordPages,
    IssuePages,
    ActivityPages,
)
