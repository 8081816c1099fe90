"""`trunkline bench NAME`: measurements that live beside the tests, as files `tests/bench/NAME.py`.

Such a file has a docstring (its first line is the help text) and `def run(say: Say) -> Figures`. It measures
once; the command repeats it and reports medians. Ratios pair our figure with a peer's of the same run.

It may also have `OPTIONS` (click options, handed to `run` by name), `RUNS` (how often by default), and
`once(say, whole, **options)`, called a single time after all runs with their medians, for what takes long.
"""

import importlib.util
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from trunkline.cli.failures import Failure

FOLDER = Path(__file__).resolve().parents[3] / "tests" / "bench"

Say = Callable[[str], None]
"""Progress, a line at a time; on standard error."""


class Figures(msgspec.Struct, kw_only=True):
    """What one run measured, by name; units are in the names (`_s`, `_ms`, `_per_s`), or it is a count."""

    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}


class Benches(click.Group):
    """One command for each file in `FOLDER`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.list_commands(ctx):
            return None
        module = _load(name)

        @click.command(name, help=module.__doc__)
        @click.option(
            "--runs",
            default=getattr(module, "RUNS", 1),
            show_default=True,
            type=click.IntRange(1, 100),
            help="Repetitions.",
        )
        @click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, as the last line.")
        def bench(runs: int, as_json: bool, **options: Any) -> None:
            def say(line: str) -> None:
                click.echo(line, err=True)

            results = [module.run(say, **options) for _ in range(runs)]
            whole = Figures(
                figures=_medians([result.figures for result in results]),
                ratios=_medians([result.ratios for result in results]),
            )
            if hasattr(module, "once"):
                more = module.once(say, whole, **options)
                whole.figures |= more.figures
                whole.ratios |= more.ratios
            for key, value in {**whole.figures, **whole.ratios}.items():
                click.echo(f"{key:<28} {value:>14,.6g}")
            if as_json:
                line = {"bench": name, "runs": runs, "figures": whole.figures, "ratios": whole.ratios}
                click.echo(msgspec.json.encode(line).decode())

        bench.params.extend(getattr(module, "OPTIONS", ()))
        return bench


def add_bench(cli: click.Group) -> None:
    cli.add_command(
        Benches(
            "bench",
            help="Measure, beside peers; needs the test tools of a checkout.",
        )
    )


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"trunkline_bench_{name}", FOLDER / f"{name}.py")
    if spec is None or spec.loader is None:
        raise Failure(f"There is no measurement {name}.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise Failure(
            f"This measurement needs {error.name}: run `make test` or `make bench` once."
        ) from error
    return module


def _medians(results: list[dict[str, float]]) -> dict[str, float]:
    """Of the keys that every result has: a peer that is not installed leaves its own out."""
    keys = [key for key in results[0] if all(key in result for result in results)]
    return {key: statistics.median(result[key] for result in results) for key in keys}
