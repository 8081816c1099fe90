"""What every page of the portal needs: its frame, redirects with a message, cursors, safe input."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.deliveries import endpoint_repository
from trunkline.health.service import HealthService
from trunkline.kernel.errors import NotFoundError, TrunklineError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.reviews import repository as reviews
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline_tenants.cookies import Tone, flash_cookie
from trunkline_tenants.permissions import can
from trunkline_ui.shells import portal_shell

AnyRequest = Request[Any, Any, Any]

LONGEST = 400
"""Characters of a search or an id in an address; providers' ids are far shorter."""


class Frame:
    """The part of a page's context that is the same everywhere: `await framed(session, current)`."""

    def __init__(
        self, request: AnyRequest, tenant_id: UUID, principal: Principal, health: HealthService
    ) -> None:
        self._request = request
        self._tenant_id = tenant_id
        self._principal = principal
        self._health = health

    async def __call__(self, session: AsyncSession, current: str) -> dict[str, Any]:
        """`current`: the entry of the navigation that the page belongs to."""
        principal, tenant_id = self._principal, self._tenant_id
        issues = await self._health.count_open(session, tenant_id)
        troubled = len(await endpoint_repository.troubled(session, tenant_id))
        open_reviews = await reviews.count_open(session, tenant_id)
        return {
            "shell": portal_shell(
                self._request, principal, current, open_issues=issues + troubled, open_reviews=open_reviews
            ),
            "may": {
                "manage": can(principal, "connections.manage"),
                "sync": can(principal, "runs.start"),
                "recipes": can(principal, "recipes.manage"),
                "decide": can(principal, "reviews.decide"),
                "webhooks": can(principal, "webhooks.manage"),
            },
        }


def provide_frame(
    request: AnyRequest,
    tenant_id: NamedDependency[UUID],
    principal: NamedDependency[Principal],
    health: NamedDependency[HealthService],
) -> Frame:
    return Frame(request, tenant_id, principal, health)


def see_other(
    settings: Settings,
    location: str,
    text: str = "",
    tone: Tone = "success",
    *,
    cookies: tuple[Cookie, ...] = (),
) -> Response[None]:
    """303 to `location` (a path of ours, or a provider's page), with a message for the next page."""
    notes = (flash_cookie(settings, text, tone),) if text else ()
    return Response(None, status_code=303, headers={"location": location}, cookies=[*cookies, *notes])


def told(location: str) -> Any:
    """An exception handler: to `location` (its {names} filled from the path) with the error's sentence."""

    def answer(request: AnyRequest, error: TrunklineError) -> Response[None]:
        settings: Settings = request.app.settings  # type: ignore[attr-defined]
        return see_other(settings, location.format(**request.path_params), error.message, "danger")

    return answer


async def connection_of(
    connections: ConnectionService, session: AsyncSession, tenant_id: UUID, connection_id: UUID
) -> Connection:
    """NotFoundError also for a trip to a provider that never came back."""
    found = await connections.get(session, tenant_id, connection_id)
    if found.state == "pending" and found.account_id is None:
        raise NotFoundError
    return found


def manifest_of(connectors: Connectors, name: str) -> Manifest | None:
    """`name`: as `Connectors.get` takes it. None where this installation has it no more."""
    try:
        return connectors.get(name)
    except NotFoundError:
        return None


def label_of(connectors: Connectors, name: str) -> str:
    """What people call a connector; its name where this installation has it no more."""
    manifest = manifest_of(connectors, name)
    return name if manifest is None else manifest.label


def stream_labels(connectors: Connectors, name: str) -> dict[str, str]:
    manifest = manifest_of(connectors, name)
    return {stream.name: stream.label for stream in manifest.streams} if manifest else {}


def authorize_origins(endpoints: Endpoints, manifests: Iterable[Manifest]) -> tuple[str, ...]:
    """Where a form that starts a sign-in ends; for the page's `form_targets`."""
    return tuple(sorted({one for manifest in manifests for one in endpoints.sign_in_origins(manifest)}))


def usable(text: str) -> bool:
    """Whether the database can hold it: no NUL, no lone surrogate, not endless."""
    if "\0" in text or len(text) > LONGEST:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def asked(request: AnyRequest, name: str) -> str:
    """A query parameter; empty where it is absent or cannot be meant."""
    value = str(request.query_params.get(name, "")).strip()
    return value if usable(value) else ""


def asked_id(request: AnyRequest, name: str) -> UUID | None:
    """NotFoundError for what is no id."""
    value = asked(request, name)
    if not value:
        return None
    found = as_id(value)
    if found is None:
        raise NotFoundError
    return found


def as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def address(path: str, **query: object) -> str:
    """`path` with what is not empty in its query."""
    kept = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


def record_address(connection_id: UUID, stream: str, external_id: str) -> str:
    """An id that a path cannot carry travels in the query."""
    base = f"/portal/records/{connection_id}/{quote(stream, safe='')}"
    if "/" in external_id or external_id in {"", ".", "..", "-"}:
        return address(f"{base}/-", id=external_id)
    return f"{base}/{quote(external_id, safe='')}"


def moment_cursor(at: datetime, identity: UUID) -> str:
    return base64.urlsafe_b64encode(f"{at.isoformat()} {identity}".encode()).decode().rstrip("=")


def read_moment_cursor(text: str) -> tuple[datetime, UUID] | None:
    """None for what we did not make: the first page is a better answer than an error."""
    try:
        at, identity = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().split(" ")
        moment = datetime.fromisoformat(at)
        return (moment, UUID(identity)) if moment.tzinfo is not None else None
    except (ValueError, binascii.Error):
        return None


def pages(
    path: str,
    shown: list[Any],
    limit: int,
    cursor: Any,
    query: Mapping[str, object],
    *,
    at_start: bool,
    back: bool,
) -> tuple[list[Any], str, str]:
    """The rows to show out of limit + 1 asked for, and the addresses of the pages before and after.

    `back`: they were asked for backwards, so that the one too many is the first.
    """
    more = len(shown) > limit
    rows = (shown[-limit:] if back else shown[:limit]) if more else shown
    if not rows:
        return rows, "", ""
    previous = address(path, **query, before=cursor(rows[0])) if (more if back else not at_start) else ""
    following = address(path, **query, after=cursor(rows[-1])) if (back or more) else ""
    return rows, previous, following
