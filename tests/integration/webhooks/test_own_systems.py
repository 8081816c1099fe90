"""What a customer's own system posts: kept, read as its owner chose, mapped, and told to the product."""

from typing import Any

import pytest
from webhooks_kit.shop import CONTACT, READING, Shop

from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.recipes.results import Mapped
from trunkline.sdk.own import STREAM, Reading
from trunkline.webhooks.own_systems import trial
from trunkline.webhooks.suggesting import suggest


@pytest.fixture
async def shop(harbor: Any) -> Shop:
    await harbor.services.evaluator.start()
    return await Shop.open(harbor)


async def test_from_the_first_event_to_the_product(harbor: Any, shop: Shop) -> None:
    services = harbor.services
    _, judge = await harbor.endpoint(shop.tenant_id, "/own", types=["record.*"], payload="full")
    ada = shop.customer("1001", 1, email="ada@example.com", first_name="Ada")
    assert await shop.post(ada, id="msg_1") == 200
    await shop.work()
    assert await shop.states() == [("queued", None)]  # nobody has said yet how it is read
    async with shop.db.tenant(shop.tenant_id) as session:
        (heard,) = await services.systems.heard(session, shop.tenant_id, shop.id)
    suggested = suggest(heard.document)
    assert suggested is not None
    assert (suggested.key, suggested.record, suggested.at) == ("data.id", "data", "data.updated_at")
    (tried,) = trial(suggested, [heard])
    assert (tried.key, tried.gone, tried.trouble) == ("1001", False, "")

    assert (await shop.read_as()).state == "active"
    await shop.work()
    assert await shop.states() == [("applied", None)]
    assert await shop.records() == {"1001"}
    assert await shop.entities() == {}
    # a recipe is tried on what came: nobody else could be asked
    async with shop.db.tenant(shop.tenant_id) as session:
        spoken = (await services.connections.get(session, shop.tenant_id, shop.id)).spoken
        models = await services.recipes.models(session, shop.tenant_id)
    manifest = services.connectors.get(spoken)
    fields = await services.previews.fields(shop.tenant_id, shop.id, manifest, STREAM)
    assert {"id", "email", "first_name", "updated_at"} == {one.name for one in fields}
    (before_after,) = await services.previews.preview(shop.tenant_id, shop.id, CONTACT, models["contact"])
    assert isinstance(before_after.result, Mapped)
    assert before_after.result.data["email"] == "ada@example.com"

    await shop.recipe()
    await shop.work()
    assert {one: data["email"] for one, data in (await shop.entities()).items()} == {
        "1001": "ada@example.com"
    }
    assert await shop.post(ada, id="msg_1") == 200  # sent again
    assert await shop.post(shop.customer("1001", 5, email="ada@new.example")) == 200
    assert await shop.post(shop.customer("1001", 3, email="ada@late.example")) == 200  # out of order
    await shop.work()
    assert (await shop.entities())["1001"]["email"] == "ada@new.example"
    assert sorted(state for state, _ in await shop.states()) == ["applied", "applied", "superseded"]
    assert await shop.post(shop.customer("1001", 9, "customer.deleted")) == 200
    await shop.work()
    assert await shop.entities() == {}
    told = [judge.verify(got.body, got.headers)["type"] for got in harbor.receiver.of("/own")]
    assert told == ["record.created", "record.updated", "record.deleted"]


async def test_nothing_is_ever_asked_of_it_and_silence_is_no_delay(harbor: Any, shop: Shop) -> None:
    services = harbor.services
    await shop.post(shop.customer("1", email="a@example.com"))
    await shop.read_as()
    await shop.recipe()
    await shop.work()
    await harbor.settle("check")
    async with shop.db.tenant(shop.tenant_id) as session:
        assert await services.runs.sync_now(session, shop.tenant_id, shop.id) == []
        assert await services.runs.sync_now(session, shop.tenant_id, shop.id, None, "full") == []
        with pytest.raises(ConflictError):
            await services.runs.pause_stream(session, shop.tenant_id, shop.id, STREAM)
        with pytest.raises(ConflictError):
            await services.connections.begin(
                session, shop.tenant_id, harbor.who, "custom", connection_id=shop.id
            )
        with pytest.raises(NotFoundError):
            await services.connections.begin(session, shop.tenant_id, harbor.who, "custom")
    runs = await shop.rows("SELECT DISTINCT mode FROM runs WHERE tenant_id = :t ORDER BY mode")
    assert {row.mode for row in runs} <= {"remap", "webhook"}
    await harbor.owner.execute(
        "UPDATE streams SET created_at = now() - interval '9 days', last_success_at = now() - interval '9 days'"
        " WHERE tenant_id = $1",
        shop.tenant_id,
    )
    (row,) = await shop.rows("SELECT late_at, next_due_at FROM streams WHERE tenant_id = :t")
    assert tuple(row) == (None, None)
    async with shop.db.tenant(shop.tenant_id) as session:
        judged = await services.health.of_connection(session, shop.tenant_id, shop.id)
    assert (judged.health.level, judged.health.why, judged.lag_seconds) == ("healthy", "pushed", None)


