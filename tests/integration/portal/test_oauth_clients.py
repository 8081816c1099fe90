"""The page of an organisation's own OAuth clients: owners only, and a secret that never comes out."""

from typing import Any

from sqlalchemy import text

from trunkline_tenants.seed import Seeded

HOME = "/portal/oauth-clients"
GIVEN = {"connector": "hubspot", "client_id": "globex-app", "secret": "n3ver-shown-again"}


async def test_an_owner_registers_replaces_and_removes(owner: Any, people: Seeded, services: Any) -> None:
    tenant = people.tenants["globex"].id
    assert 'href="/portal/oauth-clients"' in (await owner.get("/portal/connect")).text
    empty = (await owner.get(HOME)).text
    assert f"/oauth/callback/hubspot/{tenant.hex}" in empty
    assert "through our app" in empty
    shown = await owner.flash(await owner.post(HOME, **GIVEN))
    assert "globex-app" in shown
    assert "Replace the secret" in shown
    assert "/hooks/hubspot/" in shown, "where its webhooks are to come"
    assert "/hooks/" not in empty
    again = await owner.flash(await owner.post(HOME, **{**GIVEN, "secret": "another-secret"}))
    refused = await owner.post(HOME, **{**GIVEN, "client_id": "two words\n", "secret": "bad\x00secret"})
    assert refused.status_code == 422
    assert "exactly as the provider shows it" in refused.text
    activity = (await owner.get("/portal/activity")).text
    for page in (shown, again, refused.text, activity):
        for secret in ("n3ver-shown-again", "another-secret", "bad\x00secret"):
            assert secret not in page
    async with services.db.tenant(tenant) as session:
        dump = repr((await session.execute(text("select * from oauth_clients"))).all())
        dump += repr((await session.execute(text("select * from audit_entries"))).all())
    assert "globex-app" in dump
    assert "secret'" not in dump
    assert "n3ver" not in dump
    gone = await owner.flash(await owner.post(f"{HOME}/remove", connector="hubspot"))
    assert "is forgotten" in gone
    assert "globex-app" not in gone
    assert (await owner.post(f"{HOME}/remove", connector="hubspot")).status_code == 303  # with a message


async def test_other_roles_and_other_organisations_stay_outside(
    owner: Any, viewer: Any, visitors: Any, people: Seeded
) -> None:
    await owner.post(HOME, **GIVEN)
    peter = await visitors("peter@initech.example")
    assert "globex-app" not in (await peter.get(HOME)).text
    assert "exactly" in (await peter.get(HOME)).text
    assert (await viewer.get(HOME)).status_code == 403
    assert HOME not in (await viewer.get("/portal/connect")).text
    assert (await peter.post(HOME, connector="nowhere", client_id="x", secret="y")).status_code == 404
    assert "globex-app" in (await owner.get(HOME)).text
