"""Stripe's own Python client against a really running simulator: an independent judge."""

from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

stripe = pytest.importorskip("stripe", reason="stripe is not installed")

from trunkline.sdk.simulator_oauth import OAuthClient  # noqa: E402
from trunkline_connectors.stripe.simulator import StripeSimulator  # noqa: E402
from trunkline_connectors.stripe.simulator_schema import GONE, KINDS  # noqa: E402
from trunkline_connectors.stripe.simulator_seed import BUSINESSES  # noqa: E402

REDIRECT = "http://127.0.0.1:1/callback"
PLATFORM = OAuthClient("ca_app", "sk_platform_secret", (REDIRECT,))
BIG, OLD, EMPTY = (business.id for business in BUSINESSES)


@pytest.fixture(scope="module")
def simulator():
    return StripeSimulator(clients=[PLATFORM])


@pytest.fixture(scope="module")
def base(serve, simulator):
    return serve(simulator) + "/stripe"


@pytest.fixture(autouse=True)
def calm(simulator):
    simulator.faults.clear()
    for window in (simulator.billing.window, simulator.billing.endpoints, simulator.billing.searches):
        window._seen.clear()


@pytest.fixture(scope="module")
def client(base, simulator):
    def made(account=BIG, scopes=(), key="", **more):
        return stripe.StripeClient(
            key or simulator.oauth.make_key(account, scopes),
            base_addresses={"api": base, "connect": base},
            max_network_retries=0,
            **more,
        )

    return made


@pytest.fixture(scope="module")
def api(client):
    return client().v1


def truth(simulator, kind, account=BIG):
    gone = kind in GONE
    rows = simulator.store.walk(account, kind, archived=False if gone else None)
    return [simulator.public_id(kind, item.id) for item in rows][::-1]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "subscriptions"])
def test_lists_to_the_end_newest_first(api, simulator, kind):
    found = list(getattr(api, kind).list({"limit": 50}).auto_paging_iter())
    assert [item.id for item in found] == truth(simulator, kind)
    assert len(found) > 1
    created = [item.created for item in found]
    assert created == sorted(created, reverse=True)


def test_subscriptions_leave_out_the_canceled_unless_all_are_asked_for(api, simulator):
    every = list(api.subscriptions.list({"status": "all", "limit": 100}).auto_paging_iter())
    assert [item.id for item in every] == truth(simulator, "subscriptions")
    live = list(api.subscriptions.list({"limit": 100}).auto_paging_iter())
    assert [item.id for item in live] == [item.id for item in every if item.status != "canceled"]
    assert 0 < len(live) < len(every)


def test_backwards_with_ending_before(api, simulator):
    ids = truth(simulator, "customers")
    page = api.customers.list({"limit": 5, "ending_before": ids[20]})
    assert [item.id for item in page.data] == ids[15:20]
    assert page.has_more


def test_what_belongs_together_points_to_each_other(api):
    charges = {item.id: item for item in api.charges.list({"limit": 100}).auto_paging_iter()}
    for refund in api.refunds.list({"limit": 100}).auto_paging_iter():
        assert charges[refund.charge].amount_refunded == refund.amount
    for dispute in api.disputes.list({"limit": 100}).auto_paging_iter():
        assert charges[dispute.charge].disputed
    customers = {item.id for item in api.customers.list({"limit": 100}).auto_paging_iter()}
    for subscription in api.subscriptions.list({"limit": 100}).auto_paging_iter():
        price = subscription["items"].data[0].price
        assert api.products.retrieve(price.product).id == price.product
        deleted = subscription.customer not in customers
        assert getattr(api.customers.retrieve(subscription.customer), "deleted", False) == deleted
        break


