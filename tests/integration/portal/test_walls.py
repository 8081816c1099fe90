"""No route of the portal shows or changes another tenant's rows, and a viewer changes nothing."""

import re
from typing import Any
from uuid import UUID

import pytest
from litestar.routes import HTTPRoute

from trunkline_tenants.seed import Seeded


def routes(app: Any) -> list[tuple[str, str]]:
    """(method, path template) of everything under /portal."""
    found = []
    for route in app.routes:
        if isinstance(route, HTTPRoute) and route.path_format.startswith("/portal"):
            found += [(method, route.path_format) for method in route.methods if method in {"GET", "POST"}]
    return sorted(found)


def fill(template: str, made: Any, **other: str) -> str:
    values = {
        "connection_id": str(made.connection_id),
        "run_id": str(made.run_id),
        "stream": made.stream,
        "external_id": made.external_id,
        **other,
    }
    return re.sub(r"\{(\w+)[^}]*\}", lambda found: values[found[1]], template)


def test_the_walk_sees_routes_of_every_kind(app: Any) -> None:
    found = routes(app)
    assert len(found) > 15
    assert ("POST", "/portal/connections/{connection_id}/disconnect") in found
    assert ("GET", "/portal/records/{connection_id}/{stream}/{external_id}") in found


async def test_another_tenants_ids_are_not_found(
    app: Any, factory: Any, people: Seeded, owner: Any, visitors: Any
) -> None:
    theirs = await factory.whole(people.tenants["initech"].id, text="Initech only")
    review_id = str(await factory.review(theirs))
    peter = await visitors("peter@initech.example")
    hook = await factory.webhook(theirs) | await factory.written(theirs)
    walked = 0
    for method, template in routes(app):
        if "{" not in template:
            continue
        path = fill(template, theirs, review_id=review_id, **hook)
        answer = await (owner.get(path) if method == "GET" else owner.post(path, name="Mine now", reason="x"))
        assert answer.status_code == 404, f"{method} {template}: {answer.status_code}"
        assert "Initech only" not in answer.text
        walked += 1
        if method == "GET":
            assert (await peter.get(path)).status_code == 200, f"{template} for its owner"
    assert walked >= 12
    query = f"/portal/records?connection={theirs.connection_id}"
    assert (await owner.get(query)).status_code == 404
    for path in (
        "/portal",
        "/portal/records",
        "/portal/issues",
        "/portal/activity",
        "/portal/records?model=contact",
    ):
        assert "Initech only" not in (await owner.get(path)).text, path


async def test_unknown_ids_are_not_found(app: Any, factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    for method, template in routes(app):
        if "{" not in template:
            continue
        path = fill(
            template,
            made,
            connection_id=str(UUID(int=1)),
            run_id=str(UUID(int=1)),
            review_id=str(UUID(int=1)),
            endpoint_id=str(UUID(int=1)),
            system_id=str(UUID(int=1)),
            delivery_id=str(UUID(int=1)),
            event_id=str(UUID(int=1)),
            replay_id=str(UUID(int=1)),
            call_id=str(UUID(int=1)),
        )
        answer = await (owner.get(path) if method == "GET" else owner.post(path, name="x", reason="x"))
        assert answer.status_code == 404, f"{method} {template}"


async def test_a_viewer_is_refused_every_change(app: Any, factory: Any, people: Seeded, viewer: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    review_id = str(await factory.review(made))
    hook = await factory.webhook(made) | await factory.written(made)
    posts = [template for method, template in routes(app) if method == "POST"]
    assert posts
    for template in posts:
        path = fill(template, made, review_id=review_id, **hook)
        answer = await viewer.post(path, connector="hubspot", name="x")
        assert answer.status_code == 403, template
    for what in ("disconnect", "reread"):
        assert (await viewer.get(f"/portal/connections/{made.connection_id}/{what}")).status_code == 403


async def test_a_form_without_its_token_changes_nothing(
    app: Any, factory: Any, people: Seeded, owner: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    review_id = str(await factory.review(made))
    hook = await factory.webhook(made) | await factory.written(made)
    for method, template in routes(app):
        if method == "POST":
            path = fill(template, made, review_id=review_id, **hook)
            answer = await owner.client.post(path, data={"csrf_token": "wrong"})
            assert answer.status_code == 403, template


@pytest.mark.parametrize("path", ["/portal", "/portal/records", "/portal/connect"])
async def test_strangers_and_staff_stay_outside(visitors: Any, owner: Any, path: str) -> None:
    owner.client.cookies.clear()
    answer = await owner.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/portal")
