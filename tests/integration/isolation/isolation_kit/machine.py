"""Sequences: rows come to be, their ids get about, others act on them. Hypothesis looks for the order that leaks."""

from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test
from isolation_kit.attack import Baselines, Tally, try_route, unchanged
from isolation_kit.routes import UUIDS, Attempt, Place, attempts, routes, send
from isolation_kit.world import ATTACKER, VICTIMS, Ids, World, never

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def attack_sequences(
    world: World, run: Run, tally: Tally, *, examples: int, steps: int, seed: int = 0
) -> None:
    """Counts every act upon another tenant's id as an attempt."""
    by_route: dict[str, list[Attempt]] = {}
    for one in attempts(world, seed=seed):
        by_route.setdefault(one.route.name, []).append(one)
    names = sorted(by_route)
    deeds = [route for route in routes(world.app) if route.method == "POST" and _own_deed(route.template)]
    owner = next(who for who in world.callers if who.name == "owner")
    known: Baselines = {}

    class Deeds(RuleBasedStateMachine):
        shared = Bundle("shared")

        def __init__(self) -> None:
            super().__init__()
            self.before = {slug: run(world.fingerprint(slug)) for slug in VICTIMS}

        @rule(target=shared, slug=st.sampled_from(VICTIMS))
        def make_and_share(self, slug: str) -> Ids:
            """A victim makes new rows, and their ids become known to the attacker."""
            made: Ids = run(world.furnish(slug, world.tenants[slug].tenant_id))
            self.before[slug] = run(world.fingerprint(slug))
            return made

        @rule(name=st.sampled_from(names), ids=shared, choice=st.randoms(use_true_random=False))
        def act(self, name: str, ids: Ids, choice: Any) -> None:
            """Somebody uses one of them, on any route, in any place, as any kind of id."""
            one = choice.choice(by_route[name])
            values = tuple((place, kind, _of(ids, kind) or value) for place, kind, value in one.values)
            run(try_route(world, Attempt(one.who, one.route, values, one.own, one.htmx), known, tally))

        @rule(deed=st.sampled_from([route.name for route in deeds]))
        def change_own(self, deed: str) -> None:
            """The attacker changes rows of its own meanwhile: paused, renamed, disconnected, reconnected ..."""
            route = next(one for one in deeds if one.name == deed)
            home = world.tenants[ATTACKER]
            given = {("path", place.name): home.uuids.get(_kind(place), "") for place in route.places}
            given = {key: value or never("connection") for key, value in given.items()}
            run(send(world, Attempt(owner, route, (), (), htmx=False), given))

        def teardown(self) -> None:
            run(unchanged(world, self.before, tally))
            assert tally.leaks == []

    run_state_machine_as_test(
        Deeds,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def _own_deed(template: str) -> bool:
    return template.startswith(("/portal/connections/{connection_id}/", "/portal/runs/"))


def _kind(place: Place) -> str:
    return place.name.removesuffix("_id") if place.name.removesuffix("_id") in UUIDS else "connection"


def _of(ids: Ids, kind: str) -> str | None:
    return ids.uuids.get(kind) or ids.texts.get(kind)
