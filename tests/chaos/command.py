"""`trunkline chaos`: faults from a seed, a checker at the end, and when it is red the shortest history that shows it."""

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from chaos_kit.plan import Fault, Options, plan
from chaos_kit.recorder import Event, write
from chaos_kit.rig import Outcome, storm
from chaos_kit.servers import Disk

Say = Callable[[str], None]
SHOWN = 20
"""Findings that are printed; all are counted."""
AROUND, TRACED = (15.0, 30.0), 40
"""Seconds before and after, and at most so many events, of what led to a finding."""
BEFORE = 60.0
"""Seconds before a finding's time in which its cause is looked for first."""


class Report(msgspec.Struct, kw_only=True):
    figures: dict[str, float]
    red: bool


def run(
    seed: int, faults: int, say: Say, *, pace: float, lease: int, shrink: int, history: Path | None
) -> Report:
    """`shrink`: how often a red plan is tried again with less of it. `history`: where the lines of JSON go."""
    options = Options(pace=pace, lease=lease)
    began = time.monotonic()
    with _disk(say) as disk, _ctrl_c():
        planned = plan(seed, faults, options, disk=not disk.why_not)
        outcome = _storm(seed, planned, options, disk, say)
        _tell(outcome, say)
        made = {**outcome.figures, "wall_s": round(time.monotonic() - began, 1)}
        kept = history
        if outcome.findings:
            if shrink:
                outcome = _shortest(outcome, options, disk, shrink, say)
            kept = kept or Path(tempfile.gettempdir()) / f"trunkline-chaos-{seed}.jsonl"
            _tell_shortest(outcome, kept, say)
        if kept is not None:
            write(kept, outcome.events)
    return Report(figures=made, red=bool(made["lost"] or made["doubled"] or made["crossed"]))


def _storm(seed: int, faults: Sequence[Fault], options: Options, disk: Disk, say: Say) -> Outcome:
    for left in disk.folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return asyncio.run(storm(seed, faults, options, disk=disk, say=say))


@contextmanager
def _disk(say: Say) -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="trunkline-disk-") as place:
        disk = Disk(Path(place) / "disk")
        disk.mount()
        if disk.why_not:
            say(f"No disk is filled: {disk.why_not}.")
        try:
            yield disk
        finally:
            disk.unmount()


@contextmanager
def _ctrl_c() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: whatever was started is stopped first."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(outcome: Outcome, say: Say) -> None:
    kinds = Counter(fault.kind for fault in outcome.faults)
    say(", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())))
    causes = Counter(event.detail["cause"] for event in outcome.events if event.what == "failed")
    say("Failures: " + (", ".join(f"{number} {cause}" for cause, number in causes.most_common()) or "none"))
    for what, number in Counter(outcome.unclassified).most_common():
        say(f"Unclassified: {number} {what}")
    for finding in outcome.findings[:SHOWN]:
        say(f"{finding.verdict.upper()} {finding.tenant}: {finding.what}")
    if len(outcome.findings) > SHOWN:
        say(f"and {len(outcome.findings) - SHOWN} more")


def _tell_shortest(outcome: Outcome, path: Path, say: Say) -> None:
    say(f"Seed {outcome.seed} is red. The shortest plan that shows it has {len(outcome.faults)} faults:")
    for fault in outcome.faults[:SHOWN]:
        say(f"  {fault.at:8.2f} s  {fault.kind} ({fault.place}) for {fault.seconds:g} s {fault.detail or ''}")
    if len(outcome.faults) > SHOWN:
        say(f"  and {len(outcome.faults) - SHOWN} more")
    say("What led to the first finding:")
    for event in _trace(outcome):
        say(f"  {event.at - outcome.events[0].at:8.2f} s  {event.what:<10} {_words(event)}")
    say(f"Its whole history, a line for each event: {path}")


def _trace(outcome: Outcome) -> list[Event]:
    """The events of that tenant, and all faults, around the last edit of the record or the entry in the log."""
    finding = next((one for one in outcome.findings if one.subject), outcome.findings[0])
    slugs = {event.tenant: event.detail["slug"] for event in outcome.events if event.what == "tenant"}
    mine = [event for event in outcome.events if slugs.get(event.tenant) == finding.tenant]
    edits = [event.at for event in mine if event.what == "edited" and event.detail["id"] == finding.subject]
    centre = finding.at or (edits[-1] if edits else outcome.events[-1].at)
    chosen = [
        event
        for event in outcome.events
        if centre - AROUND[0] <= event.at <= centre + AROUND[1]
        and (event.what.startswith("fault") or event in mine)
        and (event.what != "edited" or event.detail["id"] == finding.subject)
    ]
    return chosen[-TRACED:]


def _words(event: Event) -> str:
    return ", ".join(
        f"{name} {value}" for name, value in event.detail.items() if name not in {"work", "holder"}
    )


def _shortest(outcome: Outcome, options: Options, disk: Disk, times: int, say: Say) -> Outcome:
    """Tries parts of the plan, as often as `times`, and goes on with one that is red too."""
    while times > 0 and len(outcome.faults) > 1:
        for part in _parts(outcome):
            if times <= 0:
                return outcome
            times -= 1
            say(f"Trying {len(part)} of its faults ...")
            again = _storm(outcome.seed, _from_zero(part), options, disk, say)
            if again.findings:
                outcome = again
                break
        else:
            return outcome
    return outcome


def _parts(outcome: Outcome) -> Iterator[list[Fault]]:
    """What came shortly before the first finding whose time is known; then the halves."""
    faults = outcome.faults
    known = [finding.at for finding in outcome.findings if finding.at is not None]
    struck = [event.at for event in outcome.events if event.what == "fault"]
    if known and struck:
        until = min(known) - struck[0] + faults[0].at
        near = [fault for fault in faults if until - BEFORE <= fault.at <= until]
        if 0 < len(near) < len(faults):
            yield near
    half = len(faults) // 2
    yield faults[:half]
    yield faults[half:]


def _from_zero(faults: Sequence[Fault]) -> list[Fault]:
    first = faults[0].at
    return [msgspec.structs.replace(fault, at=round(fault.at - first, 2)) for fault in faults]
