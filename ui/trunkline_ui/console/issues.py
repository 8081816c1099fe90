"""`/console/issues`: one cause per problem, however many tenants have it."""

from collections.abc import Sequence

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.deliveries.across import (
    EndingCertificate,
    FailingEndpoint,
    ending_certificates,
    failing_endpoints,
)
from trunkline.health import across
from trunkline.health.across import CauseRow
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import NotFoundError
from trunkline.readers.schemas import FailingReader
from trunkline.resilience.failures import UNCLASSIFIED, failures
from trunkline.sdk.registry import Connectors
from trunkline_tenants.directory import Directory
from trunkline_tenants.schemas import TenantInfo
from trunkline_ui.console.common import Cause, Frame, asked_page, cause_of
from trunkline_ui.console.tenant_view import IssueLine, issue_line
from trunkline_ui.portal.common import AnyRequest, address, label_of, stream_labels
from trunkline_ui.rendering import Page, page
from trunkline_ui.webhooks.words import Notice, certificate_notice

PAGE = 50


class CauseLine(msgspec.Struct, frozen=True):
    row: CauseRow
    cause: Cause


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """One open issue with its tenant."""

    line: IssueLine
    tenant: TenantInfo | None
    connector: str


class ReaderTrouble(msgspec.Struct, frozen=True):
    """A reader of a tenant's change log that cannot go on."""

    row: FailingReader
    cause: Cause
    tenant: TenantInfo | None


class EndpointTrouble(msgspec.Struct, frozen=True):
    """A webhook endpoint that takes nothing; `tenant` None: the installation's."""

    row: FailingEndpoint
    tenant: TenantInfo | None
    shared: bool


class CertificateTrouble(msgspec.Struct, frozen=True):
    """A client certificate that ends; `tenant` None: of the installation's endpoint."""

    row: EndingCertificate
    notice: Notice
    tenant: TenantInfo | None
    shared: bool


class Unclassified(msgspec.Struct, frozen=True):
    """How much of what is open the failure table does not know; the aim is at most 1 %."""

    times: int
    of: int

    @property
    def share(self) -> float:
        return self.times / self.of if self.of else 0.0

    @property
    def too_much(self) -> bool:
        return self.share > 0.01


def _unclassified(found: Sequence[CauseRow]) -> Unclassified:
    return Unclassified(
        times=sum(row.times for row in found if row.cause not in failures() or row.cause == UNCLASSIFIED),
        of=sum(row.times for row in found),
    )


class IssuePages(Controller):
    include_in_schema = False

    @get("/console/issues")
    async def causes(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        directory: NamedDependency[Directory],
    ) -> Page:
        async with db.console() as session:
            found = await across.causes(session)
            readers = await across.failing_readers(session, limit=PAGE)
            endpoints = await failing_endpoints(session, limit=PAGE)
            ending = await ending_certificates(session, limit=PAGE)
        tenants = await directory.tenants_of(
            [one.tenant_id for rows in (readers, endpoints, ending) for one in rows]
        )
        moment = now()
        context = framed.counted("/console/issues", sum(row.issues for row in found))
        context |= {
            "lines": [CauseLine(row, cause_of(row.cause)) for row in found],
            "unclassified": _unclassified(found),
            "readers": [
                ReaderTrouble(one, cause_of(one.cause), tenants.get(one.tenant_id)) for one in readers
            ],
            "endpoints": [
                EndpointTrouble(one, tenants.get(one.tenant_id), one.tenant_id == OPERATOR)
                for one in endpoints
            ],
            "certificates": [
                CertificateTrouble(one, notice, tenants.get(one.tenant_id), one.tenant_id == OPERATOR)
                for one in ending
                if (notice := certificate_notice(one.ends, moment))
            ],
        }
        return page("console/issues.html", context, block="live")

    @get("/console/issues/{cause:str}")
    async def affected(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        directory: NamedDependency[Directory],
        connectors: NamedDependency[Connectors],
        cause: FromPath[str],
    ) -> Page:
        """A code that only a newer version writes has a page as long as an issue with it is open."""
        number = asked_page(request)
        async with db.console() as session:
            every = await across.causes(session)
            summary = next((row for row in every if row.cause == cause), None)
            if summary is None and cause not in failures():
                raise NotFoundError
            offset = (number - 1) * PAGE
            rows = (
                await across.affected(session, cause=cause, limit=PAGE + 1, offset=offset) if summary else []
            )
        tenants = await directory.tenants_of([row.tenant_id for row in rows])
        here = f"/console/issues/{cause}"
        context = framed.counted("/console/issues", sum(row.issues for row in every))
        context |= {
            "cause": cause_of(cause),
            "code": cause,
            "summary": summary,
            "lines": [
                Affected(
                    line=issue_line(row, stream_labels(connectors, row.connector)),
                    tenant=tenants.get(row.tenant_id),
                    connector=label_of(connectors, row.connector),
                )
                for row in rows[:PAGE]
            ],
            "here": address(here, page=number if number > 1 else ""),
            "previous": address(here, page=number - 1 if number > 2 else "") if number > 1 else "",
            "following": address(here, page=number + 1) if len(rows) > PAGE else "",
        }
        return page("console/cause.html", context, block="live")
