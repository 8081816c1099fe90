"""A connection is moved by hand to a version that it does not move to by itself, and back again."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from packages_kit.steps import connection, settled, taken_in
from sqlalchemy import text

from trunkline.audit.service import history
from trunkline.services import Services

Make = Callable[..., bytes]
KEYED = ('modified = "updated_at"', 'id = "key"\nmodified = "updated_at"')
"""Records told apart otherwise: incompatible, and no question of access."""
HOST = (".acme.example", ".acme-cloud.example")
"""Another host: the key that the customer pasted was not meant for it."""


@pytest.fixture
def tenant(people: Any) -> UUID:
    return people.tenants["globex"].id


@pytest.fixture
async def versions(services: Services, chief: Any, make: Make) -> Any:
    """`await versions("0.2.0", edit, ...)`: taken in and approved for globex; its page."""

    async def given(version: str, *edits: tuple[str, str], tenants: str = "globex") -> str:
        path = await taken_in(services, make(version, *edits), chief)
        await chief.post(f"{path}/approve", whom="some", tenants=tenants, reason="Asked for")
        return path

    return given


@pytest.fixture
async def held(services: Services, tenant: UUID, rows: Any, versions: Any) -> UUID:
    """A connection of globex's through 0.1.0, with a stream that was read."""
    await versions("0.1.0")
    found = await rows.connection(
        tenant, connector="acme", connector_version="0.1.0", name="Acme", scopes=[], config={}
    )
    await rows.stream(
        tenant,
        found,
        checkpoint={"mode": "incremental"},
        settled={"fields": ["email"], "recipes": {}},
        watermark=None,
    )
    return found


async def streams(services: Services, tenant: UUID, held: UUID) -> list[Any]:
    async with services.db.tenant(tenant) as session:
        rows = await session.execute(
            text(
                "SELECT stream, checkpoint, settled, complete_at, paused_at, cause, run_id FROM streams "
                "WHERE tenant_id = :tenant AND connection_id = :held ORDER BY stream"
            ),
            {"tenant": tenant, "held": held},
        )
        return list(rows)


async def told(services: Services, tenant: UUID) -> list[Any]:
    """What the tenant sees of moves."""
    async with services.db.tenant(tenant) as session:
        return [one for one in await history(session, tenant) if one.action == "connection.moved"]


async def test_there_with_the_differences_shown_and_back(
    services: Services, tenant: UUID, held: UUID, versions: Any, chief: Any
) -> None:
    page = await versions("0.2.0", KEYED)
    here = f"/console/tenants/globex/connections/{held}/version"
    assert here in (await chief.get("/console/tenants/globex")).text
    assert here in (await chief.get(page)).text
    await settled(services, tenant)
    assert (await connection(services, tenant, held)).connector_version == "0.1.0"
    shown = (await chief.get(here)).text
    for words in ("Acme 0.2.0", "records are told apart by key", "Access stays as it is"):
        assert words in shown

    refused = await chief.post(here, version="0.2.0", reason=" ")
    assert refused.status_code == 422
    assert "Say why" in refused.text
    refused = await chief.post(here, version="9.9.9", reason="They asked for it")
    assert "Choose a version that this tenant may connect" in refused.text

    done = await chief.post(here, version="0.2.0", reason="They asked for it")
    assert "It speaks 0.2.0 now, and everything is read anew" in await chief.flash(done)
    moved = await connection(services, tenant, held)
    assert (moved.connector_version, moved.state) == ("0.2.0", "active")
    (stream,) = await streams(services, tenant, held)
    assert (stream.checkpoint, stream.settled, stream.complete_at) == (None, None, None)
    assert stream.run_id is not None
    (entry,) = await told(services, tenant)
    assert (entry.before, entry.after) == ({"version": "0.1.0"}, {"version": "0.2.0"})
    assert entry.reason == "They asked for it"
    await settled(services, tenant)
    assert (await connection(services, tenant, held)).connector_version == "0.2.0"

    # and back, while the old version stays
    assert "Acme 0.1.0" in (await chief.get(here)).text
    await chief.post(here, version="0.1.0", reason="It was wrong")
    await settled(services, tenant)
    assert (await connection(services, tenant, held)).connector_version == "0.1.0"
    assert [one.after for one in await told(services, tenant)] == [{"version": "0.1.0"}, {"version": "0.2.0"}]


