"""Each command, thin; what it does lies in the module it imports when called, so that --help is quick."""

import asyncio
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from trunkline.cli.audit import add_audit
from trunkline.cli.bench import add_bench
from trunkline.cli.chaos import add_chaos
from trunkline.cli.connector import add_connector
from trunkline.cli.failures import Failure, SentenceGroup
from trunkline.cli.hooks import add_hooks
from trunkline.cli.keys import add_keys
from trunkline.cli.tenants import add_tenants
from trunkline.kernel.settings import Settings

if TYPE_CHECKING:
    from trunkline.cli.composition import Composition, Doorway

EPILOG = """\b
Examples:
  trunkline up --demo       everything on this machine, with demo data
  trunkline doctor          what is wrong, and what to do about it
  TRUNKLINE_PORT=9000 trunkline up

Every setting is an environment variable named TRUNKLINE_..."""


def build(composition: "Composition") -> click.Group:
    """The `trunkline` command of an installation."""

    @click.group(
        cls=SentenceGroup,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    @click.version_option(version("trunkline"), "-V", "--version", message="Trunkline %(version)s")
    def cli() -> None:
        """Trunkline: integrations that your customers connect and you run."""

    _add_up(cli, composition)
    _add_processes(cli, composition)
    _add_database(cli, composition)
    _add_doctor(cli)
    add_audit(cli)
    add_keys(cli)
    add_hooks(cli, composition)
    add_tenants(cli, composition)
    add_connector(cli, composition)
    add_bench(cli)
    add_chaos(cli)
    return cli


_CONNECTORS = click.option(
    "--connector",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A partner's connector to simulate too; can be given several times.",
)


def _simulating(settings: Settings, folders: tuple[Path, ...]) -> Settings:
    """Raises Failure for a folder without a manifest that can be read."""
    from trunkline.sdk.manifest import ManifestError, load_manifest

    try:
        for folder in folders:
            load_manifest(folder / "manifest.toml")
    except ManifestError as error:
        raise Failure(f"The sandbox cannot simulate a connector: {error}") from error
    more = [settings.sandbox_connectors, *(str(folder.absolute()) for folder in folders)]
    return msgspec.structs.replace(settings, sandbox_connectors=os.pathsep.join(filter(None, more)))


def _add_up(cli: click.Group, composition: "Composition") -> None:
    @cli.command(
        epilog="""\b
Examples:
  trunkline up                    what you would run yourself
  trunkline up --demo             with a sandbox and demo data, to look around
  trunkline up --demo --reset     the same, from the beginning
  trunkline up --demo --connector ./acme    with a connector of yours at the sandbox too"""
    )
    @click.option("--demo", is_flag=True, help="Also a sandbox CRM, a demo product page and demo data.")
    @click.option("--reset", "start_over", is_flag=True, help="Delete the embedded data first; asks.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @_CONNECTORS
    def up(demo: bool, start_over: bool, yes: bool, folders: tuple[Path, ...]) -> None:
        """Run everything on this machine until Ctrl-C.

        Starts PostgreSQL and Valkey (unless TRUNKLINE_DATABASE_URL and TRUNKLINE_VALKEY_URL name servers of
        your own), migrates, then runs web and worker. What ends by itself is started again.
        """
        from trunkline.cli.up import Up, reset

        if folders and not demo:
            raise Failure("A connector is simulated by the sandbox: add --demo.")
        settings = _simulating(Settings.load(), folders)
        if start_over:
            reset(settings, (lambda _: True) if yes else lambda text: click.confirm(text, abort=True))
        Up(composition, settings, demo=demo).run()


def _add_processes(cli: click.Group, composition: "Composition") -> None:
    @cli.command()
    def web() -> None:
        """Serve portal, console, widget and API."""
        from trunkline.cli.attach import attach
        from trunkline.cli.serving import bind, serve
        from trunkline.kernel import logs

        settings = Settings.load()
        with bind(settings.host, settings.port, "TRUNKLINE_PORT") as listener:
            settings = attach(settings)
            logs.configure(settings, "web")
            serve([(composition.web_app(settings), listener)], settings)

    @cli.command()
    def worker() -> None:
        """Run syncs and other background work; start as many as needed."""
        from trunkline.cli.attach import attach
        from trunkline.cli.serving import run_until_signal
        from trunkline.kernel import logs

        settings = attach(Settings.load())
        logs.configure(settings, "worker")
        run_until_signal(lambda stop: composition.run_worker(settings, stop))

    @cli.command()
    @_CONNECTORS
    def sandbox(folders: tuple[Path, ...]) -> None:
        """Serve simulated providers, and a product that embeds Trunkline."""
        from trunkline.cli.serving import bind, serve
        from trunkline.kernel import logs
        from trunkline.kit.package import NoSimulatorError
        from trunkline.sdk.manifest import ManifestError

        settings = _simulating(Settings.load(), folders)
        logs.configure(settings, "sandbox")
        try:
            provided = composition.sandbox_app(settings)
        except (ManifestError, NoSimulatorError) as error:
            raise Failure(f"The sandbox cannot simulate a connector: {error}") from error
        with (
            bind(settings.host, settings.sandbox_port, "TRUNKLINE_SANDBOX_PORT") as provider,
            bind(settings.host, settings.product_port, "TRUNKLINE_PRODUCT_PORT") as product,
        ):
            apps = [
                (provided, provider),
                (composition.product_app(settings), product),
            ]
            serve(apps, settings)


def _add_database(cli: click.Group, composition: "Composition") -> None:
    @cli.command()
    def migrate() -> None:
        """Bring the database to this version's schema; safe at any time."""
        from trunkline.cli.attach import with_database
        from trunkline.kernel import migrate as migrations

        with with_database(Settings.load()) as settings:
            before = migrations.current(settings.database_url)
            migrations.upgrade(settings.database_url)
            after = migrations.current(settings.database_url)
        click.echo(
            f"The database was already at {after}." if before == after else f"The database is now at {after}."
        )

    @cli.command()
    def seed() -> None:
        """Add the demo data where it is missing; shows the logins."""
        from trunkline.cli.attach import with_database
        from trunkline.cli.table import doorways_text
        from trunkline.kernel import migrate as migrations

        async def run(settings: Settings) -> "Sequence[Doorway]":
            return await composition.seed_demo(settings)

        with with_database(Settings.load()) as settings:
            if migrations.current(settings.database_url) != migrations.head():
                raise Failure("The database is not at this version's schema: run `trunkline migrate` first.")
            click.echo(doorways_text(asyncio.run(run(settings))))


def _add_doctor(cli: click.Group) -> None:
    @cli.command()
    def doctor() -> None:
        """Say what is configured and reachable, and what is wrong.

        Ends with exit code 1 when something is.
        """
        from trunkline.cli.doctor import examine, report

        findings = examine(Settings.load())
        click.echo(report(findings))
        if any(finding.state == "wrong" for finding in findings):
            raise click.exceptions.Exit(1)