def test_create_update_search_delete_and_the_events_of_it(api):
    made = api.customers.create(
        {"name": "Søren", "email": "judge@x.example", "metadata": {"crm": "1", "old": "x"}},
        {"idempotency_key": "one"},
    )
    again = api.customers.create(
        {"name": "Søren", "email": "judge@x.example", "metadata": {"crm": "1", "old": "x"}},
        {"idempotency_key": "one"},
    )
    assert again.id == made.id
    with pytest.raises(stripe.IdempotencyError) as other:
        api.customers.create({"name": "Other"}, {"idempotency_key": "one"})
    assert other.value.http_status == 400
    changed = api.customers.update(made.id, {"phone": "+49", "metadata": {"crm": "2", "old": ""}})
    assert (changed.phone, changed.metadata.to_dict()) == ("+49", {"crm": "2"})
    found = api.customers.search({"query": "email:'judge@x.example' AND metadata['crm']:'2'"})
    assert [item.id for item in found.data] == [made.id]
    assert api.customers.delete(made.id).deleted
    gone = api.customers.retrieve(made.id)
    assert (gone.id, gone.deleted) == (made.id, True)
    assert api.customers.search({"query": "email:'judge@x.example'"}).data == []
    events = [
        e for e in api.events.list({"type": "customer.*"}).auto_paging_iter() if e.data.object.id == made.id
    ]
    assert [event.type for event in events] == ["customer.deleted", "customer.updated", "customer.created"]
    assert events[0].data.object.email == "judge@x.example"
    assert events[1].data.previous_attributes["phone"] is None
    assert api.events.retrieve(events[0].id).type == "customer.deleted"
    some = api.events.list({"types": ["customer.deleted"], "created": {"gte": events[0].created}, "limit": 1})
    assert some.data[0].id == events[0].id
    assert api.events.list({"created": {"gt": events[0].created + 10}}).data == []


def test_a_refund_moves_the_charge_and_cannot_exceed_it(api):
    charge = next(
        item
        for item in api.charges.list({"limit": 100}).auto_paging_iter()
        if item.paid and not item.amount_refunded
    )
    refund = api.refunds.create({"charge": charge.id, "amount": 100})
    assert (refund.amount, refund.payment_intent) == (100, charge.payment_intent)
    assert api.charges.retrieve(charge.id).amount_refunded == 100
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        api.refunds.create({"charge": charge.id, "amount": charge.amount})
    assert too_much.value.param == "amount"


def test_only_a_draft_of_an_invoice_can_be_deleted(api):
    customer = api.customers.list({"limit": 1}).data[0]
    draft = api.invoices.create({"customer": customer.id})
    assert draft.status == "draft"
    assert api.invoices.delete(draft.id).deleted
    assert api.invoices.retrieve(draft.id).deleted
    paid = next(item for item in api.invoices.list({"limit": 100}).data if item.status == "paid")
    with pytest.raises(stripe.InvalidRequestError):
        api.invoices.delete(paid.id)


def test_cancelling_and_a_new_subscription(api):
    live = api.subscriptions.list({"limit": 1}).data[0]
    assert api.subscriptions.cancel(live.id).status == "canceled"
    price = live["items"].data[0].price.id
    new = api.subscriptions.create({"customer": live.customer, "items": [{"price": price, "quantity": 3}]})
    assert (new.status, new["items"].data[0].quantity) == ("active", 3)


def test_the_shapes_follow_the_version_and_the_accounts_default(base, simulator, client):
    new = client().v1.subscriptions.list({"limit": 1}).data[0]
    assert "current_period_end" not in new
    assert new["items"].data[0].current_period_end > new["items"].data[0].current_period_start
    old = client(stripe_version="2024-06-20").v1
    subscription = old.subscriptions.list({"limit": 1}).data[0]
    assert subscription.current_period_end > subscription.current_period_start
    invoice = next(item for item in old.invoices.list({"limit": 100}).data if item.charge)
    now = client().v1.invoices.retrieve(invoice.id)
    assert now.payments.data[0].payment.charge == invoice.charge
    assert now.parent.subscription_details.subscription == invoice.subscription
    assert invoice.paid == (now.status == "paid")
    headers = {"Authorization": f"Bearer {simulator.oauth.make_key(OLD)}"}
    with httpx2.Client(headers=headers, trust_env=False) as http:
        answer = http.get(f"{base}/v1/subscriptions")
        assert answer.headers["stripe-version"] == "2023-08-16"
        assert "current_period_end" in answer.json()["data"][0]
        assert http.get(f"{base}/v1/prices", headers={"Stripe-Version": "new"}).status_code == 400


def test_errors_are_the_clients_own_exceptions(api, client, simulator):
    with pytest.raises(stripe.AuthenticationError):
        client(key="sk_made_up").v1.customers.list()
    narrow = client(scopes=["rak_customer_read"]).v1
    assert narrow.customers.list({"limit": 1}).data
    with pytest.raises(stripe.PermissionError) as forbidden:
        narrow.invoices.list()
    assert "rak_invoice_read" in str(forbidden.value)
    with pytest.raises(stripe.PermissionError):
        narrow.customers.create({"name": "x"})
    for call, param in (
        (lambda: api.customers.retrieve("cus_nope"), "id"),
        (lambda: api.customers.list({"limit": 101}), "limit"),
        (lambda: api.customers.list({"starting_after": "nope"}), "starting_after"),
        (lambda: api.customers.list({"nope": "x"}), "nope"),
        (lambda: api.products.create({}), "name"),
        (lambda: api.customers.search({"query": "nope:'x'"}), "query"),
    ):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            call()
        assert refused.value.param == param
    simulator.faults.add("429", requests=1)
    with pytest.raises(stripe.RateLimitError) as limited:
        api.customers.list()
    assert limited.value.json_body["error"]["code"] == "rate_limit"
    simulator.faults.add("500", requests=1)
    with pytest.raises(stripe.APIError):
        api.customers.list()


