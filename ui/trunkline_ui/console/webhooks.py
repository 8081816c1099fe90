"""`/console/webhooks`: endpoints of the whole installation, which get every tenant's events.

What became of tenants' deliveries is shown, never what they held: that is for the tenant's own portal.
"""

from uuid import UUID

import msgspec
from litestar.di import NamedDependency, Provide

from trunkline.deliveries.across import SentRow, sent_to
from trunkline.kernel.db import OPERATOR, Database
from trunkline_tenants.directory import Directory
from trunkline_tenants.schemas import TenantInfo
from trunkline_ui.console.common import ACT, Frame
from trunkline_ui.webhooks.pages import EndpointPages
from trunkline_ui.webhooks.where import Where

HOME = "/console/webhooks"
SHOWN = 50


class SentLine(msgspec.Struct, frozen=True):
    row: SentRow
    tenant: TenantInfo | None


def provide_where(
    framed: NamedDependency[Frame],
    db: NamedDependency[Database],
    directory: NamedDependency[Directory],
) -> Where:
    async def around() -> dict[str, object]:
        async with db.console() as session:
            return await framed(session, HOME)

    async def elsewhere(endpoint_id: UUID) -> list[SentLine]:
        async with db.console() as session:
            rows = await sent_to(session, endpoint_id, limit=SHOWN)
        tenants = await directory.tenants_of([row.tenant_id for row in rows])
        return [SentLine(row, tenants.get(row.tenant_id)) for row in rows]

    return Where(base=HOME, owner=OPERATOR, frame=around, elsewhere=elsewhere, shared=True)


class WebhookPages(EndpointPages):
    path = HOME
    opt = ACT
    dependencies = {"where": Provide(provide_where, sync_to_thread=False)}  # noqa: RUF012  Litestar's way
