"""`trunkline connector grade`: bronze, silver, gold, platinum, and what is missing.

A rule is done by machine evidence (a check, a rule of the conformance suite, a member of the manifest, a
file), or by a line of `[quality.done]` where no machine can see it; exempt by the suite or by a reason in
`[quality.exempt]`; todo otherwise. A grade is held when each rule of it and below is done or exempt.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

import msgspec

from trunkline.kit.checking import Finding, check
from trunkline.kit.package import NoSimulatorError, Package
from trunkline.kit.suite import Result, many, run
from trunkline.sdk.quality import Graded, Judged, Standing

LOOKED_DAYS: Final = 365
"""How long it counts that no end was found announced; then somebody must look again."""
GRADES: Final = ("bronze", "silver", "gold", "platinum")


class Evidence(msgspec.Struct, frozen=True):
    package: Package
    findings: Sequence[Finding]
    results: Mapping[str, Result]
    trouble: str = ""
    """Why the suite could not run."""
    today: date = date.min


Look = Callable[[Evidence], str | None]
"""The evidence; None: there is none."""


class GradeRule(msgspec.Struct, frozen=True):
    name: str
    grade: str
    title: str
    look: Look | None = None
    """None: the suite's rule of that name."""
    hint: str = ""


def _declared(_: Evidence) -> str | None:
    return None


def _recipes(evidence: Evidence) -> str | None:
    recipes = evidence.package.manifest.recipes
    return f"{len(recipes)} suggested" if recipes else None


def _api(evidence: Evidence) -> str | None:
    api = evidence.package.manifest.api
    return f"{api.version}, from {api.source}" if api is not None and api.source else None


def _api_lasts(evidence: Evidence) -> str | None:
    api = evidence.package.manifest.api
    if api is not None and api.no_end_announced is not None:
        looked = api.no_end_announced
        fresh = 0 <= (evidence.today - looked).days <= LOOKED_DAYS
        return f"{api.version}: no end announced, by {api.source}, {looked}" if fresh else None
    if api is None or api.ends is None or (api.ends - evidence.today).days < 180:
        return None
    return f"{api.version} until {api.ends}"


def _webhooks(evidence: Evidence) -> str | None:
    manifest = evidence.package.manifest
    hooks = manifest.webhooks
    if hooks is not None and hooks.entered and hooks.by_hand is None:
        return None
    if hooks is not None:
        return "delivered, and proven by their signatures"
    fed = [spec.name for spec in manifest.streams if spec.incremental and spec.incremental.events]
    return f"read from the provider's feed of events: {', '.join(fed)}" if fed else None


def _correlation(evidence: Evidence) -> str | None:
    return evidence.package.manifest.correlation


def _explained(evidence: Evidence) -> str | None:
    ways = evidence.package.manifest.ways
    return "every permission has words" if all(way.words for way in ways) else None


def _failures(evidence: Evidence) -> str | None:
    count = len(evidence.package.manifest.failures)
    return many(count, "sign") if count else None


def _actions(evidence: Evidence) -> str | None:
    """An exempt rule of the suite shows nothing here: a connector without actions does not act."""
    found = evidence.results.get("actions")
    return found.detail if found is not None and found.state == "passed" else None


def _checked(evidence: Evidence) -> str | None:
    return None if evidence.findings else "no finding"


def _fixtures(evidence: Evidence) -> str | None:
    found = sorted(evidence.package.fixtures.glob("*.json"))
    return many(len(found), "file") if found else None


