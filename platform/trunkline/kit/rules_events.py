"""Rules of webhooks: what is signed as the manifest says is proven, and no more; what is told is read."""

import base64
from typing import Any, Final

import msgspec

from trunkline.kit.harness import Harness
from trunkline.kit.judging_events import SHOWN, Judge, lower
from trunkline.kit.suite import Bench, ExemptError, FailedError, many, must, rule
from trunkline.sandbox.actions import Actions, ControlError
from trunkline.sdk.captured_events import captured
from trunkline.sdk.contracts import FILE, load_contract
from trunkline.sdk.signatures import Signature, resolve
from trunkline.sdk.simulator_hooks import Teller, Webhook
from trunkline.sdk.simulator_store import LedgerEntry
from trunkline.sdk.webhooks import Webhooks
from trunkline.webhooks.registering import ending_of
from trunkline.webhooks.registrar import Registrar
from trunkline.webhooks.service import as_signed_with
from trunkline.webhooks.signatures import Delivery, Scheme, Verdict

SECRET: Final = "whsec_kit-secret-of-thirty-two-bytes"  # noqa: S105 - signs in this process only
URL: Final = "https://kit.test/hooks/in/kit"
BODY: Final = b'{"id":"evt_1","text":"as it stands"}'
_LIKE: Final = (
    "The simulator that fixtures make tells events like those that were captured: put one that the provider "
    "delivered into fixtures/events."
)
_LATE: Final = 3601
"""Seconds: more than the widest window that a manifest may name."""


@rule("signatures", "A delivery is proven by its signature, and a changed or late one is refused")
async def signatures(bench: Bench) -> str:
    hooks = bench.manifest.webhooks
    if hooks is None:
        raise ExemptError("the manifest declares no webhooks")
    at = bench.harness().clock.now().timestamp()
    for number, given in enumerate(hooks.signatures):
        spec = resolve(given)
        name = given if isinstance(given, str) else f"signature {number + 1}"
        scheme, key, other = Scheme(spec), _key(spec, SECRET), _key(spec, SECRET[::-1])
        headers = scheme.sign(key, method="POST", url=URL, body=BODY, at=at, identity="msg_1")

        def tried(
            body: bytes = BODY,
            when: float = at,
            with_key: bytes = key,
            scheme: Scheme = scheme,
            headers: dict[str, str] = headers,
        ) -> Verdict:
            lower = {title.lower(): value for title, value in headers.items()}
            return scheme.verify([with_key], Delivery("POST", URL, lower, body), when)

        must(tried().ok, f"{name}: what it signs itself is refused: {tried().outcome}.")
        must(not tried(with_key=other).ok, f"{name}: another secret proves a delivery as well.")
        must(not scheme.verify([key], Delivery("POST", URL, {}, BODY), at).ok, f"{name}: unsigned is taken.")
        if spec.kind != "static":
            must(not tried(body=BODY + b" ").ok, f"{name}: a changed body is taken.")
        if spec.timestamp is not None and spec.timestamp.unit != "text":
            must(tried(when=at + _LATE).outcome == "stale", f"{name}: a delivery of an hour ago is taken.")
    return f"{len(hooks.signatures)} proven; changed, late and wrongly signed ones refused"


@rule("registration", "An address is registered, found again and removed, by itself")
async def registration(bench: Bench) -> str:
    hooks = bench.manifest.webhooks
    if hooks is None or hooks.registration is None:
        raise ExemptError("the manifest registers no address")
    harness, account, connected = await bench.connected()
    registrar, target = Registrar(connected.provider.calls), connected.target
    first, second = f"{URL}/first", f"{URL}/second"
    there = [(await registrar.create(target, one, _ours(hooks)))[0] for one in (first, second)]
    for identity, address in zip(there, (first, second), strict=True):
        ending = ending_of(address)
        found = [one for one in await registrar.listed(target, ending) if one.id == identity]
        must(found, f"what was registered as {identity} is not listed, or its address is somewhere else.")
        must(found[0].address == address, f"{address} was registered, and {found[0].address} is listed.")
        must(found[0].works, "what was just registered is listed as one that does not deliver.")
    await registrar.remove(target, there[0])
    must(not await registrar.listed(target, ending_of(first)), "what was removed is still listed.")
    must(await registrar.listed(target, ending_of(second)), "removing one took another away.")
    await registrar.remove(target, there[0])  # as after an answer that was lost
    await registrar.remove(target, there[1])
    left = harness.simulator.webhooks.of(account.id)
    must(not left, f"{many(len(left), 'webhook')} stayed at the provider.")
    return "made, listed and removed"


