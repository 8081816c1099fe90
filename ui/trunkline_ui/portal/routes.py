"""Every controller of the portal, for the composition root; the recipes' pages are `trunkline_ui.recipes`."""

from litestar import Router
from litestar.di import Provide

from trunkline_ui.portal.action_calls import ActionCallDeeds
from trunkline_ui.portal.actions import ConnectionActions, RunActions
from trunkline_ui.portal.activity import ActivityPages
from trunkline_ui.portal.common import provide_frame
from trunkline_ui.portal.connect import ConnectPages
from trunkline_ui.portal.connection import ConnectionPages
from trunkline_ui.portal.drifts import DriftPages
from trunkline_ui.portal.events import EventActions, EventPages, ReplayActions, ReplayPlans
from trunkline_ui.portal.freshness import FreshnessActions
from trunkline_ui.portal.hooks import HookActions
from trunkline_ui.portal.issues import IssuePages
from trunkline_ui.portal.oauth_clients import OAuthClientPages
from trunkline_ui.portal.overview import OverviewPages
from trunkline_ui.portal.records import RecordPages
from trunkline_ui.portal.review_actions import ReviewActions
from trunkline_ui.portal.reviews import ReviewPages
from trunkline_ui.portal.runs import RunPages
from trunkline_ui.portal.systems import SystemPages
from trunkline_ui.portal.webhooks import WebhookPages

PORTAL = (
    Router(
        path="/",
        route_handlers=[
            OverviewPages,
            ConnectPages,
            OAuthClientPages,
            ConnectionPages,
            ConnectionActions,
            FreshnessActions,
            HookActions,
            DriftPages,
            RunPages,
            RunActions,
            RecordPages,
            IssuePages,
            ReviewPages,
            ReviewActions,
            ActionCallDeeds,
            WebhookPages,
            SystemPages,
            EventPages,
            EventActions,
            ReplayPlans,
            ReplayActions,
            ActivityPages,
        ],
        dependencies={"framed": Provide(provide_frame, sync_to_thread=False)},
        include_in_schema=False,
    ),
)
