"""Who may enter, and what the console asks of the database."""

import html
import re
from typing import Any

import pytest
from litestar.routes import HTTPRoute
from sqlalchemy import event, text

from trunkline.audit.service import append
from trunkline.kernel.principal import Principal
from trunkline_tenants.permissions import SENTENCES

ID = "0199a000-0000-7000-8000-000000000001"

KNOWN = {"cause": "grant_revoked", "code": "grant_revoked"}


def routes(app: Any) -> list[tuple[str, str]]:
    """(method, path) of everything under /console, ids filled in."""
    found = []
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path_format.startswith("/console"):
            path = re.sub(
                r"\{(\w+)[^}]*\}",
                lambda name: ID if name[1].endswith("_id") else KNOWN.get(name[1], "globex"),
                route.path_format,
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
            shown = html.unescape(answer.text)
            assert any(
                SENTENCES[action] in shown
                for action in SENTENCES
                if action.startswith(("console.", "packages."))
            ), path


async def test_support_sees_no_person_on_any_page(app: Any, rows: Any, support: Any, services: Any) -> None:
    """People of tenants, by name or address; whoever may see them is not support."""
    name, tenant_id = next(iter((await rows.every_state()).items()))
    who = Principal(kind="member", id=ID, role="owner", label="Ada Personal", tenant_id=tenant_id)
    async with services.db.tenant(tenant_id) as session:
        connection = await session.scalar(text("SELECT id FROM connections LIMIT 1"))
        reason = "asked by somebody@personal.example"
        await append(session, who, "connection.paused", "connection", connection, {}, reason)
    shown = 0
    for method, path in routes(app):
        if method != "GET":
            continue
        answer = await support.get(path.replace("globex", name.lower()).replace(ID, str(connection)))
        shown += answer.status_code == 200
        for person in ("somebody@personal.example", "Ada Personal", "user-personal", "@globex.example"):
            assert person not in answer.text, (path, person)
    assert shown >= 6


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
    # of changes and of addresses, the console's role may read where they stand and since when, of what an address
    # is proven by when a certificate ends, and nothing else
    told = {
        "readers",
        "change_heads",
        "changes",
        "webhook_endpoints",
        "hook_endpoints",
        "endpoint_credentials",
    }
    assert read <= signing_in | told | {"connections", "streams", "runs", "issues", "work"}
