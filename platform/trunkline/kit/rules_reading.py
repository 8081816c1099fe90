"""Rules of reading: access, identity, fields, lists, changes, deletions."""

from trunkline.kit.copying import Copy
from trunkline.kit.harness import Harness
from trunkline.kit.suite import ONE_PAGE, Bench, ExemptError, FailedError, compare, many, must, rule, truth_of
from trunkline.recipes.document import flatten, laid_out
from trunkline.runs.documents import Item
from trunkline.sdk.manifest import Parent, StreamSpec
from trunkline.sdk.simulator import Account, Simulator


@rule("authorise", "A customer gives access, in every way that is offered")
async def authorise(bench: Bench) -> str:
    done = []
    for way in bench.manifest.ways:
        harness = bench.harness()
        found = await harness.connect(harness.simulator.accounts[0], way)
        must(found.grant.tokens.access_token, f"{way.key or 'the usual way'} brought no token.")
        done.append(way.key or "the usual way")
    return f"connected by {', '.join(done)}"


@rule("identify", "Two accounts are told apart, and one stays itself")
async def identify(bench: Bench) -> str:
    harness = bench.harness()
    seen: dict[str, str] = {}
    for account in harness.simulator.accounts:
        connected = await harness.connect(account)
        found = connected.grant.account
        must(found.id not in seen, f"the accounts {seen.get(found.id)} and {account.name} have one id.")
        seen[found.id] = account.name
        target = connected.target
        again = await connected.provider.account(target.tenant_id, target.connection_id)
        must(again.id == found.id, f"{account.name} is {found.id} at first and {again.id} later.")
        must(found.label, f"{account.name} has no label for people.")
    return f"{many(len(seen), 'account')}: {', '.join(list(seen)[:3])}"


@rule("discover", "An account's own fields are listed")
async def discover(bench: Bench) -> str:
    _, _, connected = await bench.connected()
    found = 0
    streams = [spec for spec in bench.manifest.streams if spec.discovery is not None]
    if not streams:
        raise ExemptError("the provider lists no fields: no stream has a discovery")
    for spec in streams:
        target = connected.target
        fields = await connected.provider.discover(target.tenant_id, target.connection_id, spec.name)
        must(fields, f"{spec.name}: no field was found.")
        found += len(fields)
    return f"{many(found, 'field')} of {many(len(streams), 'stream')}"


@rule("read", "Each stream gives records, with the fields that it promises")
async def read(bench: Bench) -> str:
    harness, account, connected = await bench.connected()
    missing = []
    for spec in bench.manifest.streams:
        copy = Copy(harness, connected, spec)
        await copy.run()
        truth = truth_of(harness, account, spec)
        if truth is None or truth:
            must(copy.records, f"{spec.name}: no record came.")
        # as recipes see them
        given = [flatten(laid_out(document, spec.values)) for document in copy.documents().values()]
        names = {name for values in given for name in values}
        missing += [f"{spec.name}.{name}" for name in spec.field_names if given and name not in names]
    must(not missing, f"no record has {', '.join(missing[:8])}.")
    return many(len(bench.manifest.streams), "stream")


@rule("page_to_the_end", "Every record is listed once, from the first page to the last")
async def page_to_the_end(bench: Bench) -> str:
    async for harness, account, connected in bench.accounts():
        said = []
        several = False
        for spec in bench.manifest.streams:
            copy = Copy(harness, connected, spec)
            await copy.run()
            compare(spec, copy, truth_of(harness, account, spec), "after the first pass")
            several = several or copy.pages > 1
            said.append(f"{spec.name} {len(copy.records)} in {many(copy.pages, 'page')}")
        if several:
            return "; ".join(said)
    raise FailedError(ONE_PAGE)


@rule("resume", "A pass that was broken off goes on where it stood")
async def resume(bench: Bench) -> str:
    async for harness, account, connected in bench.accounts():
        resumed = []
        for spec in bench.manifest.streams:
            copy = Copy(harness, connected, spec)
            if await copy.run(stop_after=1) is not None:
                continue
            assert copy.last is not None
            # a process of its own takes it up
            copy.use(harness.with_grant(connected.grant))
            await copy.go_on(copy.last)
            compare(spec, copy, truth_of(harness, account, spec), "after a pass in two parts")
            resumed.append(spec.name)
        if resumed:
            return ", ".join(resumed)
    raise FailedError(ONE_PAGE)


