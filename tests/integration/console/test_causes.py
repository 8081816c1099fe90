"""One cause per problem, and the runbook of each."""

from typing import Any

from trunkline.health.issues import resolve_issues
from trunkline.readers import repository as readers
from trunkline.resilience.failures import failures


async def test_fourteen_tenants_are_one_problem(rows: Any, support: Any) -> None:
    made = [await rows.tenant_at(f"Shop {number:02}", "failing") for number in range(14)]
    await rows.tenant_at("Lonely", "reconnect_needed")
    text = (await support.get("/console/issues")).text
    assert text.index("Error on the provider") < text.index("Access withdrawn")
    page = (await support.get("/console/issues/provider_error")).text
    assert "14 tenants affected" in page
    assert "Lonely" not in page
    assert "corr-shop-03" in page
    assert page.count('class="strong" href="/console/tenants/shop-') == 14
    async with rows.db.tenant(made[0]) as session:
        found = await rows.services.health.of_tenant(session, made[0])
        await resolve_issues(session, made[0], found[0].row.id)
    assert "13 tenants affected" in (await support.get("/console/issues/provider_error")).text


async def test_pages_of_affected_tenants(rows: Any, support: Any, people: Any) -> None:
    tenant_id = people.tenants["globex"].id
    for number in range(60):
        connection = await rows.connection(tenant_id, name=f"Account {number:02}")
        await rows.issue(tenant_id, connection, "bad_request")
    first = (await support.get("/console/issues/bad_request")).text
    assert "Account 49" in first
    assert "Account 50" not in first
    second = (await support.get("/console/issues/bad_request?page=2")).text
    assert "Account 50" in second
    assert 'rel="prev" href="/console/issues/bad_request"' in second
    assert "1 tenant affected" in second
    assert (await support.get("/console/issues/bad_request?page=999999")).status_code == 200


async def test_a_cause_that_nobody_has_and_one_that_does_not_exist(support: Any) -> None:
    assert "Nobody is affected" in (await support.get("/console/issues/rate_limited")).text
    assert (await support.get("/console/issues/made_up")).status_code == 404
    assert (await support.get("/console/runbooks/made_up")).status_code == 404
    assert (await support.get("/console/runbooks/..%2Ffailures")).status_code == 404


async def test_the_failure_table_and_a_runbook_for_each_row(rows: Any, support: Any) -> None:
    await rows.tenant_at("Hooli", "reconnect_needed")
    text = (await support.get("/console/runbooks")).text
    for code in failures():
        assert f'href="/console/runbooks/{code}"' in text
        page = await support.get(f"/console/runbooks/{code}")
        assert page.status_code == 200, code
        assert "What to do" in page.text
        assert page.text.count("<h1>") == 1
        assert "**" not in page.text, code
    page = (await support.get("/console/runbooks/grant_revoked")).text
    assert "<h1>Access withdrawn</h1>" in page
    assert "<code>reconnect_required</code>" in page
    assert "1 tenant affected" in page
    assert 'href="/console/issues/grant_revoked">1 tenant</a>' in text


async def test_what_nobody_classified_is_counted_and_listed(rows: Any, support: Any, people: Any) -> None:
    tenant_id = people.tenants["globex"].id
    connection = await rows.connection(tenant_id)
    for _ in range(3):
        await rows.issue(tenant_id, connection, "bad_request")
    assert "Unclassified: none of 3 times" in (await support.get("/console/issues")).text
    await rows.issue(tenant_id, connection, "something new")
    text = (await support.get("/console/issues")).text
    assert "Unclassified: 1 of 4 times" in text
    assert 'class="has-issues" href="/console/issues/unclassified"' in text
    assert "1 tenant affected" in (await support.get("/console/issues/unclassified")).text


async def test_a_reader_that_cannot_go_on_is_seen_with_its_cause(
    rows: Any, support: Any, people: Any
) -> None:
    tenant_id = people.tenants["globex"].id
    assert "Readers that cannot go on" not in (await support.get("/console/issues")).text
    async with rows.db.tenant(tenant_id) as session:
        await readers.begin_permanent(session, tenant_id, readers.PERMANENT)
        await readers.note_failure(session, tenant_id, "daily_changes", "daily_changes", "internal_error")
        await rows.services.feeds.create(session, tenant_id, "billing-sync", 0)
    text = (await support.get("/console/issues")).text
    assert "Readers that cannot go on" in text
    assert 'href="/console/runbooks/internal_error"' in text
    page = (await support.get("/console/tenants/globex")).text
    assert "Readers of the change log" in page
    assert "Feed: billing-sync" in page
    assert "1 try, next at" in page
