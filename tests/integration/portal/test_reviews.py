"""Reviews as members see and decide them."""

from typing import Any

from sqlalchemy import text

from trunkline.audit.service import history
from trunkline_tenants.seed import Seeded


async def test_a_review_is_seen_wherever_it_matters(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    assert "Nothing to decide" in (await owner.get("/portal/reviews")).text
    review_id = await factory.review(made)
    path = f"/portal/reviews/{review_id}"
    listed = (await owner.get("/portal/reviews")).text
    assert f'href="{path}"' in listed
    assert "60 records of 120 disappeared at once" in listed
    page = (await owner.get(path)).text
    assert "Zoë Åström" in page, "by the name that people know it by"
    assert "a/b &lt;x&gt;" in page
    assert "Delete 60 records" in page
    home = (await owner.get(f"/portal/connections/{made.connection_id}")).text
    assert home.count(f'href="{path}"') == 2, "on the connection and on its stream"
    assert "Degraded" in home
    doubted = await factory.review(made, doubtful=True, stream="deals")
    assert "may not have been whole" in (await owner.get(f"/portal/reviews/{doubted}")).text


async def test_deciding_takes_a_reason_and_happens_once(factory: Any, people: Seeded, owner: Any) -> None:
    tenant_id = people.tenants["globex"].id
    made = await factory.whole(tenant_id)
    path = f"/portal/reviews/{await factory.review(made)}"
    assert "Say why" in await owner.flash(await owner.post(f"{path}/approve", reason="  "))
    assert "Open" in (await owner.get(path)).text
    assert "Approved." in await owner.flash(await owner.post(f"{path}/approve", reason="We cleaned up"))
    assert "already approved" in await owner.flash(await owner.post(f"{path}/reject", reason="No"))
    async with factory.db.tenant(tenant_id) as session:
        entry = next(one for one in await history(session, tenant_id) if one.action == "review.approved")
        work = await session.execute(
            text("SELECT kind FROM work WHERE tenant_id = :tenant AND kind = 'sync'"), {"tenant": tenant_id}
        )
        assert work.all(), "the next sync is due"
    assert (entry.reason, entry.detail["records"]) == ("We cleaned up", 60)
    shown = (await owner.get("/portal/activity")).text
    assert "approved the deletion of vanished records" in shown
    assert "We cleaned up" in (await owner.get("/portal/reviews")).text


async def test_a_viewer_looks_and_does_not_decide(factory: Any, people: Seeded, viewer: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    path = f"/portal/reviews/{await factory.review(made)}"
    page = (await viewer.get(path)).text
    assert "An owner or administrator decides" in page
    assert "Delete 60 records" not in page
    assert (await viewer.post(f"{path}/approve", reason="x")).status_code == 403


async def test_anothers_review_is_not_there(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["initech"].id)
    path = f"/portal/reviews/{await factory.review(made)}"
    assert (await owner.get(path)).status_code == 404
    assert (await owner.post(f"{path}/approve", reason="x")).status_code == 404
