"""Webhook endpoints as whoever builds on them meets them in the portal."""

import re
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import text
from standardwebhooks import Webhook

from trunkline.cli import bench
from trunkline.deliveries import keyring, repository
from trunkline.deliveries.schemas import Exchange
from trunkline.kernel.clock import now
from trunkline_tenants.seed import Seeded
from trunkline_ui.webhooks.languages import LANGUAGES

HOME = "/portal/webhooks"
FORM = {"url": "http://127.0.0.1:9/hooks?token=t0p", "description": "CRM <backend>", "concurrency": "4"}


async def register(owner: Any, **given: str) -> tuple[str, str]:
    """Path of the endpoint, and its secret."""
    made = await owner.post(f"{HOME}/new", **(FORM | {"types": "record.created", "payload": "full"} | given))
    assert made.status_code == 200, made.text
    secret = re.search(r"whsec_[\w+/=]+", made.text)
    path = re.search(rf'href="({HOME}/[0-9a-f-]+)"', made.text)
    assert secret
    assert path
    return path[1], secret[0]


async def test_an_endpoint_from_its_beginning_to_its_end(owner: Any) -> None:
    assert "No endpoints yet" in (await owner.get(HOME)).text
    path, secret = await register(owner)
    Webhook(secret)
    page = (await owner.get(path)).text
    assert secret not in page
    assert "CRM &lt;backend&gt;" in page
    assert "record.created" in page
    assert "CRM &lt;backend&gt;" in (await owner.get(HOME)).text
    form = (await owner.get(f"{path}/change")).text
    assert re.search(r'value="record.created" checked', form)
    changed = {**FORM, "types": "run.*", "payload": "thin", "ordering": "record", "rate": "7"}
    page = await owner.flash(await owner.post(f"{path}/change", **changed))
    assert "The endpoint is changed." in page
    assert "at most 7 a second" in page
    assert "kept for each record" in page
    rotated = await owner.post(f"{path}/rotate", overlap="1")
    other = re.search(r"whsec_[\w+/=]+", rotated.text)
    assert other
    assert other[0] != secret
    assert "A test event is on its way." in await owner.flash(await owner.post(f"{path}/test"))
    assert "webhook.test" in (await owner.get(path)).text
    assert "disabled: nothing is sent" in await owner.flash(await owner.post(f"{path}/switch", enabled="0"))
    assert "Enable it first" in await owner.flash(await owner.post(f"{path}/test"))
    assert "Send a test" in await owner.flash(await owner.post(f"{path}/switch", enabled="1"))
    assert "Remove this endpoint?" in (await owner.get(f"{path}/remove")).text
    assert "No endpoints yet" in await owner.flash(await owner.post(f"{path}/remove"))
    assert (await owner.get(path)).status_code == 404
    activity = (await owner.get("/portal/activity")).text
    assert "registered a webhook endpoint" in activity
    assert "t0p" not in activity


async def test_what_cannot_be_is_said_beside_its_field(owner: Any) -> None:
    for given, words in (
        ({"url": "https://10.0.0.1/x"}, "only names are called"),
        ({"url": "http://hooks.example.com/x"}, "only be called over https"),
        ({"url": "https://hooks.example.com/ü x"}, "Use plain characters"),
        ({"types": "record.lost"}, "record.lost"),
        ({"types": "nonsense!"}, "Choose again"),
        ({"concurrency": "99"}, "A number from 1 to 32"),
        ({"rate": "-1"}, "A number from 1 to 1,000"),
        ({"payload": "huge"}, "Choose again"),
        ({"ordering": "sideways"}, "Choose again"),
    ):
        answer = await owner.post(f"{HOME}/new", **({**FORM, "types": "*", "payload": "thin"} | given))
        assert answer.status_code == 422, answer.text
        assert words in answer.text, given
        assert "CRM &lt;backend&gt;" in answer.text, "what was entered stays"
    answer = await owner.post(f"{HOME}/new", **FORM)
    assert "Choose at least one kind of event." in answer.text
    path, _ = await register(owner)
    for since, words in (("yesterday", "Say since when"), ("2020-01-01T00:00", "last 30 days")):
        assert words in await owner.flash(await owner.post(f"{path}/recover", since=since))