async def test_access_is_asked_for_anew_and_counts_again_after_a_move_back(
    services: Services, tenant: UUID, held: UUID, versions: Any, chief: Any
) -> None:
    await versions("0.2.0", HOST)
    here = f"/console/tenants/globex/connections/{held}/version"
    shown = (await chief.get(here)).text
    assert "The customer must give access once more" in shown
    assert "It wants to call {subdomain}.acme-cloud.example" in shown
    done = await chief.post(here, version="0.2.0", reason="Their data moved")
    assert "The customer must give access once more" in await chief.flash(done)
    moved = await connection(services, tenant, held)
    assert (moved.connector_version, moved.state, moved.cause) == (
        "0.2.0",
        "reconnect_required",
        "connector_moved",
    )
    # whatever is still done with the old key is done as the old version says
    assert moved.granted == "acme@0.1.0"
    done = await chief.post(here, version="0.1.0", reason="Not yet")
    assert "everything is read anew" in await chief.flash(done)
    back = await connection(services, tenant, held)
    assert (back.connector_version, back.state, back.cause, back.config) == ("0.1.0", "active", None, {})
    assert back.granted == "acme@0.1.0"


async def test_a_grant_that_was_lost_before_is_not_found_again_by_moving(
    services: Services, tenant: UUID, held: UUID, versions: Any, chief: Any
) -> None:
    await versions("0.2.0", KEYED)
    async with services.db.tenant(tenant) as session:
        await services.connections.require_reconnect(session, tenant, held, "grant_revoked")
    here = f"/console/tenants/globex/connections/{held}/version"
    for version in ("0.2.0", "0.1.0"):
        await chief.post(here, version=version, reason="Asked for")
        found = await connection(services, tenant, held)
        assert (found.state, found.cause) == ("reconnect_required", "grant_revoked")
        assert found.connector_version == version


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (('id = "account.id"', 'id = "account.key"'), "tells accounts apart by another value"),
        (('modified = "updated_at"', 'modified = "created_at"'), "dates contacts in another way"),
        (
            ('kind = "api_key"\nheaders = { authorization = "Bearer {api_key}" }', 'kind = "basic"'),
            "The way in which this account gave access is gone",
        ),
    ],
)
async def test_what_would_mean_something_else_is_refused(
    services: Services,
    tenant: UUID,
    held: UUID,
    versions: Any,
    chief: Any,
    edit: tuple[str, str],
    words: str,
) -> None:
    await versions("0.2.0", edit)
    here = f"/console/tenants/globex/connections/{held}/version"
    shown = (await chief.get(here)).text
    assert words in shown
    assert "Connect the account anew instead" in shown
    answer = await chief.post(here, version="0.2.0", reason="Asked for")
    assert answer.status_code == 422
    assert (await connection(services, tenant, held)).connector_version == "0.1.0"


async def test_not_where_it_would_go_by_itself_or_nobody_may(
    services: Services, tenant: UUID, held: UUID, versions: Any, chief: Any, make: Make, rows: Any
) -> None:
    await versions("0.1.1")
    await versions("0.3.0", KEYED, tenants="initech")
    here = f"/console/tenants/globex/connections/{held}/version"
    shown = (await chief.get(here)).text
    assert "The connection moves there by itself" in shown
    assert "Acme 0.3.0" not in shown
    await settled(services, tenant)
    assert (await connection(services, tenant, held)).connector_version == "0.1.1"
    assert "From there it would move on to 0.1.1 by itself" in (await chief.get(here)).text
    answer = await chief.post(here, version="0.3.0", reason="Asked for")
    assert "Choose a version that this tenant may connect" in answer.text
    ours = await rows.connection(tenant)
    assert (
        "always in the version that this installation has"
        in (await chief.get(here.replace(str(held), str(ours)))).text
    )
    assert (await chief.get(here.replace("globex", "initech"))).status_code == 404


async def test_a_stream_that_is_gone_rests_and_comes_back(
    services: Services, tenant: UUID, held: UUID, versions: Any, chief: Any
) -> None:
    """Nothing of it is deleted, and nothing tries it for ever."""
    await versions(
        "0.2.0",
        ('name = "contacts"\nlabel = "Contacts"', 'name = "people"\nlabel = "People"'),
        ('stream = "contacts"', 'stream = "people"'),
    )
    here = f"/console/tenants/globex/connections/{held}/version"
    assert "The stream contacts is gone" in (await chief.get(here)).text
    await chief.post(here, version="0.2.0", reason="They asked for it")
    async with services.db.tenant(tenant) as session:
        await session.execute(
            text(
                "UPDATE streams SET paused_at = now(), cause = 'stream_gone', cause_since = now() "
                "WHERE tenant_id = :tenant"
            ),
            {"tenant": tenant},
        )
    await chief.post(here, version="0.1.0", reason="They miss it")
    (stream,) = await streams(services, tenant, held)
    assert (stream.paused_at, stream.cause) == (None, None)
    assert stream.run_id is not None


async def test_support_looks_and_does_not_move(services: Services, held: UUID, support: Any) -> None:
    here = f"/console/tenants/globex/connections/{held}/version"
    assert (await support.get(here)).status_code == 403
    assert (await support.post(here, version="0.1.0", reason="x")).status_code == 403
    assert here not in (await support.get("/console/tenants/globex")).text
