"""HubSpot's own Python client against a really running simulator: an independent judge."""

import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import uvicorn

hubspot_client = pytest.importorskip("hubspot", reason="hubspot-api-client is not installed")

from hubspot.crm.companies import ApiException as CompaniesError  # noqa: E402
from hubspot.crm.contacts import (  # noqa: E402
    ApiException,
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicObjectSearchRequest,
    SimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.oauth import ApiClient, Configuration, TokensApi  # noqa: E402
from hubspot.oauth import ApiException as TokenError  # noqa: E402

from trunkline.sandbox.app import create_sandbox  # noqa: E402
from trunkline.sdk.simulator_oauth import OAuthClient  # noqa: E402
from trunkline_connectors.hubspot.simulator import HubSpotSimulator  # noqa: E402

REDIRECT = "http://127.0.0.1:1/callback"
APP = OAuthClient("app", "secret", (REDIRECT,))
BIG, SMALL = "48120001", "48120002"
SCOPES = "crm.objects.contacts.read crm.objects.contacts.write crm.objects.deals.read tickets"

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:hubspot.*", "ignore::DeprecationWarning:urllib3.*"
)


@pytest.fixture(scope="module")
def simulator() -> HubSpotSimulator:
    return HubSpotSimulator(clients=[APP])


@pytest.fixture(scope="module")
def base(simulator) -> Iterator[str]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_sandbox([simulator]), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
        thread.start()
        deadline = time.monotonic() + 20
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            assert server.started
            yield f"http://127.0.0.1:{held.getsockname()[1]}/hubspot"
        finally:
            server.should_exit = True
            thread.join(10)


def authorize(base: str, account: str, scope: str = SCOPES) -> str:
    query = {"client_id": "app", "redirect_uri": REDIRECT, "scope": scope}
    body = {"account": account, "query": query}
    answer = httpx2.post(f"{base}/_control/api/authorize", json=body, trust_env=False)
    return parse_qs(urlsplit(answer.json()["location"]).query)["code"][0]


def tokens_api(base: str) -> TokensApi:
    return TokensApi(ApiClient(Configuration(host=base)))


def exchange(base: str, account: str, scope: str = SCOPES):
    return tokens_api(base).create(
        grant_type="authorization_code",
        code=authorize(base, account, scope),
        redirect_uri=REDIRECT,
        client_id="app",
        client_secret="secret",
    )


def client(base: str, token: str):
    made = hubspot_client.Client.create(access_token=token)
    made.config["host"] = base
    return made


@pytest.fixture
def small(base):
    return client(base, exchange(base, SMALL).access_token)


@pytest.fixture(autouse=True)
def calm(simulator):
    """Each test starts with fresh rate windows and no trouble."""
    simulator.crm.burst._seen.clear()
    simulator.crm.search_window._seen.clear()
    simulator.faults.clear()


def test_lists_thousands_to_the_end(base, simulator):
    api = client(base, exchange(base, BIG).access_token)
    found = api.crm.contacts.get_all(properties=["email", "message", "hubspotscore"])
    assert [item.id for item in found] == [item.id for item in simulator.store.walk(BIG, "contacts")]
    assert len(found) > 4000
    assert all(
        value is None or isinstance(value, str) for item in found for value in item.properties.values()
    )


def test_archived_ones(small, simulator):
    found = small.crm.contacts.get_all(archived=True)
    assert [item.id for item in found] == [
        item.id for item in simulator.store.walk(SMALL, "contacts", archived=True)
    ]
    assert all(item.archived and item.archived_at is not None for item in found)


@pytest.mark.parametrize("kind", ["deals", "tickets"])
def test_the_other_objects(small, simulator, kind):
    found = getattr(small.crm, kind).get_all()
    assert len(found) == simulator.store.count(SMALL, kind)


def test_owners(base, simulator):
    api = client(base, exchange(base, SMALL, f"{SCOPES} crm.objects.owners.read").access_token)
    found = api.crm.owners.get_all()
    assert {item.id for item in found} == simulator.truth(SMALL, "owners")
    assert all(item.email and not item.archived for item in found)
    one = api.crm.owners.owners_api.get_by_id(int(found[0].id), id_property="id", archived=False)
    assert (one.id, one.user_id) == (found[0].id, found[0].user_id)


def test_search_by_modified_date_pages(small, simulator):
    items = sorted(simulator.store.walk(SMALL, "contacts"), key=lambda item: (item.updated_at, int(item.id)))
    since = items[40].updated_at
    expected = [item.id for item in items if item.updated_at >= since]
    found, after = [], None
    while True:
        page = small.crm.contacts.search_api.do_search(
            PublicObjectSearchRequest(
                filter_groups=[
                    FilterGroup(
                        filters=[
                            Filter(property_name="lastmodifieddate", operator="GTE", value=since.isoformat())
                        ]
                    )
                ],
                sorts=["lastmodifieddate"],
                limit=25,
                after=after,
                properties=["email"],
            )
        )
        found += [item.id for item in page.results]
        assert page.total == len(expected)
        if page.paging is None:
            break
        after = page.paging.next.after
    assert found == expected


