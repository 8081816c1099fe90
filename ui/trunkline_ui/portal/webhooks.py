"""`/portal/webhooks`: the organisation's own endpoints, for whoever builds on its events."""

from uuid import UUID

from litestar.di import NamedDependency, Provide

from trunkline.kernel.db import Database
from trunkline_ui.portal.common import Frame
from trunkline_ui.webhooks.pages import EndpointPages
from trunkline_ui.webhooks.where import Where

HOME = "/portal/webhooks"


def provide_where(
    db: NamedDependency[Database],
    tenant_id: NamedDependency[UUID],
    framed: NamedDependency[Frame],
) -> Where:
    async def around() -> dict[str, object]:
        async with db.tenant(tenant_id) as session:
            return await framed(session, HOME)

    return Where(base=HOME, owner=tenant_id, frame=around)


class WebhookPages(EndpointPages):
    path = HOME
    opt = {"can": "webhooks.manage"}  # noqa: RUF012  Litestar's way
    dependencies = {"where": Provide(provide_where, sync_to_thread=False)}  # noqa: RUF012
