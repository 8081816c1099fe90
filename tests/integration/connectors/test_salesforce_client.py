"""simple-salesforce, the most used Python client, against a really running simulator: an independent judge."""

import base64
import csv
import hashlib
import io
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import requests
import requests.adapters

pytest.importorskip("simple_salesforce", reason="simple-salesforce is not installed")

from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceError,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline_connectors.salesforce.simulator import SalesforceSimulator
from trunkline_connectors.salesforce.simulator_schema import kind_of
from trunkline_connectors.salesforce.simulator_seed import ORGS

REDIRECT = "http://127.0.0.1:1/callback"
APP = OAuthClient("app", "secret", (REDIRECT,))
BIG, SMALL, EMPTY = (org.id for org in ORGS)
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def simulator():
    return SalesforceSimulator(clients=[APP])


@pytest.fixture(scope="module")
def base(serve, simulator):
    return serve(simulator) + "/salesforce"


@pytest.fixture(autouse=True)
def calm(simulator):
    simulator.faults.clear()
    simulator.records.window.limit = 15_000
    simulator.records.batch = 200


def exchange(base, account=BIG, scope="api refresh_token id"):
    query = {
        "client_id": "app",
        "redirect_uri": REDIRECT,
        "scope": scope,
        "response_type": "code",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    body = {"account": account, "query": query}
    answer = httpx2.post(f"{base}/_control/api/authorize", json=body, trust_env=False)
    form = {
        "grant_type": "authorization_code",
        "code": parse_qs(urlsplit(answer.json()["location"]).query)["code"][0],
        "redirect_uri": REDIRECT,
        "client_id": "app",
        "client_secret": "secret",
        "code_verifier": VERIFIER,
    }
    return httpx2.post(f"{base}/services/oauth2/token", data=form, trust_env=False).json()


class Here(requests.adapters.HTTPAdapter):
    """The client insists on https and on the org's own host; both are led to the simulator."""

    def __init__(self, base):
        super().__init__()
        self.base = base

    def send(self, request, **more):
        parts = urlsplit(request.url)
        query = f"?{parts.query}" if parts.query else ""
        request.url = f"{self.base}/~{parts.netloc}{parts.path}{query}"
        return super().send(request, **more)


def client(base, tokens):
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Here(base))
    return Salesforce(
        instance_url=tokens["instance_url"],
        session_id=tokens["access_token"],
        version="63.0",
        session=session,
    )


@pytest.fixture
def sf(base):
    return client(base, exchange(base))


def truth(simulator, kind, account=BIG, archived=False):
    return {
        simulator.public_id(kind, item.id) for item in simulator.store.walk(account, kind, archived=archived)
    }


def pages(sf, soql):
    """The client follows nextRecordsUrl."""
    found = sf.query_all(soql)
    assert found["done"]
    return found["totalSize"], found["records"]


@pytest.mark.parametrize("kind", ["Account", "Contact", "Opportunity", "User"])
def test_queries_page_to_the_end(sf, simulator, kind):
    total, found = pages(sf, f"SELECT Id, Name, SystemModstamp FROM {kind} ORDER BY SystemModstamp, Id")
    assert {row["Id"] for row in found} == truth(simulator, kind_of(kind))
    assert total == len(found) > 3
    stamps = [(row["SystemModstamp"], row["Id"][:15]) for row in found]
    assert stamps == sorted(stamps)
    assert found[0]["attributes"]["type"] == kind


