"""API keys over their life, on every route: scopes, expiry, rotation, reasons, and the log of it all."""

from datetime import timedelta
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from sqlalchemy import text, update

from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.openapi import operations
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import EVERY, SCOPES
from trunkline_tenants import api_keys
from trunkline_tenants.keys import new_api_key
from trunkline_tenants.models import ApiKey

CHIEF = Principal(kind="staff", id="chief", role="staff_admin", label="Chris Tanaka")
ID = "0197a0a0-0000-7000-8000-000000000001"


def api_routes(app: Any) -> list[tuple[str, str, Any]]:
    """(method, path, handler) of everything under /v1 that is ours."""
    return [
        (method, route.path, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/v1")
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    ]


def filled(path: str) -> str:
    parts = [ID if "uuid" in part else "contact" if "{" in part else part for part in path.split("/")]
    return "/".join(parts)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_every_route_names_a_scope_and_its_description_says_so(stand: Any) -> None:
    routes = api_routes(stand.app)
    assert len(routes) >= 15
    for method, path, handler in routes:
        assert handler.opt.get("scope") in SCOPES, f"{method} {path} names no scope: kernel.scopes.needs"
    described = (await stand.client().get("/schema/openapi.json")).json()
    assert len(operations(described)) == len(routes)
    for path, method, operation in operations(described):
        [named] = operation["security"][0]["api_key"]
        assert named in SCOPES, (method, path)


async def test_each_route_refuses_a_key_without_its_scope_and_no_other(stand: Any) -> None:
    for scope in EVERY:
        others, _ = await stand.directory.create_api_key(
            f"all but {scope}", tenant_id=stand.tenant_id, scopes=set(EVERY) - {scope}
        )
        only, _ = await stand.directory.create_api_key(
            f"only {scope}", tenant_id=stand.tenant_id, scopes=[scope]
        )
        for method, path, handler in api_routes(stand.app):
            if handler.opt["scope"] != scope:
                continue
            refused = await stand.client(others).request(method, filled(path))
            assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope"), (
                method,
                path,
            )
            assert refused.json()["scope"] == scope
            assert (await stand.client(only).request(method, filled(path))).json().get(
                "code"
            ) != "insufficient_scope"


async def test_scopes_are_those_of_the_table(stand: Any) -> None:
    for wrong in ([], ["records:write"], ["records:read", ""]):
        with pytest.raises(BadInputError) as caught:
            await stand.directory.create_api_key("x", scopes=wrong)
        assert caught.value.field == "scopes"


async def test_an_expired_key_opens_nothing_and_says_why(stand: Any) -> None:
    with pytest.raises(BadInputError):
        await stand.directory.create_api_key("x", expires_at=now() - timedelta(seconds=1))
    plain, key = await stand.directory.create_api_key("x", expires_at=now() + timedelta(hours=1))
    assert (await stand.client(plain).get("/v1/connectors")).status_code == 200
    await change(stand, key.id, expires_at=now() - timedelta(seconds=1))
    answer = await stand.client(plain).get("/v1/connectors")
    assert (answer.status_code, answer.json()["reason"]) == (401, "expired")


async def change(stand: Any, key_id: Any, **values: Any) -> None:
    async with stand.db.system() as session:
        await session.execute(update(ApiKey).where(ApiKey.id == key_id).values(**values))


