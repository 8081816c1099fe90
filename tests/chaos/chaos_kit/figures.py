"""What a run of the rig came to, worked out from its history."""

from collections.abc import Mapping, Sequence

from chaos_kit.crew import Member
from chaos_kit.customers import Customers
from chaos_kit.finding import Finding
from chaos_kit.recorder import Event

UNCLASSIFIED = ("unclassified", "internal_error")
"""Causes that name nothing: an answer no rule knows, and an error of our own."""
OUTAGES = {"valkey": "valkey_recovery", "postgres": "postgres_recovery"}


def failures(events: Sequence[Event]) -> tuple[int, list[str]]:
    """How many failures there were, and those that nothing classifies, in words."""
    failed = [event for event in events if event.what == "failed"]
    odd = [
        f"{event.detail['cause']} {event.detail.get('detail') or event.detail.get('kind')}"
        for event in failed
        if event.detail["cause"] in UNCLASSIFIED
    ]
    return len(failed), odd


def resumes(events: Sequence[Event]) -> tuple[list[float], list[float]]:
    """For each piece of work in the hand of a worker that was killed: seconds until another one had it.

    Apart: those that were handed out to a worker which was struck in its turn before it had begun.
    """
    claims: dict[str, list[tuple[float, int]]] = {}
    for event in events:
        if event.what == "claimed":
            claims.setdefault(event.detail["work"], []).append((event.at, event.detail["attempt"]))
    once, again = [], []
    for event in events:
        if event.what == "fault over" and event.detail["kind"] == "kill":
            killed = event.detail["killed"]
            for work, attempt in event.detail["held"]:
                later = [one for one in claims.get(work, []) if one[1] > attempt and one[0] > killed]
                if later:  # else it had just ended, or its connection was to be connected anew
                    at, number = min(later)
                    (once if number == attempt + 1 else again).append(at - killed)
    return once, again


def recoveries(events: Sequence[Event], workers: Sequence[Member]) -> dict[str, list[float]]:
    """Seconds from the end of an outage until every worker that lived through it had taken up work again."""
    claims: dict[int, list[float]] = {}
    stops: dict[str, list[tuple[float, float]]] = {}
    begun: dict[str, float] = {}
    for event in events:
        if event.what == "claimed":
            claims.setdefault(int(event.detail["holder"].split(":")[-2]), []).append(event.at)
        elif event.what == "fault" and event.detail["place"].startswith("worker"):
            begun[event.detail["place"]] = event.at
        elif event.what == "fault over" and event.detail["place"] in begun:
            stops.setdefault(event.detail["place"], []).append((begun.pop(event.detail["place"]), event.at))
    waits: dict[str, list[float]] = {name: [] for name in OUTAGES.values()}
    for event in events:
        place = event.detail.get("place")
        if event.what != "fault over" or place not in OUTAGES:
            continue
        for worker in workers:
            pid = worker.last_of(event.at)
            first = min((at for at in claims.get(pid or 0, []) if at > event.at), default=None)
            struck = any(
                since < (first or event.at) and until > event.at
                for since, until in stops.get(worker.name, [])
            )
            if first is not None and not struck:
                waits[OUTAGES[str(place)]].append(first - event.at)
    return waits


def figures(
    events: Sequence[Event], findings: Sequence[Finding], workers: Sequence[Member], faults: int
) -> dict[str, float]:
    number, odd = failures(events)
    made: dict[str, float] = {"faults": faults}
    for verdict in ("lost", "doubled", "crossed"):
        made[verdict] = sum(finding.verdict == verdict for finding in findings)
    made |= {
        "failures": number,
        "unclassified": len(odd),
        "unclassified_share": len(odd) / number if number else 0.0,
        "claims": sum(event.what == "claimed" for event in events),
        "pages": sum(event.what == "page" for event in events),
        "changes": sum(event.detail["changes"] for event in events if event.what == "page"),
    }
    once, again = resumes(events)
    waits: Mapping[str, list[float]] = {
        "kill_resume": once,
        "kill_resume_struck_again": again,
        **recoveries(events, workers),
        "sigterm_end": [
            event.detail["ended"]
            for event in events
            if event.what == "fault over" and event.detail["kind"] == "deploy"
        ],
    }
    for name, seconds in waits.items():
        made[f"{name}_count"] = len(seconds)
        for share, word in ((0.5, "p50"), (0.99, "p99"), (1.0, "max")):
            made[f"{name}_{word}_s"] = _percentile(seconds, share)
    return made


async def webhooks(customers: Customers) -> dict[str, float]:
    """How many events went in, how many were forged, and how many requests came out."""
    told = await customers.control("told")
    return {
        "events": len(told["events"]),
        "acknowledged": sum(taken for *_, taken in told["events"]),
        "requests_taken": told["answers"].get("200", 0),
        "requests_refused": told["answers"].get("503", 0),
        "forged": sum(told["forged"].values()),
        "requests_out": len(await customers.control("received")),
    }


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0
