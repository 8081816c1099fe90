"""Keys, limits and writes of the simulated Freshdesk."""

import pytest

SMALL, BIG = "2043002", "2043001"


async def test_a_key_is_the_user_name_whatever_the_password(freshdesk):
    key = freshdesk.key()
    for password in ("X", "", "anything"):
        answer = await freshdesk.http.get("/freshdesk/api/v2/agents/me", auth=(key, password))
        assert answer.status_code == 200
    wrong = await freshdesk.http.get("/freshdesk/api/v2/agents/me", auth=("nope", "X"))
    assert (wrong.status_code, wrong.json()["code"]) == (401, "invalid_credentials")
    freshdesk.simulator.oauth.revoke_grant("grant-1")
    assert (await freshdesk.call("GET", "/agents/me", key)).status_code == 401


async def test_another_accounts_host_does_not_know_the_key(freshdesk):
    auth = (freshdesk.key(SMALL), "X")
    own = await freshdesk.http.get("/freshdesk/~paperlantern.freshdesk.com/api/v2/account", auth=auth)
    other = await freshdesk.http.get("/freshdesk/~meridian.freshdesk.com/api/v2/account", auth=auth)
    assert (own.json()["account_domain"], other.status_code) == ("paperlantern.freshdesk.com", 401)


async def test_the_limits_of_a_minute(freshdesk):
    key = freshdesk.key()
    answers = [await freshdesk.call("GET", "/contacts", key) for _ in range(101)]
    assert [answer.status_code for answer in answers] == [200] * 100 + [429]
    assert answers[0].headers["x-ratelimit-remaining"] == "399"
    assert answers[-1].headers["retry-after"] == "60"
    included = await freshdesk.call("GET", "/tickets", key, params={"include": "stats,requester"})
    assert included.headers["x-ratelimit-used-currentrequest"] == "3"
    assert included.headers["x-ratelimit-remaining"] == "297"
    freshdesk.clock.advance(60)
    assert (await freshdesk.call("GET", "/contacts", key)).status_code == 200


async def test_404_has_no_body(freshdesk):
    key = freshdesk.key()
    for path in ("/tickets/99999", "/nowhere"):
        answer = await freshdesk.call("GET", path, key)
        assert (answer.status_code, answer.content) == (404, b"")


async def test_a_ticket_with_a_note_and_tags(freshdesk):
    key = freshdesk.key()
    ticket = {
        "subject": "Help",
        "description": "<b>Broken</b>",
        "email": "new@x.example",
        "status": 2,
        "priority": 1,
    }
    made = await freshdesk.call("POST", "/tickets", key, json=ticket)
    assert made.status_code == 201
    body = made.json()
    assert body["description_text"] == "Broken"
    contact = (await freshdesk.call("GET", f"/contacts/{body['requester_id']}", key)).json()
    assert (contact["email"], contact["name"]) == ("new@x.example", "new")
    path = f"/tickets/{body['id']}"
    freshdesk.clock.advance(5)
    changed = await freshdesk.call(
        "PUT", path, key, json={"status": 4, "tags": ["vip"], "custom_fields": {"cf_plan": "weekly"}}
    )
    assert (changed.json()["status"], changed.json()["custom_fields"]["cf_region"]) == (4, None)
    note = await freshdesk.call("POST", f"{path}/notes", key, json={"body": "Seen", "private": False})
    assert (note.status_code, note.json()["private"]) == (201, False)
    shown = (await freshdesk.call("GET", path, key, params={"include": "conversations"})).json()
    assert [one["body_text"] for one in shown["conversations"]] == ["Seen"]
    listed = (await freshdesk.call("GET", f"{path}/conversations", key)).json()
    assert listed == shown["conversations"]


async def test_delete_restore_and_purge(freshdesk):
    key = freshdesk.key()
    contact = (await freshdesk.all("/contacts", key))[0]["id"]
    path = f"/contacts/{contact}"
    assert (await freshdesk.call("DELETE", path, key)).status_code == 204
    assert (await freshdesk.call("GET", path, key)).json()["deleted"] is True
    assert (await freshdesk.call("PUT", path, key, json={"job_title": "x"})).status_code == 404
    assert (await freshdesk.call("PUT", f"{path}/restore", key)).status_code == 204
    assert (await freshdesk.call("DELETE", f"{path}/hard_delete", key)).status_code == 400
    assert (await freshdesk.call("DELETE", f"{path}/hard_delete?force=true", key)).status_code == 204
    assert (await freshdesk.call("GET", path, key)).status_code == 404


async def test_duplicates(freshdesk):
    key = freshdesk.key()
    contact = next(c for c in await freshdesk.all("/contacts", key) if c["email"])
    body = {"name": "Twin", "email": contact["email"].upper()}
    answer = await freshdesk.call("POST", "/contacts", key, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "duplicate_value")
    assert answer.json()["errors"][0]["additional_info"]["user_id"] == contact["id"]
    company = (await freshdesk.all("/companies", key))[0]["name"]
    assert (await freshdesk.call("POST", "/companies", key, json={"name": company})).status_code == 409


GOOD = {"subject": "x", "description": "y", "email": "a@x.example", "status": 2, "priority": 1}


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"email": None}, "requester_id", "missing_field"), ({"status": 9}, "status", "invalid_value"),
        ({"made_up": 1}, "made_up", "invalid_field"), ({"tags": "a"}, "tags", "datatype_mismatch"),
        ({"custom_fields": {"cf_no": 1}}, "cf_no", "invalid_field"), ({"subject": None}, "subject", "invalid_value"),
        ({"company_id": 5}, "company_id", "invalid_value"), ({"status": True}, "status", "datatype_mismatch"),
    ],
)  # fmt: skip
async def test_a_write_that_cannot_be(freshdesk, change, field, code):
    answer = await freshdesk.call("POST", "/tickets", freshdesk.key(), json={**GOOD, **change})
    assert answer.status_code == 400
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [(field, code)]


async def test_there_is_no_consent_page(freshdesk):
    assert (await freshdesk.http.get("/freshdesk/oauth/authorize")).status_code == 404
    assert (await freshdesk.http.get("/freshdesk/_static/simulator.css")).status_code == 200


async def test_the_control_pages_samples_and_touches(freshdesk):
    for kind in freshdesk.simulator.object_types:
        body = {"account": BIG, "object": kind.name, "count": 2}
        made = await freshdesk.http.post("/freshdesk/_control/api/records", json=body)
        assert len(made.json()["ids"]) == 2
        changed = await freshdesk.http.post("/freshdesk/_control/api/records/change", json=body)
        assert len(changed.json()["ids"]) == 2
    page = await freshdesk.http.post("/freshdesk/_control", data={"do": "make_key", "account": BIG})
    shown = await freshdesk.http.get(page.headers["location"])
    assert "Copy the new key now" in shown.text
