"""Reviews over the API: listed, decided once, and answered alike when asked again."""

from typing import Any
from uuid import UUID, uuid4

from trunkline.kernel.ids import new_id
from trunkline.reviews import repository


async def opened(stand: Any, stream: str) -> UUID:
    review_id = new_id()
    async with stand.db.tenant(stand.tenant_id) as session:
        await repository.add(
            session,
            stand.tenant_id,
            review_id,
            connection_id=stand.connection_id,
            stream=stream,
            count=60,
            total=120,
            doubtful=False,
            sample=["51"],
            run_id=new_id(),
        )
    return review_id


async def test_reviews_are_listed_and_decided_once(stand: Any, api: Any) -> None:
    first, second = await opened(stand, "contacts"), await opened(stand, "companies")
    listed = (await api.get("/v1/reviews", params={"limit": 1, "standing": "open"})).json()
    assert [one["id"] for one in listed["reviews"]] == [str(second)]
    more = (await api.get("/v1/reviews", params={"cursor": listed["next"]})).json()
    assert str(first) in [one["id"] for one in more["reviews"]]
    one = (await api.get(f"/v1/reviews/{first}")).json()
    assert (one["state"], one["count"], one["sample"]) == ("open", 60, ["51"])

    headers = {"idempotency-key": str(uuid4())}
    for replayed in (False, True):
        answer = await api.post(f"/v1/reviews/{first}/approve", json={"reason": "Cleaned"}, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "approved"
        assert ("idempotent-replayed" in answer.headers) is replayed
    assert (await api.post(f"/v1/reviews/{first}/reject", json={"reason": "No"})).status_code == 409
    assert (await api.post(f"/v1/reviews/{second}/reject", json={"reason": " "})).status_code == 400
    assert (await api.post(f"/v1/reviews/{second}/reject", json={"reason": "Keep"})).json()[
        "state"
    ] == "rejected"
    assert (await api.get(f"/v1/reviews/{uuid4()}")).status_code == 404