@rule("incremental", "What is new or changed comes, and comes without reading everything again")
async def incremental(bench: Bench) -> str:
    harness, account, connected = await bench.connected()
    streams = [
        spec for spec in bench.manifest.streams if spec.incremental is not None or spec.parent is not None
    ]
    if not streams:
        raise ExemptError("no stream can be asked for what changed")
    said = []
    for spec in streams:
        if not truth_of(harness, account, spec):
            continue
        copy = Copy(harness, connected, spec)
        await copy.run()
        harness.clock.pass_(600)
        before = copy.documents()
        changed = _touch(harness.simulator, account, spec, copy)
        if spec.parent is not None:
            _touch_parent(harness.simulator, account, spec.parent, copy.records[changed])
        harness.clock.pass_(600)
        done = await copy.run()
        must(
            done is not None and done.mode == "incremental",
            f"{spec.name}: the second pass was no incremental one.",
        )
        after = copy.documents()
        must(changed in after, f"{spec.name}: the changed record {changed} is gone.")
        must(after[changed] != before[changed], f"{spec.name}: the change of {changed} did not come.")
        compare(spec, copy, truth_of(harness, account, spec), "after an incremental pass")
        said.append(f"{spec.name} {copy.entries} of {len(after)}")
    must(said, "no stream had a record to change.")
    return "entries read for one change: " + ", ".join(said)


@rule("deletions", "What the provider deleted goes, told or not")
async def deletions(bench: Bench) -> str:
    harness, account, connected = await bench.connected()
    said = []
    for spec in bench.manifest.streams:
        truth = truth_of(harness, account, spec)
        if not truth or len(truth) < 2 or spec.name in harness.simulator.kept_types:
            continue
        copy = Copy(harness, connected, spec)
        await copy.run()
        harness.clock.pass_(600)
        first, second = sorted(truth)[:2]
        store, kind = harness.simulator.store, spec.name
        if spec.parent is not None:
            _touch_parent(harness.simulator, account, spec.parent, copy.records[first])
        store.archive(account.id, kind, harness.simulator.own_id(kind, first))
        harness.clock.pass_(600)
        tells = bool(spec.deletions or spec.deleted or spec.parent) or (
            spec.incremental is not None
            and spec.incremental.events is not None
            and bool(spec.incremental.events.deleted)
        )
        if tells:
            await copy.run()
            must(first not in copy.records, f"{spec.name}: {first} was deleted and is still held.")
        harness.clock.pass_(600)
        store.purge(account.id, kind, harness.simulator.own_id(kind, second))
        harness.clock.pass_(600)
        await copy.run(full=True)
        compare(spec, copy, truth_of(harness, account, spec), "after a complete pass")
        said.append(f"{spec.name} {'told' if tells else 'by its absence'}")
    must(said, "no stream had records to delete.")
    return ", ".join(said)


@rule("empty_account", "An account without a record is read without a complaint")
async def empty_account(bench: Bench) -> str:
    harness = bench.harness()
    account = _emptied(harness)
    connected = await harness.connect(account)
    for spec in bench.manifest.streams:
        truth = truth_of(harness, account, spec)
        if truth:
            continue
        copy = Copy(harness, connected, spec)
        await copy.run()
        must(
            truth is None or not copy.records,
            f"{spec.name}: {many(len(copy.records), 'record')} out of nothing.",
        )
        harness.clock.pass_(600)
        await copy.run()
    return account.name


def _emptied(harness: Harness) -> Account:
    simulator = harness.simulator
    account = min(
        simulator.accounts,
        key=lambda one: sum(simulator.store.count(one.id, kind.name) for kind in simulator.object_types),
    )
    for kind in simulator.object_types:
        for one in list(simulator.store.walk(account.id, kind.name, archived=None)):
            if kind.name not in simulator.kept_types:
                simulator.store.purge(account.id, kind.name, one.id)
    return account


def _touch_parent(simulator: Simulator, account: Account, parent: Parent, item: Item) -> None:
    """Who changes, adds or deletes something in a record changes the record."""
    assert item.parent is not None
    own = simulator.own_id(parent.stream, item.parent)
    held = simulator.store.get(account.id, parent.stream, own)
    simulator.store.update(
        account.id, parent.stream, own, simulator.touch(parent.stream, held, len(simulator.store.ledger))
    )


def _touch(simulator: Simulator, account: Account, spec: StreamSpec, copy: Copy) -> str:
    """The public id of a record that was changed."""
    public = min(copy.records)
    kind, own = spec.name, simulator.own_id(spec.name, public)
    item = simulator.store.get(account.id, kind, own)
    simulator.store.update(account.id, kind, own, simulator.touch(kind, item, 4711))
    return public
