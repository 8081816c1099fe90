"""What the product's backend may ask for; the widget's path is tested with the connections."""

from datetime import timedelta
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import text

from trunkline.access.schemas import ConnectSessionIn, EndUser
from trunkline.access.service import AccessService
from trunkline.connections.service import ConnectionService
from trunkline.kernel.clock import now
from trunkline.kernel.egress import Egress
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline.vault.providers import LocalKeyFile
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue
from trunkline_connectors.catalogue import manifests

TENANT = uuid4()
KEY = Principal(kind="api_key", id="k", role="product", label="Product", tenant_id=TENANT)
GOOD = ConnectSessionIn(
    end_user=EndUser("user-1", "Maya Chen"), connectors=["hubspot"], origin="https://app.example.com"
)


@pytest.fixture
async def access(db, tmp_path):
    settings, connectors = Settings(data=tmp_path), Connectors(manifests())
    egress = Egress(settings)
    vault = Vault(LocalKeyFile(tmp_path / "wrapping.key"))
    connections = ConnectionService(settings, db, connectors, Endpoints(settings), egress, vault, WorkQueue())
    yield AccessService(settings, db, connectors, connections)
    await egress.close()


async def create(db, access, **changes):
    async with db.tenant(TENANT) as session:
        return await access.create(session, TENANT, KEY, msgspec.structs.replace(GOOD, **changes))


async def test_a_session_lasts_ten_minutes_and_keeps_no_token(db, access):
    made = await create(db, access)
    assert timedelta(minutes=9, seconds=50) < made.expires_at - now() <= timedelta(minutes=10)
    assert made.token.startswith(f"cs_{made.id.hex}_")
    assert len(made.token) == 3 + 32 + 1 + 43
    assert made.script_url == "http://127.0.0.1:8700/widget/v1.js"
    assert made.token not in repr(made)
    async with db.tenant(TENANT) as session:
        rows = repr((await session.execute(text("select * from connect_sessions"))).all())
        rows += repr((await session.execute(text("select * from audit_entries"))).all())
        status = await access.status(session, TENANT, made.id)
    assert made.token[36:] not in rows
    assert (status.state, status.connection_id, status.error) == ("open", None, None)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"connectors": []}, "connectors", "at least one"),
        ({"connectors": ["salesfarce"]}, "connectors", 'no connector named "salesfarce".*hubspot'),
        ({"recipes": ["invoices"]}, "recipes", "invoices.*contacts"),
        ({"end_user": EndUser(" ", "x")}, "end_user.id", "readable"),
        ({"end_user": EndUser("x", "a\x00b")}, "end_user.name", "readable"),
        ({"origin": "app.example.com"}, "origin", "scheme, host and port"),
    ],
)
async def test_wrong_input_names_the_field_and_what_would_do(db, access, changes, field, words):
    with pytest.raises(BadInputError, match=words) as raised:
        await create(db, access, **changes)
    assert raised.value.field == field


async def test_a_connection_of_nobody_cannot_be_reconnected(db, access):
    with pytest.raises(NotFoundError):
        await create(db, access, connection_id=uuid4())


async def test_another_tenants_session_is_nowhere(db, access):
    made = await create(db, access)
    other = uuid4()
    async with db.tenant(other) as session:
        with pytest.raises(NotFoundError):
            await access.status(session, other, made.id)
