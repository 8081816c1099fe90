"""What is said of a seed that is red: the seed, the plan that shows it, and what led to it."""

from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest
from chaos_kit.finding import Finding
from chaos_kit.plan import Fault, Options, plan
from chaos_kit.recorder import Event
from chaos_kit.rig import Outcome
from chaos_kit.servers import Disk

from . import command

ONE, OTHER = "0197-one", "0197-other"


def outcome(faults: list[Fault], *, red: bool = True) -> Outcome:
    """Contact 7 of the first tenant is lost; something else happens beside it."""
    finding = Finding(verdict="lost", tenant="t00", what="contacts 7 is not held", subject="7")
    events = [
        Event(at=100.0, what="tenant", tenant=ONE, detail={"slug": "t00"}),
        Event(at=100.0, what="tenant", tenant=OTHER, detail={"slug": "t01"}),
        *(
            Event(at=110.0 + one.at, what="fault", detail={"kind": one.kind, "place": one.place})
            for one in faults
        ),
        Event(at=111.0, what="edited", tenant=ONE, detail={"id": "6", "change": "updated"}),
        Event(at=112.0, what="edited", tenant=ONE, detail={"id": "7", "change": "created"}),
        Event(at=112.5, what="told", tenant=ONE, detail={"event": "41"}),
        Event(at=113.0, what="page", tenant=OTHER, detail={"run": "elsewhere"}),
        Event(at=400.0, what="passed", tenant=ONE, detail={"run": "much later"}),
    ]
    return Outcome(
        seed=41,
        faults=faults,
        findings=[finding] if red else [],
        events=sorted(events, key=lambda event: event.at),
        figures={"lost": float(red), "doubled": 0, "crossed": 0},
        unclassified=[],
    )


def test_a_red_seed_is_told_with_its_shortest_history(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The crash alone shows it; whatever else was planned is left out."""
    tried: list[int] = []

    def storm(_seed: int, faults: list[Fault], *_: object) -> Outcome:
        tried.append(len(faults))
        return outcome(faults, red=any(one.kind == "crash postgres" for one in faults))

    planned = plan(41, 16, Options(), disk=False)
    crash = Fault(at=planned[9].at, kind="crash postgres", place="postgres", seconds=0)
    planned = [*[one for one in planned if one.kind != "crash postgres"][:15], crash]
    monkeypatch.setattr(command, "plan", lambda *_, **__: planned)
    monkeypatch.setattr(command, "_storm", storm)
    monkeypatch.setattr(command, "_disk", lambda _: nullcontext(Disk(tmp_path)))
    said: list[str] = []
    history = tmp_path / "history.jsonl"
    report = command.run(41, 16, said.append, pace=1.0, lease=3, shrink=20, history=history)
    assert report.red
    assert tried[0] == 16
    told = "\n".join(said)
    assert "LOST t00: contacts 7 is not held" in told
    assert "Seed 41 is red. The shortest plan that shows it has 1 faults:" in told
    assert told.count("crash postgres (postgres)") == 1
    led = told[told.index("What led to the first finding:") :]
    assert "change created" in led
    assert "event 41" in led
    for beside in ("id 6", "elsewhere", "much later"):
        assert beside not in led
    lines = [msgspec.json.decode(line, type=Event) for line in history.read_bytes().splitlines()]
    assert [one.detail["kind"] for one in lines if one.what == "fault"] == ["crash postgres"]


def test_a_plan_follows_from_its_seed_and_holds_every_kind() -> None:
    assert plan(5, 300, Options(), disk=True) == plan(5, 300, Options(), disk=True)
    assert plan(5, 300, Options(), disk=True) != plan(6, 300, Options(), disk=True)
    kinds = {one.kind for one in plan(5, 2000, Options(), disk=True)}
    assert {"web dies after the insert", "worker dies in a batch", "receiver fails", "disk full"} <= kinds