def test_a_hundred_in_a_second_and_25_for_an_endpoint(base, simulator, client, monkeypatch):
    moment = simulator.now()
    for window in (simulator.billing.window, simulator.billing.endpoints):
        monkeypatch.setattr(window, "_now", lambda: moment)
    headers = {"Authorization": f"Bearer {simulator.oauth.make_key(EMPTY)}"}
    with httpx2.Client(headers=headers, trust_env=False) as http:
        answers = [http.get(f"{base}/v1/customers") for _ in range(26)]
    assert [answer.status_code for answer in answers] == [200] * 25 + [429]
    assert answers[-1].headers["stripe-rate-limited-reason"] == "endpoint-rate"
    assert answers[0].json() == {"object": "list", "data": [], "has_more": False, "url": "/v1/customers"}


def connect(base, scope="read_write"):
    query = {"client_id": "ca_app", "redirect_uri": REDIRECT, "scope": scope}
    body = {"account": BIG, "query": query}
    answer = httpx2.post(f"{base}/_control/api/authorize", json=body, trust_env=False)
    return parse_qs(urlsplit(answer.json()["location"]).query)["code"][0]


def test_connect_authorises_refreshes_and_deauthorises(base, client):
    platform = client(key=PLATFORM.client_secret, client_id="ca_app")
    code = connect(base)
    tokens = platform.oauth.token({"grant_type": "authorization_code", "code": code})
    assert (tokens.stripe_user_id, tokens.scope, tokens.token_type) == (BIG, "read_write", "bearer")
    assert not hasattr(tokens, "expires_in")
    with pytest.raises(stripe.oauth_error.InvalidGrantError):
        platform.oauth.token({"grant_type": "authorization_code", "code": code})
    account = client(key=tokens.access_token).v1.accounts.retrieve_current()
    assert (account.id, account.country) == (BIG, "DE")
    on_behalf = client(key=PLATFORM.client_secret, stripe_account=BIG).v1
    assert on_behalf.customers.list({"limit": 1}).data
    renewed = platform.oauth.token({"grant_type": "refresh_token", "refresh_token": tokens.refresh_token})
    assert renewed.stripe_user_id == BIG
    assert platform.oauth.deauthorize({"stripe_user_id": BIG}).stripe_user_id == BIG
    with pytest.raises(stripe.PermissionError) as gone:
        on_behalf.customers.list()
    assert gone.value.json_body["error"]["code"] == "account_invalid"
    with pytest.raises(stripe.AuthenticationError):
        client(key=renewed.access_token).v1.customers.list()
    with pytest.raises(stripe.oauth_error.InvalidClientError):
        platform.oauth.deauthorize({"stripe_user_id": BIG})


def test_read_only_cannot_write(base, client):
    platform = client(key=PLATFORM.client_secret, client_id="ca_app")
    tokens = platform.oauth.token({"grant_type": "authorization_code", "code": connect(base, "read_only")})
    api = client(key=tokens.access_token).v1
    assert api.invoices.list({"limit": 1}).data
    with pytest.raises(stripe.PermissionError):
        api.customers.create({"name": "x"})


def test_webhook_endpoints_are_made_listed_and_removed(client):
    api = client(EMPTY).v1.webhook_endpoints
    made = [
        api.create({"url": f"https://app.test/{number}", "enabled_events": ["customer.created"]})
        for number in range(3)
    ]
    assert all(one.secret.startswith("whsec_") for one in made)
    listed = list(api.list({"limit": 2}).auto_paging_iter())
    assert [one.id for one in listed] == [one.id for one in reversed(made)]
    assert {one.status for one in listed} == {"enabled"}
    assert not any(hasattr(one, "secret") for one in listed)
    assert api.retrieve(made[0].id).url == "https://app.test/0"
    assert api.delete(made[0].id).deleted
    with pytest.raises(stripe.InvalidRequestError, match="No such webhook_endpoint"):
        api.retrieve(made[0].id)
    with pytest.raises(stripe.PermissionError):
        client(EMPTY, scopes=["read_only"]).v1.webhook_endpoints.create(
            {"url": "https://app.test/", "enabled_events": ["*"]}
        )