async def test_paused_it_waits_and_resumed_it_goes_on(harbor: Any, shop: Shop) -> None:
    services = harbor.services
    await shop.post(shop.customer("1", email="a@example.com"))
    async with shop.db.tenant(shop.tenant_id) as session:  # before anything was chosen
        await services.connections.pause(session, shop.tenant_id, shop.id, harbor.who)
        assert (
            await services.connections.resume(session, shop.tenant_id, shop.id, harbor.who)
        ).state == "setup"
    await shop.read_as()
    await shop.recipe()
    await shop.work()
    async with shop.db.tenant(shop.tenant_id) as session:
        await services.connections.pause(session, shop.tenant_id, shop.id, harbor.who)
    assert await shop.post(shop.customer("2", email="b@example.com")) == 200
    await shop.work()
    assert set(await shop.entities()) == {"1"}
    async with shop.db.tenant(shop.tenant_id) as session:
        await services.connections.resume(session, shop.tenant_id, shop.id, harbor.who)
    await shop.work()
    assert set(await shop.entities()) == {"1", "2"}


async def test_without_a_recipe_records_are_kept_for_the_one_that_comes(harbor: Any, shop: Shop) -> None:
    services = harbor.services
    await shop.post(shop.customer("1", email="a@example.com"))
    await shop.read_as()
    recipe = await shop.recipe()
    await shop.work()
    async with shop.db.tenant(shop.tenant_id) as session:
        spoken = (await services.connections.get(session, shop.tenant_id, shop.id)).spoken
        await services.recipes.set_enabled(
            session, shop.tenant_id, harbor.who, recipe, connector=spoken, enabled=False
        )
    await shop.post(shop.customer("2", email="b@example.com"))
    await shop.work()
    assert await shop.records() == {"1", "2"}
    assert set(await shop.entities()) == {"1"}
    async with shop.db.tenant(shop.tenant_id) as session:
        await services.recipes.set_enabled(
            session, shop.tenant_id, harbor.who, recipe, connector=spoken, enabled=True
        )
    await shop.work()
    assert set(await shop.entities()) == {"1", "2"}


async def test_what_cannot_be_read_is_a_dead_letter_and_can_be_replayed(harbor: Any, shop: Shop) -> None:
    services = harbor.services
    await shop.post(shop.customer("1", email="a@example.com"))
    await shop.read_as()
    await shop.recipe()
    assert await shop.post({"type": "customer.updated", "data": {"updated_at": "2026-03-01"}}) == 200
    assert await shop.post({"data": {"id": "2", "email": "b@example.com"}}) == 200  # without type or time
    assert await shop.post({"type": "invoice.paid", "data": {"id": {"no": 1}}}) == 200
    assert await shop.post(None, body=b"{not json") == 400
    await shop.work()
    assert [state for state, _ in await shop.states()] == ["applied", "dead", "applied", "dead"]
    assert set(await shop.entities()) == {"1", "2"}
    (issue,) = await shop.rows("SELECT cause FROM issues WHERE tenant_id = :t AND resolved_at IS NULL")
    assert issue.cause == "malformed_event"
    dead = await shop.rows(
        "SELECT id FROM inbound_events WHERE tenant_id = :t AND state = 'dead' ORDER BY id"
    )
    only = Reading(
        **{name: getattr(READING, name) for name in READING.__struct_fields__} | {"only": ("customer.*",)}
    )
    await shop.read_as(only)
    async with shop.db.tenant(shop.tenant_id) as session:
        for one in dead:
            await services.replays.one(session, shop.tenant_id, one.id, harbor.who)
    await shop.work()
    # by what is chosen now an invoice is nothing of ours, and the other is as it was
    assert [state for state, _ in await shop.states()] == ["applied", "dead", "applied", "ignored"]


async def test_a_flag_that_overtakes_the_record_keeps_it_gone(shop: Shop) -> None:
    flagged = Reading(key="id", at="at", gone="deleted", gone_when=("true",))
    await shop.post({"id": 6, "at": 1_700_000_000, "deleted": False})
    await shop.read_as(flagged)
    shop.services.intake._sources.forget()
    await shop.post({"id": 7, "at": 1_700_000_050, "deleted": True})
    await shop.work()
    await shop.post({"id": 7, "at": 1_700_000_000, "deleted": False})
    await shop.work()
    assert await shop.records() == {"6"}
    assert await shop.states() == [("applied", None), ("unchanged", "gone"), ("superseded", None)]
    await shop.post({"id": 7, "at": 1_700_000_099, "deleted": False})
    await shop.work()
    assert await shop.records() == {"6", "7"}


async def test_an_event_can_be_known_again_by_a_place_in_it(shop: Shop) -> None:
    await shop.post({"event": "e0", "id": 1})
    await shop.read_as(Reading(key="id", event_id="event"))
    shop.services.intake._sources.forget()
    for number in range(3):
        assert await shop.post({"event": "e1", "id": 2}, id=f"msg_{number}") == 200
    await shop.work()
    assert len(await shop.states()) == 2


