"""`trunkline chaos`: the fault rig, which lives beside the tests, in `tests/chaos`."""

import importlib.util
from pathlib import Path
from typing import Any

import click
import msgspec

from trunkline.cli.failures import Failure

RIG = Path(__file__).resolve().parents[3] / "tests" / "chaos" / "command.py"


def add_chaos(cli: click.Group) -> None:
    @cli.command(
        epilog="""\b
Examples:
  trunkline chaos --seed 1 --faults 50 --pace 0.9 --lease 4   a minute or two
  trunkline chaos --seed 1 --faults 1000                      half an hour"""
    )
    @click.option("--seed", default=1, show_default=True, help="What happens, and when, follows from it.")
    @click.option(
        "--faults", default=1000, show_default=True, type=click.IntRange(0, 100_000), help="How many strikes."
    )
    @click.option(
        "--pace", default=1.5, show_default=True, type=click.FloatRange(0.05), help="Seconds between faults."
    )
    @click.option(
        "--lease", default=15, show_default=True, type=click.IntRange(3, 300), help="Seconds of a lease."
    )
    @click.option(
        "--shrink",
        default=4,
        show_default=True,
        type=click.IntRange(0, 50),
        help="Tries to find a shorter plan when it is red.",
    )
    @click.option(
        "--history", type=click.Path(dir_okay=False, path_type=Path), help="Write every event there, as JSON."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON, as the last line.")
    def chaos(as_json: bool, **options: Any) -> None:
        """Break everything from a seed, and compare with the truth.

        Needs a checkout. Twenty tenants, three workers, real servers: killed, stopped, cut off, filled up,
        while their provider has bad days and webhooks go in and out. Ends with exit code 1 when anything was
        lost, doubled or crossed.
        """

        def say(line: str) -> None:
            click.echo(line, err=True)

        report = _rig().run(options.pop("seed"), options.pop("faults"), say, **options)
        for key, value in report.figures.items():
            click.echo(f"{key:<28} {value:>14,.6g}")
        if as_json:
            line = {"bench": "chaos", "runs": 1, "figures": report.figures, "ratios": {}}
            click.echo(msgspec.json.encode(line).decode())
        if report.red:
            raise click.exceptions.Exit(1)


def _rig() -> Any:
    spec = importlib.util.spec_from_file_location("trunkline_chaos", RIG)
    if spec is None or spec.loader is None or not RIG.exists():
        raise Failure("The fault rig lies beside the tests: run this in a checkout of Trunkline.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise Failure(f"The fault rig needs {error.name}: run `make test` once.") from error
    return module
