"""Simulated answers against Intercom's specification, with what the recorded service contradicts in it."""

import re

import httpx2
import pytest

from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline_connectors.intercom.simulator import IntercomSimulator
from trunkline_connectors.intercom.simulator_seed import WORKSPACES

BIG = WORKSPACES[0].id
SPEC = "intercom/intercom-2.16.json"
READS = {
    ("GET", "/me"): None,
    ("GET", "/contacts"): None,
    ("GET", "/companies"): None,
    ("POST", "/companies/list"): None,
    ("GET", "/companies/scroll"): None,
    ("GET", "/conversations"): None,
    ("GET", "/conversations/deleted"): None,
    ("GET", "/admins"): None,
    ("GET", "/ticket_types"): None,
    ("GET", "/data_attributes"): None,
    ("POST", "/contacts/search"): {"query": {"field": "role", "operator": "=", "value": "user"}},
    ("POST", "/conversations/search"): {"query": {"field": "state", "operator": "=", "value": "open"}},
    ("POST", "/tickets/search"): {"query": {"field": "created_at", "operator": ">", "value": 0}},
}
CONTRADICTED = {
    # recorded (spec-vs-recorded.txt); `anyOf` is what a null within says of the whole
    ("admin_assignee_id", "is not of type"),
    ("team_assignee_id", "is not of type"),
    ("statistics/time_to_assignment", "is not of type"),
    ("statistics", '"time_to_assignment":null'),
    ("conversation_parts/conversation_parts/N/assigned_to", "is not"),
    ("custom_attributes/Copilot used", "is not valid under any of the"),
    ("custom_attributes/paid_subscriber", "is not of type"),
    # in the vendor's own examples and the recorded service (provider-facts): `next` of a list by page number
    # is an address
    ("pages", '"next":"http'),
}


@pytest.fixture(scope="module")
async def call():
    simulator = IntercomSimulator(now=VirtualClock())
    transport = httpx2.ASGITransport(app=create_sandbox([simulator]))
    headers = {"Authorization": f"Bearer {simulator.oauth.make_key(BIG)}", "Intercom-Version": "2.16"}
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://sandbox/intercom", headers=headers
    ) as http:

        async def asked(method, path, body=None):
            answer = await http.request(method, path, **({"json": body} if body is not None else {}))
            return answer.status_code, answer.json()

        yield asked


def unexplained(found):
    """What the specification forbids, but for what the service is known to do."""
    left = set()
    for path, message in found:
        short = re.sub(r"^(conversations/N/|data/N/|tickets/N/)", "", path)
        if not any(short == known and words in message for known, words in CONTRADICTED):
            left.add((path, message))
    return left


@pytest.mark.parametrize(("method", "path"), list(READS), ids=lambda item: item)
async def test_every_answer_is_what_the_specification_says(call, spec, method, path):
    checked = spec(SPEC)
    status, body = await call(method, path, READS[method, path])
    assert status == 200
    schema = checked.schema(method, path)
    if path == "/companies/scroll":
        # as a list, so that what is contradicted in one company is told apart from the rest
        assert (body["pages"], body.pop("total_count"), bool(body.pop("scroll_param"))) == (None, None, True)
        schema = {"$ref": "#/components/schemas/company_list"}
    assert unexplained(checked.wrong(schema, body)) == set()


async def test_single_objects(call, spec):
    checked = spec(SPEC)
    for path, name, key in (
        ("/contacts", "contact_id", "data"),
        ("/companies", "company_id", "data"),
        ("/conversations", "conversation_id", "conversations"),
    ):
        _, page = await call("GET", path)
        for item in page[key][:12]:
            _, body = await call("GET", f"{path}/{item['id']}")
            assert unexplained(checked.wrong(checked.schema("GET", f"{path}/{{{name}}}"), body)) == set()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/companies/000000000000000000000000", 404), ("GET", "/conversations/1", 404)],
)
async def test_errors_are_error_lists(call, spec, method, path, status):
    answered, body = await call(method, path)
    assert answered == status
    assert spec(SPEC).wrong({"$ref": "#/components/schemas/error"}, body) == set()