RULES: Final = (
    GradeRule("manifest", "bronze", "The manifest has no finding", _checked),
    GradeRule("authorise", "bronze", "Access is given"),
    GradeRule("identify", "bronze", "Accounts are told apart"),
    GradeRule("read", "bronze", "Each stream gives what it promises"),
    GradeRule("page_to_the_end", "bronze", "Lists are read whole"),
    GradeRule("rate_limit", "bronze", "Limits are obeyed"),
    GradeRule("status_classes", "bronze", "Every status has a meaning"),
    GradeRule("revoked_grant", "bronze", "A lost grant is noticed"),
    GradeRule("resume", "silver", "What broke off goes on"),
    GradeRule("incremental", "silver", "Changes come by themselves"),
    GradeRule("deletions", "silver", "Deletions come"),
    GradeRule("empty_account", "silver", "An empty account is no trouble"),
    GradeRule("malformed_answers", "silver", "Broken answers lose nothing"),
    GradeRule("expired_token", "silver", "Tokens are renewed"),
    GradeRule("recipes", "silver", "Recipes are suggested", _recipes, "Suggest one for a stream."),
    GradeRule("mapping", "silver", "Suggested recipes map what is read"),
    GradeRule(
        "explained",
        "silver",
        "Every permission is explained",
        _explained,
        "Say in `scope_words` what each permission lets us do.",
    ),
    GradeRule("discover", "gold", "Own fields are found"),
    GradeRule("api_version", "gold", "The API's version is known", _api, "Fill in [api] with its source."),
    GradeRule(
        "failures",
        "gold",
        "The provider's own errors are understood",
        _failures,
        "Declare [[failures]]: the signs in its error answers.",
    ),
    GradeRule(
        "correlation",
        "gold",
        "The provider can find a failed request",
        _correlation,
        "Give `correlation`, the pointer to a request's id in an error answer.",
    ),
    GradeRule("signatures", "gold", "Deliveries are proven"),
    GradeRule("events", "gold", "What is told is as promised"),
    GradeRule("registration", "gold", "Addresses are registered and removed"),
    GradeRule(
        "webhooks",
        "gold",
        "Events are taken in",
        _webhooks,
        "Declare [webhooks], with [webhooks.by_hand] where a person enters the address; or say why not.",
    ),
    GradeRule(
        "fixtures",
        "gold",
        "Real answers are read without loss",
        _fixtures,
        "Capture fixtures, or name the test.",
    ),
    GradeRule(
        "api_lasts",
        "platinum",
        "The API's version lasts for half a year",
        _api_lasts,
        "Give [api] `ends`; or `no_end_announced`, the day on which you last read `source` for one.",
    ),
    GradeRule(
        "judged",
        "platinum",
        "The provider's own client is satisfied by the simulator",
        _declared,
        "Name the test under [quality.done].",
    ),
    GradeRule(
        "live",
        "platinum",
        "It was proven on a real account",
        _declared,
        "Say under [quality.done] when, and on what account.",
    ),
    GradeRule("actions", "platinum", "It acts, without doing anything twice", _actions, "Declare an action."),
)


async def grade(package: Package, today: date | None = None) -> Graded:
    """Runs the check and the whole suite."""
    evidence = await gather(package, today)
    rules = [_judged(one, evidence) for one in RULES]
    return graded(package, rules)


async def gather(package: Package, today: date | None = None) -> Evidence:
    trouble, results = "", []
    try:
        results = await run(package.manifest, package.simulator(), folder=package.folder)
    except NoSimulatorError as error:
        trouble = str(error)
    today = today or datetime.now(UTC).date()
    findings = check(package.folder, today, package.hooks)
    return Evidence(package, findings, {one.rule: one for one in results}, trouble, today)


def graded(package: Package, rules: Sequence[Judged]) -> Graded:
    missing = [one for one in rules if one.standing == "todo"]
    lowest = min((GRADES.index(one.grade) for one in missing), default=len(GRADES))
    held = GRADES[lowest - 1] if lowest else "none"
    return Graded(
        connector=package.manifest.name,
        version=package.manifest.version,
        grade=held,
        missing=[one.rule for one in sorted(missing, key=lambda one: GRADES.index(one.grade))],
        rules=list(rules),
    )


def _judged(rule: GradeRule, evidence: Evidence) -> Judged:
    standing, detail = _stands(rule, evidence)
    return Judged(rule=rule.name, grade=rule.grade, title=rule.title, standing=standing, detail=detail)


def _stands(rule: GradeRule, evidence: Evidence) -> tuple[Standing, str]:
    quality = evidence.package.manifest.quality
    if rule.look is None:
        found = evidence.results.get(rule.name)
        if found is None:
            return "todo", evidence.trouble or "the suite did not run"
        if found.state == "failed":  # no word in a manifest outweighs it
            return "todo", found.detail
        return ("exempt" if found.state == "exempt" else "done"), found.detail
    shown = rule.look(evidence)
    if shown is not None:
        return "done", shown
    if rule.name in quality.exempt:
        return "exempt", quality.exempt[rule.name]
    if rule.name in quality.done:
        return "done", quality.done[rule.name]
    if rule.name == "manifest" and evidence.findings:
        return "todo", str(evidence.findings[0])
    return "todo", quality.todo.get(rule.name, rule.hint or "nothing shows it")
