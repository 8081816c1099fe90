"""The lists of `/portal/records`: of a source, of a model, of what was set aside."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import Connection
from trunkline.recipes import repository as recipes_repository
from trunkline.recipes.service import definition_of
from trunkline.runs import repository
from trunkline.runs.schemas import EntityView, QuarantineView, RecordRow
from trunkline.runs.service import RunService
from trunkline.sdk.registry import Connectors
from trunkline_ui.portal.changed import headline, known_as
from trunkline_ui.portal.common import (
    AnyRequest,
    address,
    asked,
    asked_id,
    manifest_of,
    pages,
    record_address,
    stream_labels,
)

SHOWN = 25


class RecordLine(msgspec.Struct, frozen=True, kw_only=True):
    href: str
    external_id: str
    title: str
    detail: str
    models: list[str]
    deleted: bool
    quarantined: bool
    reasons: list[str]
    record: RecordRow | None = None
    entity: EntityView | None = None
    source: str = ""


async def of_source(
    request: AnyRequest,
    session: AsyncSession,
    tenant_id: UUID,
    connection: Connection | None,
    connectors: Connectors,
    runs: RunService,
) -> dict[str, Any]:
    """Records of one stream of one connection; `show=quarantined` lists what recipes could not map."""
    if connection is None:
        return {"lines": [], "previous": "", "following": ""}
    counts = await runs.counts(session, tenant_id, connection.id)
    labels = stream_labels(connectors, connection.spoken)
    streams = [(name, labels.get(name, name), number) for name, number in counts.records.items()]
    stream = asked(request, "stream")
    if not any(name == stream for name, _, _ in streams):
        stream = next((name for name, _, number in streams if number), streams[0][0] if streams else "")
    known = {
        "connection": connection,
        "streams": streams,
        "stream": stream,
        "stream_label": labels.get(stream, stream),
        "quarantined": counts.quarantined,
    }
    if asked(request, "show") == "quarantined":
        return known | await _quarantined(request, session, tenant_id, connection, connectors, runs)
    q, after, before = asked(request, "q"), asked(request, "after"), asked(request, "before")
    rows, previous, following = pages(
        "/portal/records",
        await repository.records(
            session,
            tenant_id,
            connection.id,
            stream,
            after=after or None,
            before=before or None,
            external_id=q or None,
            limit=SHOWN + 1,
        ),
        SHOWN,
        lambda row: row.external_id,
        {"connection": connection.id, "stream": stream, "q": q},
        at_start=not after,
        back=bool(before),
    )
    ids = [row.external_id for row in rows]
    made: dict[str, list[EntityView]] = {}
    for entity in await repository.entities_of_records(session, tenant_id, connection.id, stream, ids):
        made.setdefault(entity.external_id, []).append(entity)
    of_stream = [
        recipe.recipe_id
        for recipe in await recipes_repository.of_connection(session, tenant_id, connection.id)
        if recipe.stream == stream
    ]
    aside = await repository.quarantined_among(session, tenant_id, of_stream, ids)
    lines = []
    for row in rows:
        entities = made.get(row.external_id, [])
        title, second = next((found for one in entities if (found := headline(one.data))[0]), ("", ""))
        lines.append(
            RecordLine(
                href=record_address(connection.id, stream, row.external_id),
                external_id=row.external_id,
                title=title,
                detail=second,
                models=sorted({one.model for one in entities if one.deleted_at is None}),
                deleted=row.deleted_at is not None,
                quarantined=row.external_id in aside,
                reasons=[],
                record=row,
            )
        )
    return known | {"lines": lines, "previous": previous, "following": following}


async def _quarantined(
    request: AnyRequest,
    session: AsyncSession,
    tenant_id: UUID,
    connection: Connection,
    connectors: Connectors,
    runs: RunService,
) -> dict[str, Any]:
    after = _pair(asked(request, "after"))
    found = await repository.quarantine(session, tenant_id, connection.id, after=after, limit=SHOWN + 1)
    names = await recipes_repository.names(session, tenant_id, {one.recipe_id for one in found})
    known = await _known(session, tenant_id, connection, found[:SHOWN], connectors, runs)
    lines = [
        RecordLine(
            href=record_address(connection.id, one.stream, one.external_id),
            external_id=one.external_id,
            title=known.get((one.stream, one.external_id), ""),
            detail=names.get(one.recipe_id, "Removed recipe"),
            models=[],
            deleted=False,
            quarantined=True,
            reasons=[str(error.get("message", "")) for error in one.errors if isinstance(error, dict)],
        )
        for one in found[:SHOWN]
    ]
    following = ""
    if len(found) > SHOWN:
        last = found[SHOWN - 1]
        following = address(
            "/portal/records",
            connection=connection.id,
            show="quarantined",
            after=f"{last.recipe_id} {last.external_id}",
        )
    return {"lines": lines, "previous": "", "following": following, "show": "quarantined"}


async def _known(
    session: AsyncSession,
    tenant_id: UUID,
    connection: Connection,
    found: Sequence[QuarantineView],
    connectors: Connectors,
    runs: RunService,
) -> dict[tuple[str, str], str]:
    """(stream, external id) -> what people know it by: as the connector's own recipe says, then as theirs."""
    manifest = manifest_of(connectors, connection.spoken)
    made = await recipes_repository.of_connection(session, tenant_id, connection.id)
    known: dict[tuple[str, str], str] = {}
    for stream in {one.stream for one in found}:
        spec = manifest.stream(stream) if manifest else None
        suggested = manifest.recipes if manifest else ()
        definitions = [definition_of(one) for one in suggested if one.stream == stream]
        definitions += [one.definition for one in made if one.stream == stream]
        ids = [one.external_id for one in found if one.stream == stream]
        held = await runs.documents(session, tenant_id, connection.id, stream, ids)
        for identity, document in held.items():
            known[stream, identity] = known_as(document, spec.values if spec else "", definitions)
    return known


async def of_model(
    request: AnyRequest,
    session: AsyncSession,
    tenant_id: UUID,
    model: str,
    found: list[Connection],
    connectors: Connectors,
) -> dict[str, Any]:
    q = asked(request, "q")
    after, before = asked_id(request, "after"), asked_id(request, "before")
    rows, previous, following = pages(
        "/portal/records",
        await repository.entities(
            session,
            tenant_id,
            model,
            after=after,
            before=before,
            external_id=q or None,
            limit=SHOWN + 1,
            include_deleted=True,
        ),
        SHOWN,
        lambda entity: entity.id,
        {"model": model, "q": q},
        at_start=after is None,
        back=before is not None,
    )
    known = {one.id: one for one in found}
    lines = []
    for entity in rows:
        title, second = headline(entity.data)
        connection = known.get(entity.connection_id)
        labels = stream_labels(connectors, connection.spoken) if connection else {}
        place = connection.name if connection else "–"
        lines.append(
            RecordLine(
                href=record_address(entity.connection_id, entity.stream, entity.external_id),
                external_id=entity.external_id,
                title=title,
                detail=second,
                models=[entity.model],
                deleted=entity.deleted_at is not None,
                quarantined=False,
                reasons=[],
                entity=entity,
                source=f"{place} · {labels.get(entity.stream, entity.stream)}",
            )
        )
    return {"lines": lines, "previous": previous, "following": following}


def _pair(text: str) -> tuple[UUID, str] | None:
    recipe, _, external_id = text.partition(" ")
    try:
        return UUID(recipe), external_id
    except ValueError:
        return None
