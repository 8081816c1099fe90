"""What the portal says, from facts alone."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.audit.repository import Entry
from trunkline.health.assessment import LEVELS, Health
from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.resilience.failures import failures
from trunkline.runs.schemas import ChangeView, RunView, StreamView
from trunkline_ui.portal import changed, deeds, words

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ID = UUID(int=5)


def run(**values: Any) -> RunView:
    counters = dict.fromkeys(
        ("attempt", "retries", "pages", "fetched", "created", "updated", "deleted", "unchanged", "filtered",
         "quarantined", "changes"), 0,
    )  # fmt: skip
    base: dict[str, Any] = {
        **counters, "id": ID, "connection_id": ID, "stream": "contacts", "mode": "first", "trigger": "recipe",
        "state": "running", "cause": None, "waiting_until": None, "expected": None, "created_at": NOW,
        "started_at": NOW, "finished_at": None, "progress_at": None,
    }  # fmt: skip
    return RunView(**(base | values))


def stream(**values: Any) -> StreamView:
    base: dict[str, Any] = {
        "connection_id": ID, "stream": "contacts", "schedule_seconds": 60, "freshness_seconds": 900,
        "run_id": None, "watermark": None, "last_started_at": None, "last_success_at": NOW, "next_due_at": None,
        "waiting_until": None, "failures": 0, "cause": None, "cause_since": None, "cause_detail": None,
        "paused_at": None, "records": 3, "created_at": NOW,
    }  # fmt: skip
    return StreamView(**(base | values))


def health(**values: Any) -> Health:
    base: dict[str, Any] = {"level": "healthy", "since": NOW, "customer": "Fine.", "support": "Fine."}
    return Health(**(base | values))


@pytest.mark.parametrize(
    ("state", "judged", "remedy"),
    [
        ("reconnect_required", health(level="reconnect_needed", action="reconnect"), "reconnect"),
        ("active", health(level="degraded", action="wait"), "wait"),
        ("active", health(level="failing", action="retry"), "retry"),
        ("active", health(), "recipe"),
        ("paused", None, "resume"),
        ("disconnected", None, "reconnect"),
        ("pending", None, "none"),
        ("setup", None, "none"),
    ],
)
def test_each_standing_names_what_helps(state: str, judged: Health | None, remedy: str) -> None:
    found = words.standing(state, NOW, judged, "HubSpot")
    assert found.remedy == remedy
    assert found.sentence.endswith(".")


def test_a_connection_that_reads_needs_nothing() -> None:
    found = words.standing("active", NOW, health(), "HubSpot", [stream()])
    assert (found.remedy, found.sentence) == ("none", "Fine.")
    busy = words.standing("active", NOW, health(), "HubSpot", [stream()], ["Contacts"])
    assert busy.sentence == "Syncing now: Contacts."
    late = health(level="delayed", action="wait")
    assert words.standing("active", NOW, late, "HubSpot", [stream()], ["Contacts"]).sentence == "Fine."


def test_waiting_says_until_when() -> None:
    later = NOW + timedelta(minutes=5)
    judged = health(level="degraded", action="wait", stream="contacts")
    assert words.standing("active", NOW, judged, "HubSpot", [stream(next_due_at=later)]).until == later
    known = msgspec.structs.replace(judged, waiting_until=NOW + timedelta(minutes=1))
    assert (
        words.standing("active", NOW, known, "HubSpot", [stream(next_due_at=later)]).until
        == known.waiting_until
    )


def test_a_limit_that_is_waited_for_is_told_though_nothing_is_late() -> None:
    until = NOW + timedelta(minutes=5)
    judged = msgspec.structs.replace(health(), why="limit", waiting_until=until)
    found = words.standing("active", NOW, judged, "HubSpot", [stream()], moment=NOW)
    assert (found.badge, found.remedy, found.until, found.sentence) == ("healthy", "wait", until, "Fine.")


def test_a_record_is_known_by_the_first_recipe_that_finds_something() -> None:
    def taking(**fields: str) -> RecipeDefinition:
        mappings = tuple(Mapping(target=target, source=source) for target, source in fields.items())
        return RecipeDefinition(stream="contacts", model="contact", mappings=mappings)

    document = {"id": "1", "properties": {"subject": "Help", "level": "77"}}
    ours, theirs = taking(first_name="firstname", subject="subject"), taking(level="level")
    assert changed.known_as(document, "properties", [ours, theirs]) == "Help"
    assert changed.known_as(document, "properties", [taking(name="name"), theirs]) == "77"
    assert changed.known_as({"id": "1"}, "", [ours, theirs]) == ""
    assert changed.known_as({"fields": {"name": "Ada"}}, "fields", [taking(name="name")]) == "Ada"


def test_no_time_that_is_over_is_promised() -> None:
    late = health(level="delayed", action="wait", stream="contacts")
    due = [stream(next_due_at=NOW - timedelta(minutes=1))]
    assert words.standing("active", NOW, late, "HubSpot", due, moment=NOW).until is None


def test_no_end_is_foreseen_while_a_run_waits() -> None:
    half = {"fetched": 300, "expected": 1200, "started_at": NOW - timedelta(seconds=60), "progress_at": NOW}
    assert words.progress(run(state="running", **half)).text == "300 of 1,200 · 25 % · about 3 minutes left"
    assert words.progress(run(state="waiting", **half)).text == "300 of 1,200 · 25 %"


def test_a_pass_beside_says_until_when_it_waits() -> None:
    until = NOW + timedelta(minutes=5)
    waiting = words.aside_panel(
        run(state="waiting", mode="full", cause="rate_limited", waiting_until=until), "HubSpot"
    )
    assert (waiting.until, waiting.sentence) == (until, "Waiting for HubSpot's limit.")
    assert words.aside_panel(run(state="running", mode="full", waiting_until=until), "HubSpot").until is None


def panel(view: StreamView, active: RunView | None = None, state: str = "active") -> words.StreamPanel:
    return words.stream_panel(view, active, "Contacts", "HubSpot", state, NOW)


def test_the_panel_tells_limits_from_problems() -> None:
    later = NOW + timedelta(seconds=90)
    limited = panel(stream(run_id=ID), run(state="waiting", cause="rate_limited", waiting_until=later))
    assert (limited.phase, limited.now, limited.until) == ("waiting", "Waiting for HubSpot's limit", later)
    failing = panel(stream(run_id=ID), run(state="waiting", cause="provider_error", waiting_until=later))
    assert failing.phase == "retrying"
    assert failing.now.endswith("Next try")
    past = panel(stream(run_id=ID), run(state="waiting", cause="rate_limited", waiting_until=NOW))
    assert past.until is None


def test_the_panel_of_every_other_phase() -> None:
    assert panel(stream(), run()).phase == "running"
    assert panel(stream(), run(state="queued")).phase == "queued"
    assert panel(stream()).word == "Up to date"
    assert panel(stream(last_success_at=None)).word == "Not yet read"
    assert panel(stream(paused_at=NOW, cause="paused_by_member")).now == "Paused by a member."
    assert panel(stream(paused_at=NOW)).now == "No recipe reads this stream."
    assert panel(stream(), run(), state="reconnect_required").phase == "stopped"
    assert panel(stream(failures=2, cause="provider_timeout")).phase == "retrying"


@given(
    state=st.sampled_from(["active", "paused", "reconnect_required", "disconnected", "setup"]),
    run_state=st.sampled_from([None, "queued", "running", "waiting"]),
    cause=st.sampled_from([None, "never_heard_of", *sorted(failures())]),
    paused=st.booleans(),
    fails=st.integers(0, 5),
    ahead=st.integers(-1000, 1000),
)
def test_a_panel_always_has_words(
    state: str, run_state: str | None, cause: str | None, paused: bool, fails: int, ahead: int
) -> None:
    view = stream(
        cause=cause,
        failures=fails,
        paused_at=NOW if paused else None,
        last_success_at=NOW + timedelta(seconds=ahead),
    )
    active = None if run_state is None else run(state=run_state, cause=cause, waiting_until=NOW)
    found = panel(view, active, state)
    assert found.now
    assert found.word
    assert found.lag_seconds is not None
    assert found.lag_seconds >= 0


@given(st.sampled_from(LEVELS), st.sampled_from(["none", "wait", "reconnect", "resume", "retry"]))
def test_every_health_has_a_tone(level: Any, action: Any) -> None:
    found = words.standing("active", NOW, health(level=level, action=action), "HubSpot")
    assert found.badge == level


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"first_name": "Ada", "last_name": "Byron", "email": "a@x.example"}, ("Ada Byron", "a@x.example")),
        ({"first_name": None, "email": "a@x.example"}, ("a@x.example", "")),
        ({"name": "Acme", "domain": "acme.example"}, ("Acme", "acme.example")),
        ({"subject": "Broken", "status": "open"}, ("Broken", "open")),
        ({"amount": 5, "colour": "red"}, ("red", "")),
        ({"amount": 5}, ("", "")),
        ({"name": "  "}, ("", "")),
    ],
)
def test_headlines(data: dict[str, Any], expected: tuple[str, str]) -> None:
    assert changed.headline(data) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
DATA = st.dictionaries(st.sampled_from("abcdef"), JSON, max_size=6)


@given(DATA, DATA)
def test_differences_are_exactly_what_differs(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = {row.field: row for row in changed.differences(before, after)}
    for name in {*before, *after}:
        assert (name in found) == (before.get(name) != after.get(name))
    for name, row in found.items():
        assert (row.before is None) == (before.get(name) is None)
        assert (row.after is None) == (after.get(name) is None)
        assert row.change == (
            "added" if row.before is None else "removed" if row.after is None else "changed"
        )
    assert changed.differences(after, after) == []


def change(position: int, operation: Any, data: dict[str, Any]) -> ChangeView:
    return ChangeView(
        position=position, operation=operation, entity_id=ID, model="contact", revision=position, changed_at=NOW,
        data=data, connection_id=ID, stream="contacts", external_id="51", recipe_id=ID, recipe_version=1, run_id=ID,
    )  # fmt: skip


def test_each_change_is_held_against_the_one_before() -> None:
    history = [
        change(4, "deleted", {"a": 2}),
        change(3, "updated", {"a": 2, "b": 1}),
        change(2, "updated", {"a": 1, "b": 1}),
        change(1, "created", {"a": 1}),
    ]
    steps = changed.change_steps(history, 3)
    assert [step.title for step in steps] == ["Deleted", "Changed", "Changed"]
    assert [[row.field for row in step.differences] for step in steps] == [[], ["a"], ["b"]]
    (created,) = changed.change_steps(history[3:], 3)
    assert [row.change for row in created.differences] == ["added"]


def test_deeds_read_as_sentences_and_never_fail() -> None:
    def entry(action: str, kind: str = "member", **values: Any) -> Entry:
        base = Entry(
            1, NOW, kind, action, "connection", str(ID), {}, None, None, actor_id="1", actor="Ada Byron"
        )
        return msgspec.structs.replace(base, **values)

    assert deeds.deed(entry("connection.paused"), "HubSpot", "/x").title == "Ada Byron paused “HubSpot”"
    assert deeds.deed(entry("connection.paused", "staff"), "HubSpot", "").title.startswith(
        "Support (Ada Byron)"
    )
    assert "a connection" in deeds.deed(entry("connection.paused"), "", "").title
    assert "{target}" not in deeds.deed(entry("thing.never_seen"), "{target} {0}", "").title.replace(
        "“{target} {0}”", ""
    )
    renamed = deeds.deed(
        entry("connection.renamed", before={"name": "A"}, after={"name": "B"}, reason="tidy"), "B", ""
    )
    assert renamed.text == "Name: A → B. Reason: tidy"
