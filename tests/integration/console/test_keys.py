"""API keys: made once, shown once, revoked for good, and only by staff administrators."""

import re
from datetime import timedelta
from typing import Any

from sqlalchemy import text as sql

from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR

PLAIN = re.compile(r"tl_live_[0-9A-Za-z]{10}_[0-9A-Za-z]{38}")


async def test_a_key_is_shown_once_and_works(rows: Any, chief: Any) -> None:
    answer = await chief.post("/console/keys", name="Backend", scope="all", scopes="records:read")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    plain = set(PLAIN.findall(answer.text)).pop()
    principal = await rows.directory.authenticate_key(plain)
    assert principal is not None
    assert principal.tenant_id is None
    again = (await chief.get("/console/keys")).text
    assert not PLAIN.findall(again)
    assert "Backend" in again
    assert plain.split("_")[2] in again
    assert "Every tenant" in again


async def test_a_key_for_one_tenant(rows: Any, people: Any, chief: Any) -> None:
    answer = await chief.post(
        "/console/keys", name="Only Globex", scope="one", tenant=" globex ", scopes="connect:write"
    )
    plain = set(PLAIN.findall(answer.text)).pop()
    principal = await rows.directory.authenticate_key(plain)
    assert principal is not None
    assert principal.tenant_id == people.tenants["globex"].id
    assert "Globex Corporation" in (await chief.get("/console/keys")).text


async def test_what_is_missing_is_named_and_nothing_is_made(rows: Any, chief: Any) -> None:
    for form, words in (
        ({"name": "", "scope": "all"}, "Give a name of 1 to 120"),
        ({"name": "x" * 500, "scope": "all"}, "Give a name of 1 to 120"),
        ({"name": "ok"}, "Choose whose data the key opens."),
        ({"name": "ok", "scope": "one"}, "No tenant has this slug"),
        ({"name": "ok", "scope": "one", "tenant": "nobody"}, "No tenant has this slug"),
        ({"name": "ok", "scope": "all", "scopes": ""}, "Choose at least one thing"),
        ({"name": "ok", "scope": "all", "scopes": "everything:write"}, "Choose at least one thing"),
        ({"name": "ok", "scope": "all", "scopes": ["records:read", "x:y"]}, "There is no scope"),
        ({"name": "ok", "scope": "all", "expires": "7"}, "Choose when the key expires."),
    ):
        answer = await chief.post("/console/keys", **{"scopes": "records:read"} | form)
        assert answer.status_code == 422, form
        assert words in answer.text
        assert not PLAIN.findall(answer.text)
    assert await rows.directory.every_api_key() == []


async def test_revoking(rows: Any, people: Any, chief: Any) -> None:
    plain, key = await rows.directory.create_api_key("Old one", tenant_id=people.tenants["globex"].id)
    address = f"/console/keys/{key.id}/revoke"
    assert "Revoke “Old one”?" in (await chief.get(address)).text
    text = await chief.flash(await chief.post(address))
    assert "is revoked" in text
    assert await rows.directory.authenticate_key(plain) is None
    assert (await chief.post(address)).status_code == 404
    assert (await chief.get(address)).status_code == 404


async def test_making_and_revoking_are_in_the_installations_log(rows: Any, chief: Any) -> None:
    answer = await chief.post("/console/keys", name="Backend", scope="all", scopes="records:read")
    plain = set(PLAIN.findall(answer.text)).pop()
    key = (await rows.directory.every_api_key())[0]
    await chief.post(f"/console/keys/{key.id}/revoke")
    async with rows.db.tenant(OPERATOR) as session:
        found = list(
            await session.execute(
                sql(
                    "SELECT action, actor, actor_kind, detail FROM audit_entries "
                    "WHERE action LIKE 'api_key.%' ORDER BY at"
                )
            )
        )
    assert [row.action for row in found] == ["api_key.created", "api_key.revoked"]
    assert {row.actor for row in found} == {"Chris Tanaka"}
    assert plain not in str(found)


async def test_a_key_may_what_was_chosen_for_as_long_as_was_chosen(rows: Any, chief: Any) -> None:
    scopes = ["recipes:read", "records:read"]
    answer = await chief.post("/console/keys", name="Reader", scope="all", scopes=scopes, expires="30")
    principal = await rows.directory.authenticate_key(set(PLAIN.findall(answer.text)).pop())
    assert principal.scopes == set(scopes)
    [key] = await rows.directory.every_api_key()
    assert timedelta(days=29) < key.expires_at - now() <= timedelta(days=30)
    assert "recipes:read" in (await chief.get("/console/keys")).text


async def test_rotating(rows: Any, chief: Any) -> None:
    old, key = await rows.directory.create_api_key("Backend", scopes=["records:read"])
    address = f"/console/keys/{key.id}/rotate"
    assert "Rotate “Backend”?" in (await chief.get(address)).text
    for form in ({"overlap": "9999", "expires": "30"}, {"overlap": "24", "expires": "x"}):
        answer = await chief.post(address, **form)
        assert answer.status_code == 422
        assert not PLAIN.findall(answer.text)
    answer = await chief.post(address, overlap="24", expires="never")
    assert answer.headers["cache-control"] == "no-store"
    new = set(PLAIN.findall(answer.text)).pop()
    assert new != old
    for plain in (old, new):
        assert (await rows.directory.authenticate_key(plain)).scopes == {"records:read"}
    assert "The key before" in (await chief.get("/console/keys")).text
    assert not PLAIN.findall((await chief.get("/console/keys")).text)
    await chief.post(f"/console/keys/{key.id}/revoke")
    assert (await chief.get(address)).status_code == 404
    assert (await chief.post(address, overlap="24", expires="30")).status_code == 404
    assert await rows.directory.authenticate_key(new) is await rows.directory.authenticate_key(old) is None


async def test_support_neither_sees_nor_makes_keys(rows: Any, support: Any) -> None:
    _, key = await rows.directory.create_api_key("Not yours")
    for answer in (
        await support.get("/console/keys"),
        await support.get(f"/console/keys/{key.id}/revoke"),
        await support.post("/console/keys", name="Mine", scope="all", scopes="records:read"),
        await support.post(f"/console/keys/{key.id}/revoke"),
        await support.get(f"/console/keys/{key.id}/rotate"),
        await support.post(f"/console/keys/{key.id}/rotate", overlap="0", expires="never"),
    ):
        assert answer.status_code == 403
        assert "Ask a staff administrator to do it." in answer.text
        assert "Not yours" not in answer.text
    assert [one.revoked_at for one in await rows.directory.every_api_key()] == [None]
    assert "/console/keys" not in (await support.get("/console")).text
