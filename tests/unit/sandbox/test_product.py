"""The demo product's own logic, against a small stand-in for Trunkline's API."""

import json
import re

import httpx2
import pytest

from trunkline.sandbox.product import create_product, current_connection, rows, shown

KEY = "the-api-key"
ORIGIN = "http://product"


class StandIn:
    """Remembers what it was asked, answers what it was told."""

    def __init__(self):
        self.asked = []
        self.answers = {
            "/v1/connect-sessions": (201, {"id": "1", "token": "tok", "expires_at": "x", "script_url": "y"}),
            "/v1/connections/confirm": (200, {"id": "c1", "state": "active"}),
            "/v1/connections": (200, {"connections": []}),
            "/v1/records/contact": (200, {"records": []}),
            "/v1/connections/c1/runs": (200, {"runs": []}),
        }

    def __call__(self, request):
        self.asked.append(request)
        answer = self.answers[request.url.path]
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer[0], json=answer[1])


@pytest.fixture
def trunkline():
    return StandIn()


@pytest.fixture
async def http(trunkline):
    app = create_product(
        "http://trunkline:8700", KEY, origin=ORIGIN, transport=httpx2.MockTransport(trunkline)
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN) as client:
        yield client


async def test_the_session_names_tenant_user_and_origin_and_only_the_token_goes_to_the_browser(
    http, trunkline
):
    answer = await http.post("/connect-session", json={"tenant": "initech"})
    assert answer.json() == {"token": "tok"}
    request = trunkline.asked[0]
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(request.content) == {
        "tenant": "globex",
        "end_user": {"id": "user-101", "name": "Maya Chen"},
        "connectors": ["hubspot"],
        "recipes": ["contacts"],
        "origin": ORIGIN,
    }


async def test_the_other_customer_after_switching(http, trunkline):
    assert (await http.post("/switch", data={"tenant": "initech"})).status_code == 303
    await http.post("/confirm", json={"code": "abc"})
    assert json.loads(trunkline.asked[0].content) == {"tenant": "initech", "code": "abc"}
    await http.post("/switch", data={"tenant": "umbrella"})
    await http.get("/status")
    assert {request.url.params.get("tenant", "initech") for request in trunkline.asked} == {"initech"}


async def test_status_shows_the_connection_and_its_contacts(http, trunkline):
    connection = {"connector": "hubspot", "state": "active", "account_label": "Northwind", "id": "c1"}
    trunkline.answers["/v1/connections"] = (200, {"connections": [connection]})
    records = [{"data": {"first_name": "Ann", "last_name": "<b>", "email": "a@x"}}] * 20
    trunkline.answers["/v1/records/contact"] = (200, {"records": records, "next": "x"})
    first = {"state": "running", "created": 400, "deleted": 0}
    trunkline.answers["/v1/connections/c1/runs"] = (200, {"runs": [first], "next": None})
    body = (await http.get("/status")).json()
    assert body["connection"] == {"id": "c1", "state": "active", "account": "Northwind"}
    assert body["contacts"][0] == {"name": "Ann <b>", "email": "a@x"}
    assert (body["count"], body["running"]) == (400, True)
    done = [
        {"state": "running", "created": 2, "deleted": 3},
        {**first, "state": "succeeded", "created": 4884},
    ]
    trunkline.answers["/v1/connections/c1/runs"] = (200, {"runs": done, "next": None})
    body = (await http.get("/status")).json()
    assert (body["count"], body["running"]) == (4883, False)
    assert {request.url.params["tenant"] for request in trunkline.asked} == {"globex"}


async def test_nothing_connected_reads_no_records(http, trunkline):
    assert (await http.get("/status")).json() == {
        "connection": None,
        "contacts": [],
        "count": 0,
        "running": False,
    }
    assert [request.url.path for request in trunkline.asked] == ["/v1/connections"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx2.ConnectError("refused"), "Trunkline does not answer at http://trunkline:8700."),
        (httpx2.ReadTimeout("slow"), "does not answer"),
        ((401, {"detail": "no"}), "did not accept this product's API key"),
        ((422, {"title": "Bad", "detail": "tenant is unknown."}), "tenant is unknown."),
        ((500, ["odd"]), "Trunkline answered 500."),
        ((200, ["odd"]), "a form that this page does not know"),
        ((200, {}), "a form that this page does not know"),
    ],
)
async def test_what_goes_wrong_is_a_sentence_without_the_key(http, trunkline, answer, says):
    trunkline.answers["/v1/connect-sessions"] = answer
    reply = await http.post("/connect-session")
    assert reply.status_code == 502
    assert says in reply.json()["error"]
    assert KEY not in reply.text


@pytest.mark.parametrize("path", ["/switch", "/connect-session", "/confirm"])
async def test_other_sites_cannot_use_the_products_session(http, trunkline, path):
    answer = await http.post(path, json={"code": "x"}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    assert trunkline.asked == []


async def test_confirm_needs_a_code(http, trunkline):
    assert (await http.post("/confirm", content=b"{}")).status_code == 400
    assert trunkline.asked == []


async def test_the_page_is_strict_and_shows_the_real_code(http):
    page = await http.get("/")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self' http://trunkline:8700;" in policy
    assert "unsafe" not in policy
    outside = set(re.findall(r'(?:src|href)="(?!/|data:,)([^"]*)"', page.text))
    assert outside == {"http://trunkline:8700/widget/v1.js"}
    assert "async def start_connect" in page.text
    assert KEY not in page.text
    script = (await http.get("/product_integration.js")).text
    assert "Trunkline.open(" in script


def test_the_connection_that_works_is_shown_first():
    found = [{"connector": "hubspot", "state": s} for s in ("disconnected", "reconnect_required", "active")]
    assert current_connection(found) == {"id": "", "state": "active", "account": ""}
    assert current_connection(found[:1]) is None
    assert current_connection([{"connector": "other", "state": "active"}]) is None


def test_replies_of_other_shapes_are_read_or_left():
    assert rows({"items": [{"a": 1}, 2]}, "records") == [{"a": 1}]
    assert rows("odd", "records") == []
    assert shown({"id": "1"}) == {"name": "", "email": ""}
    assert shown({"data": {"name": "N", "email": None}}) == {"name": "N", "email": ""}
