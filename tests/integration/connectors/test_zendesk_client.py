"""zenpy against a really running simulator: an independent judge. It is GPL, so only here and only if it is there."""

from datetime import UTC, datetime

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
requests = pytest.importorskip("requests", reason="requests is not installed")
with pytest.MonkeyPatch.context():
    zenpy = pytest.importorskip("zenpy", reason="zenpy is not installed")

from zenpy.lib.api_objects import Comment, Organization, Ticket, User  # noqa: E402
from zenpy.lib.exception import APIException, RecordNotFoundException  # noqa: E402

from trunkline_connectors.zendesk.simulator import ZendeskSimulator  # noqa: E402

BIG, SMALL = "12510001", "12510002"
HOSTS = {BIG: "larkspur", SMALL: "tinyrobots"}


class Redirected(requests.Session):
    """Sends what is for the account's host to the simulator, and shows the answer as that host's."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.trust_env = False
        self.base = base

    def send(self, request, **more):
        asked = request.url
        host = asked.split("/")[2]
        request.url = asked.replace(f"https://{host}", f"{self.base}/zendesk/~{host}")
        response = super().send(request, **more)
        response.url = response.request.url = asked
        return response


@pytest.fixture(scope="module")
def simulator():
    return ZendeskSimulator()


@pytest.fixture(scope="module")
def base(serve, simulator):
    return serve(simulator)


@pytest.fixture(autouse=True)
def calm(simulator):
    simulator.faults.clear()
    for window in (simulator.desk.window, *simulator.desk.buckets.values()):
        window._seen.clear()


@pytest.fixture
def client(base, simulator):
    def made(account=SMALL, token="", scopes=()):
        return zenpy.Zenpy(
            subdomain=HOSTS[account],
            oauth_token=token or simulator.oauth.make_key(account, scopes),
            session=Redirected(base),
        )

    return made


def ids(simulator, account, kind, **more):
    return [int(item.id) for item in simulator.store.walk(account, kind, **more)]


@pytest.mark.parametrize("kind", ["tickets", "users", "organizations"])
def test_lists_to_the_end_by_cursor(client, simulator, kind):
    found = list(getattr(client(BIG), kind)())
    assert [item.id for item in found] == ids(simulator, BIG, kind)
    assert len(found) > 40


def test_the_cursor_export_with_what_was_deleted(client, simulator):
    start = datetime(2020, 1, 1, tzinfo=UTC)
    found = list(client(BIG).tickets.incremental(start_time=start, paginate_by_time=False))
    assert sorted(ticket.id for ticket in found) == ids(simulator, BIG, "tickets", archived=None)
    deleted = {ticket.id for ticket in found if ticket.status == "deleted"}
    assert deleted == set(ids(simulator, BIG, "tickets", archived=True))


def test_the_export_of_organizations_by_time(client, simulator):
    start = datetime(2020, 1, 1, tzinfo=UTC)
    found = {one.id for one in client(BIG).organizations.incremental(start_time=start)}
    assert found == set(ids(simulator, BIG, "organizations"))


def test_search_and_its_export(client, simulator):
    expected = [int(i.id) for i in simulator.store.walk(BIG, "tickets") if i.values["status"] == "solved"]
    found = client(BIG).search(type="ticket", status="solved")
    assert len(found) == len(expected)
    assert [ticket.id for ticket in found] == expected
    exported = client(BIG).search_export("status:solved", type="ticket")
    assert [ticket.id for ticket in exported] == expected


def test_a_tickets_life(client, simulator):
    api = client()
    audit = api.tickets.create(
        Ticket(subject="From a client", comment=Comment(body="It broke"), priority="high")
    )
    ticket = api.tickets(id=audit.ticket.id)
    assert (ticket.subject, ticket.priority, ticket.status) == ("From a client", "high", "new")
    ticket.status = "pending"
    ticket.comment = Comment(body="We look into it", public=False)
    api.tickets.update(ticket)
    assert [comment.body for comment in api.tickets.comments(ticket.id)] == ["It broke", "We look into it"]
    assert api.tickets.add_tags(ticket.id, ["vip"])
    assert client().tickets(id=ticket.id).tags == ["vip"]
    api.tickets.delete(ticket)
    with pytest.raises(RecordNotFoundException):
        api.tickets(id=ticket.id)
    assert ticket.id in [gone.id for gone in api.tickets.deleted()]
    assert ticket.id in ids(simulator, SMALL, "tickets", archived=True)


def test_users_and_organizations_are_made_and_changed(client):
    api = client()
    organization = api.organizations.create(Organization(name="Client & Co", domain_names=["client.example"]))
    user = api.users.create(User(name="Ada", email="ada@client.example", organization_id=organization.id))
    assert api.users(id=user.id).organization_id == organization.id
    again = api.users.create_or_update(User(name="Ada B.", email="ada@client.example"))
    assert (again.id, again.name) == (user.id, "Ada B.")
    found = list(api.users.search(query="email:ada@client.example"))
    assert [one.id for one in found] == [user.id]
    with pytest.raises(APIException) as taken:
        api.users.create(User(name="Twin", email="ada@client.example"))
    assert taken.value.response.status_code == 422
    assert api.users.me().role == "admin"


def test_what_is_refused(client, base):
    with pytest.raises(APIException) as unknown:
        list(client(token="made-up").tickets())
    assert unknown.value.response.status_code == 401
    with pytest.raises(APIException) as narrow:
        list(client(scopes=("tickets:read",)).users())
    assert narrow.value.response.status_code == 403


def test_it_waits_as_the_429_says_and_goes_on(client, simulator):
    simulator.faults.add("429", requests=1, path="/api/v2/tickets")
    assert [one.id for one in client().tickets()] == ids(simulator, SMALL, "tickets")
    assert simulator.log.by_status[429] == 1
