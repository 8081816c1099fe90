"""Reading what changed: across the provider's cap, with shared timestamps, in any order of events."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from trunkline.recipes.results import Failed, Mapped
from trunkline.recipes.service import definition_of
from trunkline.recipes.target import built_in_models
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.hubspot.simulator_seed import Portal

BIG = Portal("48120009", "Big", "big.example", "b@big.example", 7009, {"contacts": 10_800})


def small_pages(manifest: Manifest, listed: int, searched: int, cap: int, overlap: int) -> Manifest:
    replace = msgspec.structs.replace
    streams = tuple(
        replace(
            stream,
            list=replace(stream.list, page_size=listed),
            deletions=tuple(replace(one, page_size=listed) for one in stream.deletions),
            incremental=stream.incremental
            and replace(stream.incremental, page_size=searched, cap=cap, overlap_seconds=overlap),
        )
        for stream in manifest.streams
    )
    rates = tuple(replace(rate, requests=100_000, seconds=1) for rate in manifest.rates)
    return replace(manifest, streams=streams, rates=rates)


async def test_more_changes_than_the_provider_gives_at_once(
    sandboxes: Callable[..., Any], make_rig: Callable[..., Any]
) -> None:
    clock = VirtualClock()
    sandbox = sandboxes(BIG, now=clock)
    sandbox.unlimited()
    rig = make_rig(sandbox)
    big = await rig.connect(sandbox, BIG.id)
    await big.recipe()
    await big.work()
    clock.advance(3600)
    chosen = list(sandbox.truth(BIG.id))[:10_300]
    for number, one in enumerate(chosen):
        if number % 330 == 0:  # more than a page share a time
            clock.advance(0.001)
        sandbox.hubspot.store.update(BIG.id, "contacts", one, {"jobtitle": f"Job {number}"})
    run = await big.sync()
    assert (run.state, run.mode, run.updated) == ("succeeded", "incremental", len(chosen))
    await big.stands()
    await rig.close()


async def test_more_changes_at_one_moment_than_the_provider_gives_become_a_full_list(
    sandboxes: Callable[..., Any], make_rig: Callable[..., Any]
) -> None:
    clock = VirtualClock()
    sandbox = sandboxes(now=clock)
    sandbox.unlimited()
    rig = make_rig(sandbox, small_pages(next(m for m in manifests() if m.name == "hubspot"), 20, 10, 60, 0))
    harbor = await rig.connect(sandbox, "48120002")
    await harbor.recipe()
    await harbor.work()
    clock.advance(60)
    chosen = list(sandbox.truth(harbor.account))[:80]
    for one in chosen:
        sandbox.hubspot.store.update(harbor.account, "contacts", one, {"jobtitle": "Imported"})
    run = await harbor.sync()
    assert (run.state, run.mode, run.updated) == ("succeeded", "full", 80)
    await harbor.stands()
    await rig.close()


async def test_what_is_changed_while_we_read_is_not_passed_over(
    sandboxes: Callable[..., Any], make_rig: Callable[..., Any]
) -> None:
    """The changed record moves to the end of the results, and all behind it one place forward."""
    clock = VirtualClock()
    sandbox = sandboxes(now=clock)
    sandbox.unlimited()
    rig = make_rig(
        sandbox, small_pages(next(m for m in manifests() if m.name == "hubspot"), 20, 10, 10_000, 0)
    )
    harbor = await rig.connect(sandbox, "48120002")
    await harbor.recipe()
    await harbor.work()
    chosen = list(sandbox.truth(harbor.account))[:60]
    for one in chosen:
        clock.advance(0.5)
        sandbox.hubspot.store.update(harbor.account, "contacts", one, {"jobtitle": "Changed"})
    clock.advance(1)
    page, again = rig.provider.page, iter(chosen)

    async def meanwhile(target: Any, spec: Any, read: Any, values: Any, **more: Any) -> Any:
        found = await page(target, spec, read, values, **more)
        if read is spec.incremental and (one := next(again, None)) is not None:
            clock.advance(0.5)
            sandbox.hubspot.store.update(harbor.account, "contacts", one, {"jobtitle": "Changed again"})
        return found

    rig.provider.page = meanwhile
    run = await harbor.sync()
    assert (run.state, run.mode) == ("succeeded", "incremental")
    rig.provider.page = page
    await harbor.sync()
    await harbor.stands()
    await rig.close()


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(1, 9), st.sampled_from(["Ada", "", "Grace", "漢字"])),
        st.tuples(st.just("update"), st.integers(0, 99), st.sampled_from(["Ada", "Lin", "x" * 2000, ""])),
        st.tuples(st.just("archive"), st.integers(0, 99), st.just("")),
        st.tuples(st.just("restore"), st.integers(0, 99), st.just("")),
        st.tuples(st.just("advance"), st.integers(1, 5000), st.just("")),
        st.tuples(st.just("sync"), st.integers(0, 9), st.just("")),
    ),
    max_size=16,
)


class Given:
    sandbox: Any = None
    clock: Any = None


@example([("create", 4, "Ada"), ("sync", 1, ""), ("update", 2, "x" * 2000)])  # one that no longer fits
@given(EVENTS)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # each step is a real sync: shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_whatever_happens_the_entities_are_what_the_mapper_makes_of_the_truth(
    sandboxes: Callable[..., Any], make_rig: Callable[..., Any], events: list[tuple[str, int, str]]
) -> None:
    if Given.sandbox is None:
        Given.clock = VirtualClock()
        Given.sandbox = sandboxes(now=Given.clock)
        Given.sandbox.unlimited()
    sandbox, clock = Given.sandbox, Given.clock
    rig = make_rig(sandbox, small_pages(next(m for m in manifests() if m.name == "hubspot"), 4, 3, 9, 0))
    some = await rig.connect(sandbox, f"empty-{uuid4()}")
    await some.recipe()
    store, made = sandbox.hubspot.store, []
    gave: dict[str, Any] = {}
    definition = definition_of(rig.manifest.recipe("contacts"))
    clock._now += timedelta(seconds=10)
    for event, number, value in [*events, ("sync", 1, "")]:
        if event == "create":
            made += [
                store.create(
                    some.account, "contacts", {"firstname": value, "email": f"{uuid4()}@x.example"}
                ).id
                for _ in range(number)
            ]
        elif event == "advance":
            clock.advance(number / 1000)
        elif event == "sync":
            run = await some.sync("full" if number == 0 else None)
            assert run.state == "succeeded"
            held = await some.documents()
            results = await rig.mapper.map(definition, built_in_models()["contact"], list(held.values()))
            kept = {one for one, result in zip(held, results, strict=True) if isinstance(result, Failed)}
            gave = {one: data for one, data in gave.items() if one in kept}  # what it last gave stays
            gave |= {
                one: result.data
                for one, result in zip(held, results, strict=True)
                if isinstance(result, Mapped)
            }
        elif made:
            one = made[number % len(made)]
            if event == "update":
                store.update(some.account, "contacts", one, {"firstname": value})
            elif event == "archive":
                store.archive(some.account, "contacts", one)
            else:
                store.restore(some.account, "contacts", one)
    await some.stands()
    assert await some.entities() == gave
    await rig.close()
