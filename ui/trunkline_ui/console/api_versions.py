"""`/console/api-versions`: which versions of providers' APIs are in use, and how long each lasts."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime

import msgspec
from litestar import Controller, get
from litestar.di import NamedDependency

from trunkline.kernel.db import Database
from trunkline.packages import repository
from trunkline.packages.repository import InUse
from trunkline.sdk.manifest import Api, Manifest
from trunkline.sdk.registry import Connectors
from trunkline_ui.console.common import Frame
from trunkline_ui.rendering import Page, Tone, page

URGENT_DAYS = 30
SOON_DAYS = 180
LOOKED_DAYS = 365
"""After that somebody should look again whether an end was announced."""


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    connector: str
    version: str
    """Of a partner's connector; empty for ours."""
    api: Api | None
    connections: int
    days: int | None
    words: str
    tone: Tone


class ApiVersionPages(Controller):
    include_in_schema = False

    @get("/console/api-versions")
    async def table(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        connectors: NamedDependency[Connectors],
    ) -> Page:
        await connectors.refresh()
        async with db.console() as session:
            context = await framed(session, "/console/connectors")
            used = await repository.in_use(session)
        today = datetime.now(UTC).date()
        context |= {"lines": lines(connectors.own(), connectors.partners(), used, today)}
        return page("console/api_versions.html", context)


def lines(
    own: Iterable[Manifest], partners: Iterable[Manifest], used: Sequence[InUse], today: date
) -> list[VersionLine]:
    """What ends first comes first; then what is unknown, then what has no end."""
    found = [_line(one, "", used, today) for one in own]
    found += [
        made for one in partners if (made := _line(one, one.version, used, today)).connections or made.api
    ]
    order = {"danger": 0, "warning": 1, "neutral": 2, "success": 3}
    far = 10**6
    return sorted(
        found,
        key=lambda one: (
            one.days if one.days is not None else far,
            order.get(one.tone, 2),
            one.label.casefold(),
            one.version,
        ),
    )


def _line(manifest: Manifest, version: str, used: Sequence[InUse], today: date) -> VersionLine:
    days = (manifest.api.ends - today).days if manifest.api and manifest.api.ends else None
    words, tone = standing(manifest.api, today)
    return VersionLine(
        label=manifest.label,
        connector=manifest.name,
        version=version,
        api=manifest.api,
        connections=sum(
            one.count
            for one in used
            if (one.connector, one.version or "") == (manifest.name, version) and not one.ended
        ),
        days=days,
        words=words,
        tone=tone,
    )


def standing(api: Api | None, today: date) -> tuple[str, Tone]:
    """How long it lasts, in words that need no colour."""
    if api is None:
        return "Version unknown", "warning"
    if api.ends is not None:
        days = (api.ends - today).days
        if days < 0:
            return f"Ended {-days} {'day' if days == -1 else 'days'} ago", "danger"
        if days <= URGENT_DAYS:
            return f"Urgent: {days} {'day' if days == 1 else 'days'} left", "danger"
        return (
            (f"Soon: {days} days left", "warning") if days <= SOON_DAYS else (f"{days} days left", "success")
        )
    if api.no_end_announced is None:
        return "End not looked up", "warning"
    if (today - api.no_end_announced).days > LOOKED_DAYS:
        return "No end announced; look again", "warning"
    return "No end announced", "success"