async def test_what_is_chosen_must_fit_what_came(harbor: Any, shop: Shop) -> None:
    with pytest.raises(BadInputError, match="Send an event first"):
        await shop.read_as()
    await shop.post(shop.customer("1"))
    with pytest.raises(BadInputError, match=r"data\.nothing is missing") as wrong:
        await shop.read_as(Reading(key="data.nothing"))
    assert wrong.value.field == "key"
    with pytest.raises(BadInputError) as wrong:
        await shop.read_as(Reading(key="data.id", type="type", only=("order.*",)))
    assert wrong.value.field == "only"
    await shop.read_as()
    await shop.work()
    with pytest.raises(ConflictError, match="held under the key"):
        await shop.read_as(Reading(key="data.updated_at", record="data"))
    other = await Shop.open(harbor, "Another's")
    async with shop.db.tenant(shop.tenant_id) as session:
        for ask in (
            shop.services.systems.get(session, shop.tenant_id, other.id),
            shop.services.systems.rotate(session, shop.tenant_id, other.id, harbor.who),
            shop.services.systems.read_as(session, shop.tenant_id, other.id, READING, harbor.who),
        ):
            with pytest.raises(NotFoundError):
                await ask


async def test_two_secrets_count_for_a_while_and_none_once_it_is_disconnected(
    harbor: Any, shop: Shop
) -> None:
    services = harbor.services
    assert await shop.post({"id": 1}, secret="whsec_" + "A" * 32) == 401
    async with shop.db.tenant(shop.tenant_id) as session:
        fresh = await services.systems.rotate(session, shop.tenant_id, shop.id, harbor.who)
    services.intake._sources.forget()
    assert await shop.post({"id": 1}) == 200
    assert await shop.post({"id": 2}, secret=fresh) == 200
    verdicts = await shop.rows("SELECT verdict FROM inbound_events WHERE tenant_id = :t ORDER BY id")
    assert [row.verdict for row in verdicts] == ["verified_by_previous_secret", "verified"]
    async with shop.db.tenant(shop.tenant_id) as session:
        with pytest.raises(ConflictError):
            await services.systems.rotate(session, shop.tenant_id, shop.id, harbor.who)
    async with shop.db.tenant(shop.tenant_id) as session:
        await services.connections.disconnect(session, shop.tenant_id, shop.id, harbor.who)
    services.intake._sources.forget()
    assert await shop.post({"id": 3}, secret=fresh) == 404
    assert await shop.rows("SELECT id FROM hook_endpoints WHERE tenant_id = :t") == []
    async with shop.db.tenant(shop.tenant_id) as session:
        assert (await services.systems.get(session, shop.tenant_id, shop.id)).url is None
        assert await services.systems.of_tenant(session, shop.tenant_id) == []


async def _reviews(shop: Shop) -> list[Any]:
    return await shop.harbor.owner.fetch(
        "SELECT id, state, count, deleted, applied_at, sample FROM reviews WHERE tenant_id = $1 ORDER BY opened_at",
        shop.tenant_id,
    )


async def _decide(shop: Shop, verdict: Any) -> None:
    (found,) = [one for one in await _reviews(shop) if one["state"] == "open"]
    async with shop.db.tenant(shop.tenant_id) as session:
        await shop.services.reviews.decide(
            session, shop.tenant_id, found["id"], shop.who, verdict, "Looked at it"
        )


async def test_many_deletions_at_once_wait_for_a_human_who_may_let_them_through(shop: Shop) -> None:
    ids = [str(number) for number in range(60)]
    for one in ids:
        await shop.post(shop.customer(one, 1))
    await shop.read_as()
    await shop.work()
    assert await shop.records() == set(ids)
    for one in ids[:55]:
        await shop.post(shop.customer(one, 2, "customer.deleted"))
    await shop.work()
    assert await shop.records() == set(ids), "nothing is deleted before somebody has decided"
    await shop.post(shop.customer("55", 2, "customer.deleted"))
    await shop.post(shop.customer("7", 3))  # it is there again
    await shop.work()
    (review,) = await _reviews(shop)
    assert (review["state"], review["count"], len(review["sample"])) == ("open", 56, 20)
    assert ("ignored", "mass_deletion") in await shop.states()

    await _decide(shop, "approved")
    await shop.work()
    assert await shop.records() == {"7", *ids[56:]}
    (review,) = await _reviews(shop)
    assert (review["deleted"], review["applied_at"] is not None) == (55, True)
    await shop.post(shop.customer("56", 4, "customer.deleted"))
    await shop.work()
    assert await shop.records() == {"7", *ids[57:]}, "what was approved makes the next one not many"


async def test_many_deletions_that_a_human_turned_down_stay_undone(shop: Shop) -> None:
    ids = [str(number) for number in range(51)]
    for one in ids:
        await shop.post(shop.customer(one, 1))
    await shop.read_as()
    await shop.work()
    for one in ids:
        await shop.post(shop.customer(one, 2, "customer.deleted"))
    await shop.work()
    await _decide(shop, "rejected")
    await shop.post(shop.customer("3", 3, "customer.deleted"))
    await shop.work()
    assert await shop.records() == set(ids) - {"3"}, "one by itself is believed"