def test_only_what_changed_and_what_is_in_the_bin(sf, simulator):
    gone = next(iter(simulator.store.walk(BIG, "contacts")))
    simulator.store.archive(BIG, "contacts", gone.id)
    own = simulator.public_id("contacts", gone.id)
    since = (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    soql = f"SELECT Id, IsDeleted FROM Contact WHERE SystemModstamp >= {since} ORDER BY SystemModstamp, Id"
    assert [row for row in sf.query(soql)["records"] if row["Id"] == own] == []
    row = next(row for row in sf.query(soql, include_deleted=True)["records"] if row["Id"] == own)
    assert row["IsDeleted"] is True
    listed = sf.Contact.deleted(
        datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(minutes=1)
    )
    assert own in [row["id"] for row in listed["deletedRecords"]]
    everything = sf.query("SELECT COUNT() FROM Contact WHERE IsDeleted = true", include_deleted=True)
    assert everything["totalSize"] >= 1
    with pytest.raises(SalesforceResourceNotFound) as deleted:
        sf.Contact.get(own)
    assert deleted.value.content[0]["errorCode"] == "ENTITY_IS_DELETED"


def test_conditions_and_their_mistakes(sf, simulator):
    rows = [simulator.records.row("contacts", item) for item in simulator.store.walk(BIG, "contacts")]
    soql = (
        "SELECT Id FROM Contact WHERE (MailingCity = 'Berlin' OR MailingCity LIKE 'kra%') AND Plan__c != null "
        "AND NOT Title IN ('CEO', 'Buyer') AND CreatedDate < 2026-01-01T00:00:00Z"
    )
    expected = {
        row["Id"]
        for row in rows
        if row["MailingCity"] in {"Berlin", "Kraków"}
        and row["Plan__c"]
        and row["Title"] not in {"CEO", "Buyer"}
    }
    assert {row["Id"] for row in pages(sf, soql)[1]} == expected
    assert len(expected) > 10
    for bad, code in (
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY"),
        ("SELECT Id FROM Contact WHERE CreatedDate > '2026-01-01'", "INVALID_FIELD"),
        ("DELETE FROM Contact", "MALFORMED_QUERY"),
    ):
        with pytest.raises(SalesforceMalformedRequest) as refused:
            sf.query(bad)
        assert refused.value.content[0]["errorCode"] == code


def test_create_update_upsert_search_and_delete(sf):
    made = sf.Contact.create({"LastName": "Judge", "Email": "judge@x.example", "External_Id__c": "judge-1"})
    assert made["success"]
    assert len(made["id"]) == 18
    assert sf.Contact.update(made["id"][:15], {"Title": "Chair"}) == 204
    assert sf.Contact.upsert("External_Id__c/judge-1", {"FirstName": "Ada"}) == 200
    assert sf.Contact.get(made["id"])["Name"] == "Ada Judge"
    assert sf.Account.upsert("External_Id__c/judge-2", {"Name": "Court"}) == 201
    found = sf.search("FIND {judge@x} IN ALL FIELDS RETURNING Contact(Id, Name)")
    assert [row["Id"] for row in found["searchRecords"]] == [made["id"]]
    with pytest.raises(SalesforceMalformedRequest) as twice:
        sf.Contact.create({"LastName": "Other", "External_Id__c": "judge-1"})
    assert twice.value.content[0]["errorCode"] == "DUPLICATE_VALUE"
    for body, code in (
        ({"FirstName": "x"}, "REQUIRED_FIELD_MISSING"),
        ({"LastName": "x", "Nope": 1}, "INVALID_FIELD"),
        ({"LastName": 5}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
    ):
        with pytest.raises(SalesforceMalformedRequest) as wrong:
            sf.Contact.create(body)
        assert wrong.value.content[0]["errorCode"] == code
    assert sf.Contact.delete(made["id"]) == 204


def test_several_of_one_external_id_answer_300(sf, simulator):
    for _ in range(2):
        simulator.store.create(BIG, "accounts", {"Name": "Twin", "External_Id__c": "twin"})
    with pytest.raises(SalesforceMoreThanOneRecord):
        sf.Account.upsert("External_Id__c/twin", {"Name": "Which"})


def test_describe(sf):
    fields = {field["name"]: field for field in sf.Contact.describe()["fields"]}
    assert fields["Plan__c"]["custom"]
    assert [value["value"] for value in fields["Plan__c"]["picklistValues"]] == ["Free", "Team", "Business"]
    assert {item["name"] for item in sf.describe()["sobjects"]} >= {"Account", "Contact", "Opportunity"}


def test_bulk_query_jobs_give_csv_page_by_page(sf, simulator):
    text = list(
        sf.bulk2.Contact.query("SELECT Id, LastName, IsDeleted FROM Contact", max_records=100, wait=0.1)
    )
    assert len(text) > 5
    rows = [row for part in text for row in csv.DictReader(io.StringIO(part))]
    assert {row["Id"] for row in rows} == truth(simulator, "contacts")
    assert {row["IsDeleted"] for row in rows} == {"false"}
    names = {row["LastName"] for row in rows}
    assert "line\nbreak" in names or 'quote " and, comma' in names


def test_a_job_that_runs_has_no_results_yet(base, sf, simulator):
    simulator.change_setting("bulk_seconds", 600)
    headers = {"Authorization": f"Bearer {sf.session_id}"}
    with httpx2.Client(headers=headers, trust_env=False) as http:
        body = {"operation": "query", "query": "SELECT Id FROM Account"}
        job = http.post(f"{base}/services/data/v63.0/jobs/query", json=body).json()
        path = f"{base}/services/data/v63.0/jobs/query/{job['id']}"
        assert (job["state"], http.get(path).json()["state"]) == ("UploadComplete", "InProgress")
        assert http.get(f"{path}/results").json()[0]["errorCode"] == "INVALIDJOBSTATE"
        simulator.change_setting("bulk_seconds", 0)
        done = http.get(f"{path}/results", params={"maxRecords": 5})
        assert (done.headers["sforce-locator"], done.headers["sforce-numberofrecords"]) == ("5", "5")
        last = http.get(f"{path}/results", params={"maxRecords": 5, "locator": 10**6})
        assert last.headers["sforce-locator"] == "null"
        assert http.delete(path).status_code == 204


def test_the_limit_is_a_403_and_every_answer_says_how_much_is_used(base, sf, simulator):
    sf.limits()
    assert sf.api_usage["api-usage"].total == 15_000
    simulator.records.window.limit = 1
    with pytest.raises(SalesforceRefusedRequest) as over:
        sf.query("SELECT Id FROM User")
    assert over.value.content[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"


def test_batches_locators_and_retired_versions(base, sf, simulator):
    headers = {"Authorization": f"Bearer {sf.session_id}"}
    with httpx2.Client(headers=headers, trust_env=False) as http:
        url = f"{base}/services/data/v63.0/query"
        soql = {"q": "SELECT Id FROM Contact"}
        simulator.records.batch = 2000
        small = http.get(url, params=soql, headers={"Sforce-Query-Options": "batchSize=250"}).json()
        assert (len(small["records"]), small["done"]) == (250, False)
        assert http.get(url, params=soql, headers={"Sforce-Query-Options": "batchSize=5"}).status_code == 400
        simulator.records.batch = 200
        first = http.get(url, params=soql).json()["nextRecordsUrl"]
        for _ in range(10):
            assert http.get(url, params=soql).status_code == 200
        closed = http.get(f"{base}{first}")
        assert (closed.status_code, closed.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
        assert http.get(f"{base}/services/data/v29.0/limits").status_code == 410
        assert http.get(f"{base}/services/data/v99.0/limits").status_code == 404
        assert http.get(f"{base}/~northwind.my.salesforce.com/services/data/v63.0/limits").status_code == 200
        assert http.get(f"{base}/~other.my.salesforce.com/services/data/v63.0/limits").status_code == 401


def test_tokens_have_no_end_in_their_answer_and_a_refresh_may_leave_its_own_out(base, simulator):
    tokens = exchange(base, SMALL)
    assert "expires_in" not in tokens
    assert tokens["instance_url"] == "https://blueharbor.my.salesforce.com"
    form = {"client_id": "app", "client_secret": "secret", "grant_type": "refresh_token"}
    url = f"{base}/services/oauth2/token"
    renewed = httpx2.post(
        url, data={**form, "refresh_token": tokens["refresh_token"]}, trust_env=False
    ).json()
    assert "refresh_token" not in renewed
    assert renewed["access_token"] != tokens["access_token"]
    headers = {"Authorization": f"Bearer {renewed['access_token']}"}
    who = httpx2.get(f"{base}/services/oauth2/userinfo", headers=headers, trust_env=False).json()
    assert who["organization_id"] == SMALL
    simulator.oauth.rotate_refresh = True
    rotated = httpx2.post(
        url, data={**form, "refresh_token": tokens["refresh_token"]}, trust_env=False
    ).json()
    simulator.oauth.rotate_refresh = False
    assert rotated["refresh_token"] != tokens["refresh_token"]
    old = httpx2.post(url, data={**form, "refresh_token": tokens["refresh_token"]}, trust_env=False)
    assert (old.status_code, old.json()["error"]) == (400, "invalid_grant")
    revoke = httpx2.post(
        f"{base}/services/oauth2/revoke", data={"token": rotated["refresh_token"]}, trust_env=False
    )
    assert revoke.status_code == 200
    with pytest.raises(SalesforceExpiredSession) as ended:
        client(base, rotated).query("SELECT Id FROM User")
    assert ended.value.content[0]["errorCode"] == "INVALID_SESSION_ID"


def test_pkce_is_a_must(base):
    query = {"client_id": "app", "redirect_uri": REDIRECT, "scope": "api", "response_type": "code"}
    body = {"account": BIG, "query": query}
    assert httpx2.post(f"{base}/_control/api/authorize", json=body, trust_env=False).status_code == 400


def test_trouble_is_in_the_providers_own_words(sf, simulator):
    simulator.faults.add("500", requests=1)
    with pytest.raises(SalesforceError) as broken:
        sf.query("SELECT Id FROM User")
    assert broken.value.content[0]["errorCode"] == "UNKNOWN_EXCEPTION"