async def test_a_mistyped_key_is_told_apart_without_a_query(
    stand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_query() -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(stand.directory._db, "system", no_query)
    plain = new_api_key().plain
    swapped = plain[:20] + plain[21] + plain[20] + plain[22:]
    for typed in (plain[:-1], plain + "x", plain.replace("live", "test"), plain.lower(), "é" * 57):
        assert await stand.directory.check_key(typed) == api_keys.Refused("malformed")
    if swapped != plain:
        assert await stand.directory.check_key(swapped) == api_keys.Refused("malformed")
    assert await stand.directory.check_key("") == api_keys.Refused("missing")


async def test_only_who_holds_the_secret_learns_that_it_is_revoked(stand: Any) -> None:
    plain, key = await stand.directory.create_api_key("x")
    await stand.directory.revoke_api_key(key.id)
    assert (await stand.client(plain).get("/v1/connectors")).json()["reason"] == "revoked"
    # another secret with the same prefix and a right checksum
    monkey = new_api_key()
    await change(stand, key.id, prefix=monkey.prefix)
    assert (await stand.client(monkey.plain).get("/v1/connectors")).json()["reason"] == "unknown"
    answer = await stand.client(new_api_key().plain).get("/v1/connectors")
    assert (answer.status_code, answer.json()["reason"]) == (401, "unknown")


async def test_rotation_overlaps_and_ends(stand: Any) -> None:
    first, key = await stand.directory.create_api_key("rotating", scopes=["recipes:read"])
    await stand.directory.authenticate_key(first)
    second, rotated = await stand.directory.rotate_api_key(key.id, overlap=timedelta(hours=2))
    assert rotated.id == key.id
    assert rotated.previous_until is not None
    assert timedelta(hours=1, minutes=59) < rotated.previous_until - now() <= timedelta(hours=2)
    assert (rotated.last_used_at, rotated.previous_used_at is not None) == (None, True)
    for plain in (first, second):
        principal = await stand.directory.authenticate_key(plain)
        assert (principal.id, principal.scopes) == (str(key.id), {"recipes:read"})
    await change(stand, key.id, previous_until=now() - timedelta(seconds=1))
    assert (await stand.client(first).get("/v1/connectors")).json()["reason"] == "replaced"
    assert (await stand.client(second).get("/v1/connectors")).status_code == 200
    third, _ = await stand.directory.rotate_api_key(key.id, overlap=timedelta(hours=1))
    assert await stand.directory.authenticate_key(first) is None
    assert await stand.directory.authenticate_key(second) is not None
    fourth, _ = await stand.directory.rotate_api_key(key.id, overlap=timedelta(0))
    assert await stand.directory.authenticate_key(third) is None
    await stand.directory.revoke_api_key(key.id)
    assert await stand.directory.authenticate_key(fourth) is None
    with pytest.raises(NotFoundError):
        await stand.directory.rotate_api_key(key.id, overlap=timedelta(0))


async def test_a_rotated_secret_outlives_neither_its_expiry_nor_a_month(stand: Any) -> None:
    soon = now() + timedelta(minutes=5)
    plain, key = await stand.directory.create_api_key("x", expires_at=soon)
    for overlap in (timedelta(days=31), timedelta(seconds=-1)):
        with pytest.raises(BadInputError) as caught:
            await stand.directory.rotate_api_key(key.id, overlap=overlap)
        assert caught.value.field == "overlap"
    _, rotated = await stand.directory.rotate_api_key(key.id, overlap=timedelta(days=1))
    assert rotated.previous_until == soon
    assert rotated.expires_at is None
    assert await stand.directory.authenticate_key(plain) is not None


async def test_nothing_kept_opens_anything(stand: Any) -> None:
    first, key = await stand.directory.create_api_key("kept")
    second, _ = await stand.directory.rotate_api_key(key.id, overlap=timedelta(days=1))
    async with stand.db.system() as session:
        kept = str((await session.execute(text("SELECT t::text FROM api_keys t"))).all())
    async with stand.db.tenant(OPERATOR) as session:
        kept += str((await session.execute(text("SELECT t::text FROM audit_entries t"))).all())
    for plain in (first, second):
        secret = plain.split("_")[3]
        assert secret[:-6] not in kept
        assert secret[:-6].encode().hex() not in kept


async def deeds(stand: Any, key_id: Any) -> list[Any]:
    async with stand.db.tenant(OPERATOR) as session:
        rows = await session.execute(
            text(
                "SELECT action, actor, detail, before, after FROM audit_entries WHERE target_id = :id ORDER BY sequence"
            ),
            {"id": str(key_id)},
        )
        return list(rows)


async def test_each_deed_is_in_the_log_with_who_did_it(stand: Any) -> None:
    _, key = await stand.directory.create_api_key("logged", scopes=["records:read"], by=CHIEF)
    await stand.directory.rotate_api_key(key.id, overlap=timedelta(hours=1), by=CHIEF)
    await stand.directory.revoke_api_key(key.id, by=CHIEF)
    found = await deeds(stand, key.id)
    assert [row.action for row in found] == ["api_key.created", "api_key.rotated", "api_key.revoked"]
    assert {row.actor for row in found} == {"Chris Tanaka"}
    assert found[0].after["scopes"] == ["records:read"]
    assert found[1].before["prefix"] == key.prefix != found[1].after["prefix"]
    assert found[2].before["revoked_at"] is None is not found[2].after["revoked_at"]
    assert found[1].detail["previous_prefix"] == key.prefix


async def test_no_entry_no_deed(stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One transaction: where the entry cannot be written, the key stays as it was."""
    plain, key = await stand.directory.create_api_key("atomic")
    before = await stand.directory.every_api_key()

    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no log")

    monkeypatch.setattr(api_keys, "append", broken)
    for deed in (
        lambda: stand.directory.create_api_key("unlogged"),
        lambda: stand.directory.rotate_api_key(key.id, overlap=timedelta(0)),
        lambda: stand.directory.revoke_api_key(key.id),
    ):
        with pytest.raises(RuntimeError):
            await deed()
    assert await stand.directory.every_api_key() == before
    assert await stand.directory.authenticate_key(plain) is not None
    assert [row.action for row in await deeds(stand, key.id)] == ["api_key.created"]


async def test_the_handed_over_session_is_the_tenants_only(stand: Any) -> None:
    """The role of an audited deed sees no key and no other tenant, and the next user of its connection none."""

    async def look() -> None:
        async with stand.db.system() as session:
            await stand.db.hand_over(session, OPERATOR)
            await session.execute(text("SELECT count(*) FROM api_keys"))

    with pytest.raises(Exception, match="permission denied"):
        await look()
    for _ in range(12):  # each connection of the pool
        async with stand.db.system() as session:
            role, scope = (
                await session.execute(
                    text("SELECT current_user, coalesce(current_setting('app.tenant_id', true), '')")
                )
            ).one()
        assert (role, scope) == ("trunkline_system", "")
