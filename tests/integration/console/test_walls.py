"""Who may enter, and what the console asks of the database."""

import re
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from sqlalchemy import event

ID = "0199a000-0000-7000-8000-000000000001"


def routes(app: Any) -> list[tuple[str, str]]:
    """(method, path) of everything under /console, ids filled in."""
    found = []
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path_format.startswith("/console"):
            path = re.sub(
                r"\{(\w+)[^}]*\}", lambda name: ID if name[1].endswith("_id") else "globex", route.path_format
            )
            found += [(method, path) for method in route.methods if method in {"GET", "POST"}]
    return sorted(found)


def test_the_walk_sees_every_route(app: Any) -> None:
    found = routes(app)
    assert len(found) >= 12
    assert ("POST", f"/console/keys/{ID}/revoke") in found
    assert ("GET", "/console/tenants/globex") in found


@pytest.mark.parametrize("email", ["ada@globex.example", "vera@globex.example"])
async def test_a_member_is_refused_everywhere(app: Any, visitors: Any, email: str) -> None:
    member = await visitors(email)
    for method, path in routes(app):
        answer = await (member.get(path) if method == "GET" else member.post(path, reason="x", name="x"))
        assert answer.status_code == 403, f"{method} {path}"
        if method == "GET":
            assert "for the operator" in answer.text or "Ask a staff administrator" in answer.text, path


async def test_strangers_sign_in_first(app: Any, support: Any) -> None:
    support.client.cookies.clear()
    for method, path in routes(app):
        if method == "GET":
            answer = await support.get(path)
            assert answer.status_code == 303, path
            assert answer.headers["location"].startswith("/login?next=/console")


async def test_a_form_without_its_token_changes_nothing(app: Any, chief: Any) -> None:
    posts = [path for method, path in routes(app) if method == "POST"]
    assert posts
    for path in posts:
        assert (await chief.client.post(path, data={"csrf_token": "wrong"})).status_code == 403, path


async def test_support_changes_nothing(app: Any, support: Any) -> None:
    for method, path in routes(app):
        if method == "POST":
            assert (await support.post(path, reason="x", name="x", scope="all")).status_code == 403, path


async def test_pages_read_only_what_staff_may(app: Any, rows: Any, support: Any, services: Any) -> None:
    """No page opens a tenant's scope; what crosses tenants names no table with people's data."""
    await rows.every_state()
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement.lower())

    def refuse(*_: Any) -> None:
        raise AssertionError("a page of the console opened a tenant's scope")

    system, tenant = services.db._system.sync_engine, services.db._app.sync_engine
    console = services.db._console.sync_engine
    event.listen(system, "before_cursor_execute", note)
    event.listen(console, "before_cursor_execute", note)
    event.listen(tenant, "before_cursor_execute", refuse)
    pages = ["/console", "/console/tenants/hooli", "/console/tenants/globex", "/console/issues"]
    pages += ["/console/issues/grant_revoked", "/console/runbooks", "/console/runbooks/grant_revoked"]
    try:
        for path in pages:
            assert (await support.get(path)).status_code == 200, path
    finally:
        event.remove(system, "before_cursor_execute", note)
        event.remove(console, "before_cursor_execute", note)
        event.remove(tenant, "before_cursor_execute", refuse)
    read = set(re.findall(r"(?:from|join) (\w+)", " ".join(asked)))
    assert "connections" in read
    signing_in = {"tenants", "users", "members", "login_sessions"}
    assert read <= signing_in | {"connections", "streams", "runs", "issues", "work"}