@rule("events", "What the simulator tells is proven, read, and as webhooks.json says")
async def events(bench: Bench) -> str:
    hooks = bench.manifest.webhooks
    if hooks is None:
        raise ExemptError("the manifest declares no webhooks")
    contract = None if bench.folder is None else load_contract(bench.folder)
    recorded = [] if bench.folder is None else captured(bench.folder / "fixtures")
    judge = Judge(bench.manifest, contract)
    count = await _tell(bench, hooks, judge)
    must(count or judge.wrong, "something changed of each kind, and nothing was told of it.")
    if judge.wrong and not recorded:
        judge.wrong.insert(SHOWN - 1, _LIKE)
    for one in recorded:
        judge.recorded(one)
    if judge.wrong:
        more = len(judge.wrong) - SHOWN
        raise FailedError(" ".join(judge.wrong[:SHOWN]) + (f" And {more} more." if more > 0 else ""))
    untold = [kind.type for kind in hooks.kinds if kind.type not in judge.kinds]
    said = [f"{many(len(judge.read), 'event')} of {many(len(judge.kinds), 'kind')}"]
    said.append(f"as {FILE} says" if contract else f"there is no {FILE} to hold them to")
    if recorded:
        signed = sum(one.signed for one in recorded)
        said.append(f"{len(recorded)} captured" + (f", {signed} with a signature" if signed else ""))
    if untold:
        said.append(f"not met: {', '.join(untold[:3])}{' …' if len(untold) > 3 else ''}")
    return "; ".join(said)


async def _tell(bench: Bench, hooks: Webhooks, judge: Judge) -> int:
    """Creates, changes and archives something of each kind; how many events were told of it."""
    harness, account, connected = await bench.connected()
    simulator = harness.simulator
    teller = simulator.teller(SECRET, lambda: URL)
    must(teller, "the simulator tells of nothing: it needs a `teller`.")
    assert teller is not None
    if hooks.owner == "client":
        secret = SECRET
    elif hooks.registration is not None:
        own = _ours(hooks)
        secret = (
            (await Registrar(connected.provider.calls).create(connected.target, URL, own))[1] or own or ""
        )
    else:
        secret = _made(hooks)
        simulator.webhooks.add(Webhook(id="kit", account=account.id, url=URL, secret=secret))
    heard = teller.hooks(account.id)
    must(heard, "an address was entered, and the simulator tells nobody of a change.")
    deeds, told = Actions(simulator), 0
    for kind in simulator.object_types:
        for deed in (deeds.create, deeds.change, deeds.archive):
            before = len(simulator.store.ledger)
            try:
                deed(account.id, kind.name)
            except ControlError:
                continue  # it has none, or the provider cannot do that
            for entry in simulator.store.ledger[before:]:
                for event in teller.events(entry, heard[0]):
                    told += 1
                    _delivered(judge, harness, teller, heard[0], secret, event, entry)
    return told


def _delivered(
    judge: Judge,
    harness: Harness,
    teller: Teller,
    hook: Webhook,
    secret: str,
    event: dict[str, Any],
    entry: LedgerEntry,
) -> None:
    """Once, and once more as if the answer was lost."""
    at, seen = harness.clock.now().timestamp(), []
    for attempt in (0, 1):
        body = msgspec.json.encode(teller.tried([event], attempt))
        headers = lower(teller.sign(hook, body, at))
        name = f"{entry.change} {entry.object_type}"
        judge.proven(name, Delivery("POST", hook.url, headers, body), secret, at)
        seen.append(judge.events(name, body, headers))
    if [one.identity for one, _ in seen[0]] != [one.identity for one, _ in seen[1]]:
        judge.say(f"{name}: what is sent again is not known again by its id.")
    for one, said in seen[0]:
        if said is None or said.rule.deleted:
            continue
        truth = harness.simulator.truth(entry.account, said.rule.stream)
        gone = entry.change in {"archived", "purged"}
        if truth is not None and not gone and not truth & set(said.ids):
            judge.say(f"{name}: {one.type} names {', '.join(said.ids)}, which {said.rule.stream} have not.")


def _ours(hooks: Webhooks) -> str | None:
    return as_signed_with(hooks, SECRET) if hooks.keyed_by == "us" else None


def _made(hooks: Webhooks) -> str:
    spec = resolve(hooks.signatures[0])
    return spec.key_prefix + _key(spec, SECRET).decode() if spec.key == "base64" else _ours(hooks) or SECRET


def _key(spec: Signature, secret: str) -> bytes:
    plain = secret.encode()
    return plain if spec.key == "text" else base64.b64encode(plain)
