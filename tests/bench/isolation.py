"""Attack the isolation of tenants: every route and repository function with other tenants' ids."""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg

from trunkline.cli.bench import Figures, Say
from trunkline.cli.failures import Failure
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.migrate import upgrade

KIT = Path(__file__).parents[1] / "integration" / "isolation"
KITS = [str(KIT), str(KIT.parent / "portal")]
ROUTES, CALLS = 14_500, 37_000
"""Attempts over HTTP, and upon repositories and services."""
SETS = 8
"""Rows of every kind that each of the two victims has."""
EXAMPLES, STEPS = 20, 40

Result = tuple[int, list[str]]


async def _create(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"create database {name}")
    await connection.close()


def _attack_routes(url: str, valkey: str, folder: str) -> Result:
    sys.path[:0] = KITS
    from isolation_kit.attack import Tally, attack_routes
    from isolation_kit.machine import attack_sequences
    from isolation_kit.routes import attempts
    from isolation_kit.world import World

    tally = Tally(_say)
    with asyncio.Runner() as runner:
        world = runner.run(World.create(url, valkey, Path(folder), sets=SETS))
        todo = attempts(world)[:ROUTES]
        runner.run(attack_routes(world, todo, tally, say=_say))
        attack_sequences(world, runner.run, tally, examples=EXAMPLES, steps=STEPS)
        _say(f"{tally.attempts:,} requests in all, answers {dict(tally.statuses)}")
        runner.run(world.close())
    return tally.attempts, tally.leaks


def _attack_methods(url: str, valkey: str, folder: str) -> Result:
    sys.path[:0] = KITS
    from isolation_kit.attack import Tally, unchanged
    from isolation_kit.methods import attack_methods, calls, methods
    from isolation_kit.world import VICTIMS, World

    tally = Tally(_say)
    with asyncio.Runner() as runner:
        world = runner.run(World.create(url, valkey, Path(folder), sets=SETS))
        before = {slug: runner.run(world.fingerprint(slug)) for slug in VICTIMS}
        todo = calls(world)[:CALLS]
        runner.run(attack_methods(world, todo, tally, say=_say))
        runner.run(unchanged(world, before, tally))
        _say(f"{tally.attempts:,} calls of {len(methods(world))} functions")
        runner.run(world.close())
    return tally.attempts, tally.leaks


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def run(say: Say) -> Figures:
    """Two processes, each with a database of its own; minutes. Hypothesis looks for sequences at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="trunkline-isolation-") as place,
        EmbeddedServers(Path(place) / "servers", unsafe=True) as servers,
    ):
        jobs = []
        for number, attack in enumerate(ATTACKS, 1):
            name, folder = f"isolation_{number}", Path(place) / str(number)
            folder.mkdir()
            asyncio.run(_create(servers.postgres.url_of("postgres"), name))
            upgrade(servers.postgres.url_of(name))
            valkey = f"unix://{servers.valkey.socket}?db={number}"
            command = [
                sys.executable,
                "-P",
                __file__,
                attack,
                servers.postgres.url_of(name),
                valkey,
                str(folder),
            ]
            jobs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        try:
            said = [job.communicate()[0] for job in jobs]
        finally:
            for job in jobs:
                job.kill()
        if any(job.returncode for job in jobs):
            raise Failure("An attack broke off; its error stands above.")
    results: list[Result] = [json.loads(text.splitlines()[-1]) for text in said]
    leaks = sum(len(found) for _, found in results)
    say(f"{leaks} leaks")
    return Figures(figures={"attempts": sum(count for count, _ in results), "leaks": leaks})


ATTACKS = {"routes": _attack_routes, "methods": _attack_methods}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(ATTACKS[sys.argv[1]](*sys.argv[2:])) + "\n")