async def test_a_delivery_shows_body_attempts_and_sends_again(
    owner: Any, services: Any, people: Seeded
) -> None:
    tenant = people.tenants["globex"].id
    path, _ = await register(owner)
    await owner.post(f"{path}/test")
    async with services.db.tenant(tenant) as session:
        (one,) = await services.deliveries.deliveries(session, tenant)
        box = await services.vault.box(session, tenant)
        exchange = Exchange(
            url=FORM["url"],
            request={"webhook-id": "msg_1"},
            response={"server": "<nginx>"},
            body="<b>no</b>",
            cut=True,
        )
        await repository.add_attempt(
            session,
            tenant,
            one.id,
            1,
            trigger="test",
            status=503,
            cause="status",
            took_ms=1200,
            answer=keyring.seal_exchange(box, exchange, one.id, 1),
            version=box.version,
            at=now(),
        )
        await repository.settle(
            session, tenant, one.id, state="failed", cause="exhausted", tries=10, attempts=1, next_at=None
        )
    here = f"{HOME}/deliveries/{one.id}"
    page = (await owner.get(here)).text
    for words in ("webhook.test", "Given up after ten attempts.", "503 not taken", "&lt;b&gt;no&lt;/b&gt;"):
        assert words in page, words
    assert "Body of the answer, its beginning" in page
    assert f'href="{here}"' in (await owner.get(f"{path}?show=failed")).text
    assert f'href="{here}"' not in (await owner.get(f"{path}?show=succeeded")).text
    assert "It is sent again" in await owner.flash(await owner.post(f"{here}/resend"))
    assert "next try" in (await owner.get(here)).text
    fragment = (await owner.get(here, target="live")).text
    assert "next try" in fragment
    assert "<html" not in fragment
    assert "webhook.test" in (await owner.get(path, target="live")).text
    moment = now().strftime("%Y-%m-%dT00:00")
    assert "0 deliveries are sent again" in await owner.flash(
        await owner.post(f"{path}/recover", since=moment)
    )


async def test_one_that_fails_stands_among_the_issues(owner: Any, services: Any, viewer: Any) -> None:
    path, _ = await register(owner)
    assert "No open issues" in (await owner.get("/portal/issues")).text
    import asyncpg

    connection = await asyncpg.connect(services.settings.database_url)
    await connection.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '2 days'")
    page = (await owner.get("/portal/issues")).text
    assert f'href="{path}"' in page
    assert "after five days of it, it is disabled" in page
    assert "t0p" not in page
    assert f'href="{path}"' not in (await viewer.get("/portal/issues")).text
    assert "This endpoint takes nothing." in (await owner.get(path)).text
    await connection.execute(
        "UPDATE webhook_endpoints SET disabled_at = now(), disabled_cause = 'failing', failing_since = NULL"
    )
    await connection.close()
    assert "took nothing for five days and is disabled" in (await owner.get("/portal/issues")).text


async def test_a_viewer_and_a_neighbour_see_nothing_of_it(owner: Any, viewer: Any, visitors: Any) -> None:
    path, _ = await register(owner)
    assert (await viewer.get(HOME)).status_code == 403
    assert HOME not in (await viewer.get("/portal")).text
    neighbour = await visitors("peter@initech.example")
    assert (await neighbour.get(path)).status_code == 404
    assert (await neighbour.post(f"{path}/test")).status_code == 404
    assert (await neighbour.post(f"{path}/rotate", overlap="0")).status_code == 404
    assert "No endpoints yet" in (await neighbour.get(HOME)).text


async def test_how_to_verify_is_shown_and_the_python_of_it_runs(owner: Any, monkeypatch: Any) -> None:
    page = (await owner.get(f"{HOME}/verify")).text
    assert len(LANGUAGES) == 5
    assert all(language.install.partition(" ")[0] in page for language in LANGUAGES)
    from trunkline.deliveries.signing import headers, new_secret

    secret, body = new_secret(), msgspec.json.encode({"type": "x", "tenant": None, "data": {}})
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    seen: list[Any] = []
    names: dict[str, Any] = {"seen_before": lambda _: False, "handle": lambda *given: seen.append(given)}
    exec(LANGUAGES[0].code, names)
    sent = headers([secret], "msg_1", int(now().timestamp()), body)
    assert names["receive"](body, sent) == 204
    assert names["receive"](body + b" ", sent) == 400
    assert seen == [("x", None, {})]


async def test_a_client_certificate_that_ends_is_told_of_before_and_after(
    owner: Any, services: Any, people: Seeded
) -> None:
    tenant = people.tenants["globex"].id
    pem, key = bench._load("egress").Authority().client("Globex")
    given = {"url": "https://hooks.example.com/in", "certificate": pem, "key": key}
    path, _ = await register(owner, **given)

    async def ends(left: timedelta) -> tuple[str, str, str]:
        async with services.db.tenant(tenant) as session:
            await session.execute(
                text("UPDATE endpoint_credentials SET certificate_ends = :at WHERE tenant_id = :tenant"),
                {"at": now() + left, "tenant": tenant},
            )
        pages = [(await owner.get(where)).text for where in (path, HOME, "/portal/issues")]
        return pages[0], pages[1], pages[2]

    for page in await ends(timedelta(days=31)):
        assert "client certificate expires" not in page
    for page in await ends(timedelta(days=20, hours=1)):
        assert "The client certificate expires in 20 days." in page
    endpoint, _, issues = await ends(timedelta(hours=2))
    assert f'href="{path}/change#mtls"' in endpoint
    assert "Client certificates that end" in issues
    assert "No open issues" not in issues
    for page in await ends(timedelta(days=-1)):
        assert "The client certificate has expired." in page
    await owner.post(f"{path}/change", **FORM | {"types": "*", "payload": "full", "no_certificate": "1"})
    assert "No open issues" in (await owner.get("/portal/issues")).text
