"""The wizard against the simulated HubSpot: the path without JavaScript, previews, trouble, hostile forms."""

import re
from html.parser import HTMLParser
from uuid import UUID, uuid4

import pytest

from trunkline.recipes.service import definition_of
from trunkline.services import Services
from trunkline_connectors.catalogue import manifests
from trunkline_tenants.seed import Seeded

HUBSPOT = next(one for one in manifests() if one.name == "hubspot")


class Controls(HTMLParser):
    """Names and values that a browser would send with the wizard's form."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._inside = False
        self._select = self._area = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name, value = given.get("name") or "", given.get("value") or ""
        if tag == "form":
            self._inside = "data-wizard" in given
        if not self._inside:
            return
        if tag == "input" and given.get("type") in {"radio", "checkbox"}:
            if "checked" in given:
                self.values[name] = value
        elif tag == "input":
            self.values[name] = value
        elif tag == "select":
            self._select = name
            self.values[name] = ""
        elif tag == "option" and "selected" in given:
            self.values[self._select] = value
        elif tag == "textarea":
            self._area = name
            self.values[name] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False
        if tag == "textarea":
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.values[self._area] += data.removeprefix("\n")


def controls(page: str) -> dict[str, str]:
    found = Controls(page).values
    assert found, page[:2000]
    return found


def step(page: str) -> str:
    return page.partition('data-step="')[2].partition('"')[0]


async def test_the_whole_path(owner, services: Services, connection_id: UUID, tenant_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    choice = await owner.get(new)
    assert choice.status_code == 200
    assert "Start from scratch" in choice.text
    assert choice.text.count("Use this") >= 4

    first = await owner.get(f"{new}?step=source")
    assert step(first.text) == "source"
    form = controls(first.text)
    assert (form["stream"], form["model"]) == ("contacts", "contact")

    second = await owner.post(new, {**form, "go": "next"})
    assert step(second.text) == "mapping"
    form = controls(second.text)
    assert form["m.email.source"] == "email"
    assert form["m.full_name.kind"] == "expression"
    assert "e.g." in second.text, "the picker shows real examples"

    form["m.lead_status.kind"], form["m.lead_status.constant"] = "constant", "warm"
    form["m.first_name.default"] = "Friend"
    third = await owner.post(new, {**form, "go": "next"})
    assert step(third.text) == "filter", third.text[-3000:]
    form = controls(third.text)
    assert form["name"] == "Contacts"
    form |= {"filter_kind": "conditions", "c.0.field": "email", "c.0.operator": "filled", "schedule": "900"}
    fourth = await owner.post(new, {**form, "go": "next"})
    assert step(fourth.text) == "review"
    assert "Every 15 minutes" in fourth.text
    assert "Email is not empty" in fourth.text
    form = controls(fourth.text)

    back = await owner.post(new, {**form, "go": "mapping"})
    assert controls(back.text)["m.lead_status.constant"] == "warm", "going back keeps the entries"

    saved = await owner.post(new, {**form, "go": "save", "note": "first try"})
    shown = await owner.follow(saved)
    assert shown.status_code == 200
    assert "is saved" in shown.text
    recipe_id = UUID(saved.headers["location"].rpartition("/")[2])
    async with services.db.tenant(tenant_id) as session:
        recipe = await services.recipes.get(session, tenant_id, recipe_id)
        versions = await services.recipes.versions(session, tenant_id, recipe_id)
        streams = await services.runs.streams(session, tenant_id, connection_id)
    assert recipe.schedule_seconds == 900
    assert recipe.definition.filter == '(text(record.email) != "")'
    by_target = {mapping.target: mapping for mapping in recipe.definition.mappings}
    assert by_target["lead_status"].constant == "warm"
    assert by_target["first_name"].default == "Friend"
    assert (versions[0].author, versions[0].note) == ("Ada Byron", "first try")
    assert streams[0].stream == "contacts"
    assert streams[0].run_id is not None, "the stream is due at once"


async def test_preview_shows_real_records_before_and_after(owner, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    form = controls((await owner.get(f"{new}?from=contacts")).text)
    htmx = {"hx-request": "true", "hx-target": "preview"}
    shown = (await owner.post(new, form, **htmx)).text
    assert "5 real records from HubSpot: " in shown
    assert shown.count("<details") == 5
    assert "<html" not in shown
    assert 'id="after-email" hx-swap-oob="true"' in shown
    form |= {"m.phone.kind": "expression", "m.phone.expression": "record.nonsense + "}
    wrong = (await owner.post(new, form, **htmx)).text
    assert "Left out because of an error: Phone" in wrong
    form |= {"m.phone.expression": "int(text(record.email))"}
    failing = (await owner.post(new, form, **htmx)).text
    assert "0 mapped, 0 filtered out, 5 set aside" in failing
    assert "the text is not a whole number" in failing
    form |= {"m.phone.kind": "none", "filter_kind": "expression", "filter": "false"}
    assert "0 mapped, 5 filtered out" in (await owner.post(new, form, **htmx)).text


async def test_long_text_is_told_and_can_be_cut(owner, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    form = controls((await owner.get(f"{new}?from=contacts")).text)
    long = "+".join(['"' + "x" * 200 + '"'] * 6)
    form |= {"m.phone.kind": "expression", "m.phone.expression": f"{long} + text(record.phone)"}
    shown = (await owner.post(new, {**form, "go": "preview"})).text
    assert "string holds at most 1,024" in shown
    assert 'value="cut.phone"' in shown
    cut = (await owner.post(new, {**form, "go": "cut.phone"})).text
    form = controls(cut)
    assert "substring(0, 1024)" in form["m.phone.expression"]
    again = (await owner.post(new, {**form, "go": "preview"})).text
    assert "5 mapped, 0 filtered out, 0 set aside" in again


async def test_errors_stand_at_their_fields(owner, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    form = controls((await owner.get(f"{new}?from=contacts")).text)
    form |= {
        "m.phone.kind": "expression",
        "m.phone.expression": "record.phone +",
        "m.city.kind": "field",
        "m.city.source": "citty",
        "m.birth_date.kind": "constant",
        "m.birth_date.constant": "someday",
    }
    answer = await owner.post(new, {**form, "go": "next"})
    assert answer.status_code == 422
    assert step(answer.text) == "mapping"
    for control in ("m-phone-expression", "m-city-source", "m-birth_date-constant"):
        assert f'<a href="#{control}">' in answer.text
        assert f'id="{control}"' in answer.text
        assert f'id="{control}-error"' in answer.text
    assert "Did you mean" in answer.text
    assert controls(answer.text)["m.city.source"] == "citty", "what was typed stays"


async def test_save_without_a_name_goes_to_that_field(owner, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    form = controls((await owner.get(f"{new}?from=contacts")).text)
    form |= {"step": "review", "name": " ", "go": "save"}
    answer = await owner.post(new, form)
    assert (answer.status_code, step(answer.text)) == (422, "filter")
    assert '<a href="#name">' in answer.text


async def test_another_stream_brings_its_model(owner, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    form = controls((await owner.get(f"{new}?step=source")).text)
    shown = await owner.post(
        new, {**form, "stream": "deals"}, **{"hx-request": "true", "hx-target": "preview"}
    )
    assert re.search(r'id="model-choice" hx-swap-oob="true"', shown.text)
    assert re.search(r'name="model" value="deal" required checked', shown.text)
    following = await owner.post(new, {**form, "stream": "deals", "go": "next"})
    assert controls(following.text)["m.amount.source"] == "amount"


async def test_a_suggestion_says_how_many_fields_it_fills(owner, connection_id: UUID) -> None:
    shown = (await owner.get(f"/portal/connections/{connection_id}/recipes/new")).text
    deals = definition_of(next(one for one in HUBSPOT.recipes if one.stream == "deals"))
    assert f"{len(deals.mappings)} fields · becomes Deal<" in shown


async def test_a_preview_that_comes_late_undoes_no_choice_of_a_model(owner, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    form = controls((await owner.get(f"{new}?step=source")).text)
    shown = await owner.post(new, form, **{"hx-request": "true", "hx-target": "preview"})
    assert "Before" in shown.text
    assert "model-choice" not in shown.text


@pytest.fixture
def _no_faults(sandbox):
    yield
    sandbox.hubspot.faults.clear()


@pytest.mark.usefixtures("_no_faults")
async def test_a_failing_provider_leaves_the_wizard_usable(owner, sandbox, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    sandbox.hubspot.faults.add("500", seconds=120)
    answer = await owner.get(f"{new}?from=contacts")
    assert answer.status_code == 200
    form = controls(answer.text)
    shown = (await owner.post(new, {**form, "go": "preview"})).text
    assert "No preview from HubSpot just now" in shown
    saved = await owner.post(new, {**form, "step": "review", "go": "save"})
    assert saved.status_code == 303, "it can be saved all the same"


async def test_suggested_in_one_click_and_only_once(owner, connection_id: UUID) -> None:
    address = f"/portal/connections/{connection_id}/recipes"
    detail = await owner.get(f"{address}/new?suggested=contacts")
    assert "What it does" in detail.text
    fragment = await owner.get(f"{address}/new?suggested=contacts", **{"hx-request": "true"})
    assert "real records from HubSpot" in fragment.text
    assert "<html" not in fragment.text
    made = await owner.post(f"{address}/suggested", {"key": "contacts"})
    again = await owner.post(f"{address}/suggested", {"key": "contacts"})
    assert made.headers["location"] == again.headers["location"]
    assert "In use" in (await owner.get(f"{address}/new")).text
    assert (await owner.post(f"{address}/suggested", {"key": "nothing"})).status_code == 400
    assert (await owner.get(f"{address}/new?suggested=nothing")).status_code == 404


HOSTILE = [
    {f"x{n}": "1" for n in range(5000)},
    {f"m.f{n}.source": "1" for n in range(900)} | {f"c.{n}.value": "x" for n in range(900)},
    {"m.email.source": "a\x00b"},
    {"name": "\x00"},
    {"m.email.expression": "x" * 100_000},
    {"m.email.kind": "evil"},
    {"m.__class__.kind": "field"},
    {"m.email": "x"},
    {"c.99.field": "x"},
    {"step": "nowhere"},
    {"go": "explode"},
    {"go": "cut.nothing"},
    {"schedule": "-1"},
    {"schedule": "9" * 50},
    {"based_on": "zero"},
    {"filter_kind": "sql"},
]


async def test_hostile_forms_get_a_sentence(owner, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    base = {"stream": "contacts", "model": "contact", "step": "mapping", "go": "save"}
    for extra in HOSTILE:
        answer = await owner.post(new, base | extra)
        assert answer.status_code == 400, (str(extra)[:200], answer.status_code)
        assert "Traceback" not in answer.text


WRONG = [
    {"stream": "nonsense"},
    {"model": "<script>alert(1)</script>"},
    {"stream": "", "model": ""},
    {"name": "x" * 5000, "step": "filter"},
    {"schedule": "61", "step": "filter"},
    {"m.email.kind": "expression", "m.email.expression": "((((" * 500},
    {"m.nosuch.kind": "field", "m.nosuch.source": "email"},
    {"filter_kind": "conditions", "c.0.field": "email", "c.0.operator": "drop table", "c.0.value": "x"},
    {"filter_kind": "expression", "filter": "\"'\\"},
    {"m.email.kind": "field", "m.email.source": "<script>alert(1)</script>"},
]


async def test_wrong_input_is_shown_in_the_form(owner, connection_id: UUID) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    base = {"stream": "contacts", "model": "contact", "made_for": "contacts/contact", "step": "review"}
    for extra in WRONG:
        answer = await owner.post(new, base | {"name": "n", "go": "save"} | extra)
        assert answer.status_code == 422, extra
        assert "data-error-summary" in answer.text
        assert "<script>alert" not in answer.text


async def test_who_may(viewer, stranger, connection_id: UUID, people: Seeded) -> None:
    new = f"/portal/connections/{connection_id}/recipes/new"
    assert (await viewer.get(new)).status_code == 403
    assert (await viewer.post(new, {"go": "save"})).status_code == 403
    assert (await viewer.post(new.replace("new", "suggested"), {"key": "contacts"})).status_code == 403
    assert (await stranger.get(new)).status_code == 404
    assert (await stranger.post(new, {"stream": "contacts", "model": "contact"})).status_code == 404
    assert (await stranger.post(new.replace("new", "suggested"), {"key": "contacts"})).status_code == 404
    assert (await stranger.get(f"/portal/connections/{uuid4()}/recipes/new")).status_code == 404


async def test_without_the_token_nothing_is_done(owner, connection_id: UUID) -> None:
    owner.csrf = "wrong"
    answer = await owner.post(f"/portal/connections/{connection_id}/recipes/suggested", {"key": "contacts"})
    assert answer.status_code == 403
