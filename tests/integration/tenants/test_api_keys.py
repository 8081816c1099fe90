"""API keys and the tenant of a request; the shape of errors; the schema."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from trunkline.kernel.clock import now
from trunkline_tenants.keys import new_api_key
from trunkline_tenants.models import ApiKey


@pytest.fixture
async def key(directory, people) -> str:
    return (await directory.create_api_key("Product backend"))[0]


@pytest.fixture
async def bound(directory, people) -> str:
    return (await directory.create_api_key("Globex only", tenant_id=people.tenants["globex"].id))[0]


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **more}


async def test_only_a_hash_is_kept_and_the_plain_key_is_shown_once(directory, db, key) -> None:
    async with db.system() as session:
        row = (await session.execute(select(ApiKey))).scalar_one()
    assert len(row.key_hash) == 32
    assert row.prefix in key
    assert key.split("_")[3] not in repr(vars(row))
    assert [found.prefix for found in await directory.api_keys()] == [row.prefix]


async def test_an_unbound_key_names_its_tenant_in_three_ways(client, people, key) -> None:
    globex = str(people.tenants["globex"].id)
    answer = await client.get("/v1/whoami?tenant=globex", headers=bearer(key))
    assert answer.json() == {"label": "Product backend", "tenant": globex}
    answer = await client.get("/v1/whoami", headers=bearer(key, **{"Trunkline-Tenant": "globex"}))
    assert answer.json()["tenant"] == globex
    answer = await client.post("/v1/notes", json={"text": "x", "tenant": "globex"}, headers=bearer(key))
    assert answer.json() == {"text": "x", "count": 1}
    answer = await client.get("/v1/whoami", headers=bearer(key))
    assert (answer.status_code, answer.json()["code"]) == (400, "tenant_required")
    answer = await client.get(
        "/v1/whoami?tenant=initech", headers=bearer(key, **{"Trunkline-Tenant": "globex"})
    )
    assert answer.status_code == 400


async def test_a_bound_key_implies_its_tenant_and_knows_no_other(client, people, bound) -> None:
    answer = await client.get("/v1/whoami", headers=bearer(bound))
    assert answer.json()["tenant"] == str(people.tenants["globex"].id)
    assert (await client.get("/v1/whoami?tenant=globex", headers=bearer(bound))).status_code == 200
    bodies = []
    for named in ("initech", "does-not-exist", "Not A Slug"):
        answer = await client.get("/v1/whoami", params={"tenant": named}, headers=bearer(bound))
        assert answer.status_code == 404
        bodies.append({**answer.json(), "request_id": ""})
        answer = await client.post("/v1/notes", json={"text": "x", "tenant": named}, headers=bearer(bound))
        assert answer.status_code == 404
    assert bodies[0] == bodies[1] == bodies[2]


async def test_what_is_no_valid_key(client, directory, key) -> None:
    [kept] = await directory.api_keys()
    forged = new_api_key()
    other_secret = key.replace(kept.prefix, forged.prefix)
    headers = [
        {},
        bearer(""),
        bearer(forged.plain),
        bearer(other_secret),
        bearer(key[:-1] + ("a" if key[-1] != "a" else "b")),
        bearer(key + "x"),
        {"Authorization": f"Basic {key}"},
        bearer("tl_live_"),
    ]
    for given in headers:
        answer = await client.get("/v1/whoami?tenant=globex", headers=given)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["code"] == "unauthenticated"
    assert (await client.get("/v1/whoami?tenant=globex", headers=bearer(key))).status_code == 200
    await directory.revoke_api_key(kept.id)
    assert (await client.get("/v1/whoami?tenant=globex", headers=bearer(key))).status_code == 401


async def test_a_session_is_no_key_and_a_key_no_session(client, browser, key) -> None:
    await browser.sign_in(client, "ada@globex.example")
    assert (await client.get("/v1/whoami?tenant=globex")).status_code == 401
    client.cookies.clear()
    assert (await client.get("/portal", headers=bearer(key))).status_code == 303


async def test_last_used_moves_at_most_once_a_minute(client, db, key) -> None:
    async def used():
        async with db.system() as session:
            return (await session.execute(select(ApiKey.last_used_at))).scalar_one()

    assert await used() is None
    await client.get("/v1/whoami?tenant=globex", headers=bearer(key))
    first = await used()
    assert first is not None
    await client.get("/v1/whoami?tenant=globex", headers=bearer(key))
    assert await used() == first
    async with db.system() as session:
        await session.execute(update(ApiKey).values(last_used_at=now() - timedelta(minutes=2)))
    await client.get("/v1/whoami?tenant=globex", headers=bearer(key))
    assert now() - await used() < timedelta(minutes=1)


async def test_a_tenants_own_list_and_revocation(directory, people, key, bound) -> None:
    globex, initech = people.tenants["globex"].id, people.tenants["initech"].id
    [own] = await directory.api_keys(tenant_id=globex)
    assert await directory.api_keys(tenant_id=initech) == []
    with pytest.raises(Exception, match="nothing here"):
        await directory.revoke_api_key(own.id, tenant_id=initech)
    await directory.revoke_api_key(own.id, tenant_id=globex)
    assert await directory.authenticate_key(bound) is None


async def test_problems_have_one_shape(client, key) -> None:
    headers = bearer(key)
    wrong = await client.post(
        "/v1/notes?tenant=globex&secret=in-the-query", json={"text": 5, "count": "many"}, headers=headers
    )
    assert wrong.status_code == 400
    assert wrong.headers["content-type"] == "application/problem+json"
    body = wrong.json()
    assert body["code"] == "bad_input"
    assert body["title"] == "Bad Request"
    assert body["errors"][0]["field"] in {"text", "count"}
    assert "in-the-query" not in wrong.text
    assert body["request_id"] == wrong.headers["x-request-id"]
    unread = await client.post("/v1/notes?tenant=globex", content=b"{", headers=headers)
    assert (unread.status_code, unread.json()["code"]) == (400, "bad_input")
    absent = await client.get("/v1/nothing", headers=headers)
    assert (absent.status_code, absent.json()["code"]) == (404, "not_found")
    method = await client.delete("/v1/whoami", headers=headers)
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    large = await client.post("/v1/notes?tenant=globex", content=b'"' + b"x" * 1_100_000, headers=headers)
    assert (large.status_code, large.json()["code"]) == (413, "too_large")


async def test_an_unexpected_error_tells_its_id_only(client, key, capfd) -> None:
    answer = await client.get(
        "/v1/broken?tenant=globex", headers=bearer(key, **{"X-Request-Id": "abcdef123456"})
    )
    assert answer.status_code == 500
    assert answer.json()["request_id"] == "abcdef123456"
    assert "secret-in-the-exception" not in answer.text
    assert "RuntimeError" not in answer.text


async def test_the_schema_describes_v1_only_and_our_errors(client) -> None:
    document = (await client.get("/schema/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {"/v1/whoami", "/v1/notes", "/v1/broken"}
    note = document["paths"]["/v1/notes"]["post"]
    failures = {"400", "401", "403", "404", "409", "413", "415", "422", "500", "503"}
    assert set(note["responses"]) == {"200", *failures}
    assert list(note["responses"]["400"]["content"]) == ["application/problem+json"]
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"


async def test_the_reference_page_asks_nobody_else(client) -> None:
    page = await client.get("/schema")
    assert page.status_code == 200
    assert "/v1/whoami" in page.text
    assert "<script" not in page.text
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page.text)
    assert (await client.get("/schema/reference.css")).headers["content-type"].startswith("text/css")


async def test_every_response_is_framed(client) -> None:
    for path in ("/login", "/healthz", "/v1/whoami", "/schema", "/no-such-page", "/portal"):
        answer = await client.get(path)
        headers = answer.headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert headers["x-request-id"]
    missing = await client.get("/no-such-page")
    assert missing.status_code == 404
    assert "Nothing is here" in missing.text


async def test_probes(client, db, app) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    assert (await client.get("/readyz")).json() == {"status": "ok", "checks": {"database": "ok"}}
