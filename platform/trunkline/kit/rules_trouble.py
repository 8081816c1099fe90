"""Rules of trouble: limits, failures, answers that are none, grants that end."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from trunkline.connections.errors import ReconnectRequiredError
from trunkline.kit.copying import Copy
from trunkline.kit.suite import Bench, ExemptError, FailedError, compare, must, rule, truth_of
from trunkline.resilience.failures import Failure, classify
from trunkline.runs.errors import ProviderError
from trunkline.sdk.manifest import ApiKey, Basic, ClientCredentials, StreamSpec
from trunkline.sdk.simulator_faults import PAGE_FAULTS, FaultKind

STATUSES: Final = (400, 401, 402, 403, 404, 405, 408, 409, 410, 422, 423, 429, 500, 502, 503, 504)
BROKEN: Final[tuple[FaultKind, ...]] = ("truncated", "error_body", "500")
_ENDS: Final = {"reconnect", "refresh"}


@rule("rate_limit", "A limit is declared, and a 429 is waited out")
async def rate_limit(bench: Bench) -> str:
    must(bench.manifest.rates, "the manifest declares no rate.")
    known = {rate.bucket for rate in bench.manifest.rates}
    used = {read.bucket for spec in bench.manifest.streams for read in (*spec.lists, *spec.incrementals)}
    must(used <= known or "*" in known, f"no rate is declared for {', '.join(sorted(used - known))}.")
    harness, _, connected = await bench.connected()
    spec = bench.manifest.streams[0]
    before = harness.clock.slept
    harness.simulator.faults.add("429", requests=1)
    copy = Copy(harness, connected, spec)
    try:
        await copy.run()
    except ProviderError as error:
        must(error.failure.action == "wait", f"a limit that is reached counts as {error.failure.code}.")
        must(error.retry_at is not None, "it is not said until when to wait.")
        must(connected.watch.penalties, "it closed no budget.")
        return f"put off as {error.failure.code}"
    must(connected.watch.penalties, "a 429 closed no budget.")
    must(harness.clock.slept > before, "after a 429 nothing was waited for.")
    return f"waited {harness.clock.slept - before:.1f} s after a 429"


@rule("status_classes", "Every status has a meaning, and the simulator's own errors have the right one")
async def status_classes(bench: Bench) -> str:
    manifest = bench.manifest
    unknown = [code for code in STATUSES if classify(manifest, code, b"").code == "unclassified"]
    must(not unknown, f"unclassified: {unknown}.")
    harness = bench.harness()
    limited = harness.simulator.fault_reply("429")
    found = _classified(bench, limited.status, limited.body, limited.headers)
    must(found.action == "wait", f"a limit that is reached ({limited.status}) counts as {found.code}.")
    broken = harness.simulator.fault_reply("500")
    found = _classified(bench, broken.status, broken.body, broken.headers)
    must(found.owner == "provider", f"a failing server ({broken.status}) counts as {found.code}.")
    refused = _classified(bench, 401, None, {})
    must(refused.action in _ENDS, f"401 counts as {refused.code}.")
    return f"{len(STATUSES)} statuses"


@rule("malformed_answers", "An answer that is none loses nothing, ends, and is never taken for data")
async def malformed_answers(bench: Bench) -> str:
    spec = _paged(bench)
    kinds: tuple[FaultKind, ...] = (*BROKEN, *sorted(PAGE_FAULTS))  # type: ignore[arg-type]
    refused = []
    for kind in kinds:
        harness, account, connected = await bench.connected()
        copy = Copy(harness, connected, spec)
        await copy.run()
        held = frozenset(copy.records)
        harness.clock.pass_(600)
        harness.simulator.faults.add(kind, requests=1, path=_under(bench, spec))
        try:
            await copy.run(full=True)
        except ProviderError as error:
            must(error.failure.code != "unclassified", f"{kind}: the failure is unclassified.")
            must(frozenset(copy.records) == held, f"{kind}: a failed pass changed what is held.")
            refused.append(kind)
        harness.simulator.faults.clear()
        harness.clock.pass_(600)
        await copy.run(full=True)
        compare(spec, copy, truth_of(harness, account, spec), f"after {kind} and a sound pass")
    must({"truncated", "error_body", "500"} <= set(refused), f"only {refused} were refused.")
    return f"{len(kinds)} kinds on {spec.name}; refused at once: {', '.join(refused)}"


@rule("expired_token", "An access token that has ended is renewed, once and by itself")
async def expired_token(bench: Bench) -> str:
    harness, account, connected = await bench.connected()
    grant = connected.grant
    if isinstance(grant.way, ApiKey | Basic):
        raise ExemptError("a key has no end")
    if grant.tokens.refresh_token is None:
        raise ExemptError("the provider's tokens have no end, and there is none to renew them with")
    ended = sum(harness.simulator.oauth.expire_access(one) for one in harness.grants(account.id))
    if not ended:
        raise ExemptError("the provider's access tokens have no end")
    await Copy(harness, connected, bench.manifest.streams[0]).run()
    must(grant.refreshes == 1, f"it was renewed {grant.refreshes} times.")
    return "renewed once"


@rule("revoked_grant", "A grant that the customer took back asks for a reconnect, and for nothing else")
async def revoked_grant(bench: Bench) -> str:
    harness, account, connected = await bench.connected()
    if isinstance(connected.grant.way, ClientCredentials) and not harness.grants(account.id):
        raise ExemptError("the simulator keeps no grant of such clients")
    for one in harness.grants(account.id):
        harness.simulator.oauth.revoke_grant(one)
    try:
        await Copy(harness, connected, bench.manifest.streams[0]).run()
    except ProviderError as error:
        must(error.failure.action in _ENDS, f"it counts as {error.failure.code} ({error.failure.action}).")
        return f"found out as {error.failure.code}"
    except ReconnectRequiredError as error:
        return f"found out as {error.cause}"
    raise FailedError("after it was revoked everything went on.")


def _classified(bench: Bench, status: int, body: Any, headers: Mapping[str, str]) -> Failure:
    text = body.encode() if isinstance(body, str) else b"" if body is None else msgspec.json.encode(body)
    lower = {name.lower(): value for name, value in headers.items()}
    return classify(bench.manifest, status, text, headers=lower)


def _under(bench: Bench, spec: StreamSpec) -> str:
    """Path that the stream's list is asked for, for the fault to strike there only."""
    api = bench.manifest.api
    path = spec.list.path.replace("{api_version}", api.version if api else "").partition("{")[0]
    return path if len(path) > 1 else ""


def _paged(bench: Bench) -> StreamSpec:
    """The first stream: what is true of how one is read is true of the others."""
    return bench.manifest.streams[0]
