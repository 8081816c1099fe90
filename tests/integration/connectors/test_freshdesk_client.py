"""python-freshdesk against a really running simulator: an independent judge."""

import pytest

api_module = pytest.importorskip("freshdesk.v2.api", reason="python-freshdesk is not installed")

from freshdesk.v2.errors import (  # noqa: E402
    FreshdeskBadRequest,
    FreshdeskError,
    FreshdeskNotFound,
    FreshdeskRateLimited,
    FreshdeskUnauthorized,
)

from trunkline_connectors.freshdesk.simulator import FreshdeskSimulator  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
BIG, SMALL = "2043001", "2043002"
HOSTS = {BIG: "meridian.freshdesk.com", SMALL: "paperlantern.freshdesk.com"}
LONG_AGO = "2015-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def simulator():
    return FreshdeskSimulator()


@pytest.fixture(scope="module")
def base(serve, simulator):
    return serve(simulator)


@pytest.fixture(autouse=True)
def calm(simulator):
    simulator.faults.clear()
    for window in (simulator.desk.window, *simulator.desk.lists.values()):
        window._seen.clear()


@pytest.fixture
def client(base, simulator):
    def made(account=SMALL, key=""):
        api = api_module.API(HOSTS[account], key or simulator.oauth.make_key(account))
        api._api_prefix = f"{base}/freshdesk/~{HOSTS[account]}/api/v2/"
        api._session.trust_env = False
        return api

    return made


def ids(simulator, account, kind, **more):
    return [int(item.id) for item in simulator.store.walk(account, kind, **more)]


def test_lists_to_the_end(client, simulator):
    api = client(BIG)
    assert [one.id for one in api.companies.list_companies()] == ids(simulator, BIG, "companies")
    assert [one.id for one in api.agents.list_agents()] == ids(simulator, BIG, "agents")
    blocked = {int(i.id) for i in simulator.store.walk(BIG, "contacts") if i.values["blocked"]}
    contacts = [one.id for one in api.contacts.list_contacts()]
    assert contacts == [own for own in ids(simulator, BIG, "contacts") if own not in blocked]
    assert len(contacts) > 100


def test_tickets_of_all_time_deleted_ones_and_spam(client, simulator):
    api = client(BIG)
    spam = {int(i.id) for i in simulator.store.walk(BIG, "tickets") if i.values["spam"]}
    live = set(ids(simulator, BIG, "tickets")) - spam
    every = api.tickets.list_tickets(filter_name=None, updated_since=LONG_AGO)
    assert {one.id for one in every} == live
    assert len(every) == len(live) > 200
    recent = api.tickets.list_tickets(filter_name=None)
    assert 0 < len(recent) < len(live)
    gone = api.tickets.list_tickets(filter_name="deleted", updated_since=LONG_AGO)
    assert {one.id for one in gone} == set(ids(simulator, BIG, "tickets", archived=True))
    found = api.tickets.list_tickets(filter_name="spam", updated_since=LONG_AGO)
    assert {one.id for one in found} == spam


def test_filter_queries(client, simulator):
    api = client(BIG)
    expected = [int(i.id) for i in simulator.store.walk(BIG, "tickets") if i.values["priority"] == 4]
    assert [one.id for one in api.tickets.filter_tickets("priority:4")] == expected
    assert len(expected) > 30
    contact = next(i for i in simulator.store.walk(BIG, "contacts") if i.values["email"])
    found = api.contacts.filter_contacts(f"email:'{contact.values['email']}'")
    assert [one.id for one in found] == [int(contact.id)]
    company = next(simulator.store.walk(BIG, "companies"))
    found = api.companies.filter_companies(f"name:'{company.values['name']}'")
    assert [one.id for one in found] == [int(company.id)]


def test_a_tickets_life(client, simulator):
    api = client()
    made = api.tickets.create_ticket(
        "From a client", email="ada@client.example", description="It broke", tags=["vip"]
    )
    assert (made.status, made.priority, made.tags) == ("open", "low", ["vip"])
    changed = api.tickets.update_ticket(made.id, status=4, priority=3)
    assert (changed.status, changed.priority) == ("resolved", "high")
    note = api.comments.create_note(made.id, "Seen")
    reply = api.comments.create_reply(made.id, "Done")
    assert [one.id for one in api.comments.list_comments(made.id)] == [note.id, reply.id]
    assert (note.private, reply.private) == (True, False)
    api.tickets.delete_ticket(made.id)
    assert made.id in ids(simulator, SMALL, "tickets", archived=True)
    with pytest.raises(FreshdeskNotFound):
        api.tickets.update_ticket(made.id, status=2)


def test_contacts_and_companies(client, simulator):
    api = client()
    company = api.companies.create_company(name="Client & Co")
    contact = api.contacts.create_contact(name="Grace", email="grace@client.example", company_id=company.id)
    assert api.contacts.update_contact(contact.id, job_title="Admiral").job_title == "Admiral"
    with pytest.raises(Exception, match="409"):
        api.contacts.create_contact(name="Twin", email="grace@client.example")
    api.contacts.soft_delete_contact(contact.id)
    assert contact.id in [one.id for one in api.contacts.list_contacts(state="deleted")]
    api.contacts.restore_contact(contact.id)
    api.contacts.permanently_delete_contact(contact.id)
    with pytest.raises(FreshdeskNotFound):
        api.contacts.get_contact(contact.id)
    assert api.agents.currently_authenticated_agent().id == ids(simulator, SMALL, "agents")[0]


def test_what_is_refused(client, simulator):
    with pytest.raises(FreshdeskUnauthorized):
        client(key="made-up").agents.currently_authenticated_agent()
    with pytest.raises(FreshdeskUnauthorized):
        client(SMALL, key=simulator.oauth.make_key(BIG)).agents.currently_authenticated_agent()
    api = client()
    with pytest.raises(FreshdeskBadRequest, match="Validation failed"):
        api.tickets.create_ticket("x", email="a@x.example", description="y", status=99)
    with pytest.raises(FreshdeskNotFound):
        api.tickets.get_ticket(99_999)
    simulator.faults.add("429", requests=1)
    with pytest.raises(FreshdeskRateLimited):
        api.companies.list_companies()
    simulator.faults.add("500", requests=1)
    with pytest.raises(FreshdeskError, match="500"):
        api.companies.list_companies()