def test_create_get_change_batch_read_and_archive(small):
    basic = small.crm.contacts.basic_api
    made = basic.create(
        SimplePublicObjectInputForCreate(properties={"email": "sdk@x.example", "city": "Wien"})
    )
    basic.update(made.id, SimplePublicObjectInput(properties={"city": "Linz"}))
    assert basic.get_by_id(made.id, properties=["city"]).properties["city"] == "Linz"
    batch = small.crm.contacts.batch_api.read(
        BatchReadInputSimplePublicObjectId(
            inputs=[SimplePublicObjectId(made.id), SimplePublicObjectId("1")],
            properties=["city"],
            properties_with_history=[],
        )
    )
    assert [item.id for item in batch.results] == [made.id]
    assert batch.num_errors == 1
    with pytest.raises(ApiException) as conflict:
        basic.create(SimplePublicObjectInputForCreate(properties={"email": "sdk@x.example"}))
    assert conflict.value.status == 409
    basic.archive(made.id)
    with pytest.raises(ApiException) as gone:
        basic.get_by_id(made.id)
    assert gone.value.status == 404


def test_properties(small):
    found = small.crm.properties.core_api.get_all("contacts")
    by_name = {item.name: item for item in found.results}
    assert by_name["lifecyclestage"].type == "enumeration"
    assert "lead" in {option.value for option in by_name["lifecyclestage"].options}
    assert by_name["hs_object_id"].modification_metadata.read_only_value is True


def test_refresh_and_token_information(base):
    tokens = exchange(base, SMALL)
    assert (tokens.token_type, tokens.expires_in) == ("bearer", 1800)
    renewed = tokens_api(base).create(
        grant_type="refresh_token",
        refresh_token=tokens.refresh_token,
        client_id="app",
        client_secret="secret",
    )
    assert renewed.access_token != tokens.access_token
    from hubspot.oauth import AccessTokensApi, RefreshTokensApi

    api = ApiClient(Configuration(host=base))
    assert AccessTokensApi(api).get(renewed.access_token).hub_id == int(SMALL)
    assert RefreshTokensApi(api).get(tokens.refresh_token).client_id == "app"


def test_refresh_after_the_app_was_removed(base):
    tokens = exchange(base, SMALL)
    grants = httpx2.get(f"{base}/_control/api/state", trust_env=False).json()["grants"]
    mine = next(g for g in grants if g["account"] == SMALL and g["revoked_at"] is None)
    httpx2.post(f"{base}/_control/api/grants/{mine['id']}/revoke", trust_env=False).raise_for_status()
    with pytest.raises(TokenError) as refused:
        tokens_api(base).create(
            grant_type="refresh_token",
            refresh_token=tokens.refresh_token,
            client_id="app",
            client_secret="secret",
        )
    assert refused.value.status == 400
    assert "BAD_REFRESH_TOKEN" in refused.value.body
    with pytest.raises(ApiException) as unauthorized:
        client(base, tokens.access_token).crm.contacts.basic_api.get_page()
    assert unauthorized.value.status == 401


def test_a_missing_scope_and_a_made_up_token(base):
    narrow = client(base, exchange(base, SMALL, "crm.objects.contacts.read").access_token)
    with pytest.raises(CompaniesError) as forbidden:
        narrow.crm.companies.basic_api.get_page()
    assert forbidden.value.status == 403
    assert "MISSING_SCOPES" in forbidden.value.body
    with pytest.raises(ApiException) as unauthorized:
        client(base, "made-up").crm.contacts.basic_api.get_page()
    assert unauthorized.value.status == 401


def test_429_has_the_body_and_the_clients_own_retry_gets_over_it(base, small, simulator):
    from urllib3.util.retry import Retry

    simulator.faults.add("429", requests=1, path="/crm/")
    with pytest.raises(ApiException) as limited:
        small.crm.contacts.basic_api.get_page()
    assert limited.value.status == 429
    assert "TEN_SECONDLY_ROLLING" in limited.value.body
    patient = client(base, small.access_token)
    patient.config["retry"] = Retry(total=5, status_forcelist=(429, 500), backoff_factor=0)
    simulator.faults.add("429", requests=2, path="/crm/")
    simulator.faults.add("500", requests=2, path="/crm/")
    assert len(patient.crm.contacts.basic_api.get_page().results) == 10


def test_the_window_refuses_the_111th(base, small, simulator, monkeypatch):
    moment = simulator.now()
    monkeypatch.setattr(simulator.crm.burst, "_now", lambda: moment)
    with httpx2.Client(headers={"Authorization": f"Bearer {small.access_token}"}, trust_env=False) as http:
        answers = [http.get(f"{base}/account-info/v3/details") for _ in range(111)]
    assert [answer.status_code for answer in answers] == [200] * 110 + [429]
    assert answers[-1].headers["x-hubspot-ratelimit-remaining"] == "0"
