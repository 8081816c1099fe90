"""`trunkline connector`: what a connector is made, proven, graded and documented with."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trunkline.cli.failures import Failure

if TYPE_CHECKING:
    from trunkline.cli.composition import Composition
    from trunkline.kit.package import Package


def add_connector(cli: click.Group, composition: "Composition") -> None:
    @cli.group()
    def connector() -> None:
        """Make, prove and grade a connector.

        CONNECTOR is a folder with a manifest.toml, or the name of one that comes with Trunkline.
        """

    _add_making(connector, composition)
    _add_proving(connector, composition)


def _own(composition: "Composition") -> "dict[str, Package]":
    from trunkline.sdk.manifest import ManifestError

    try:
        return {one.manifest.name: one for one in composition.packages()}
    except ManifestError as error:
        raise Failure(str(error)) from error


def _packages(composition: "Composition", given: Sequence[str], *, whole: bool) -> "list[Package]":
    from trunkline.kit.package import open_package
    from trunkline.sdk.manifest import ManifestError

    own = _own(composition)
    if whole:
        return list(own.values())
    if not given:
        given = ["."]
    try:
        return [own[one] if one in own else open_package(_folder(one)) for one in given]
    except ManifestError as error:
        raise Failure(f"{error} Run `trunkline connector check` on it for the line.") from error


def _left_over(folder: Path) -> list[str]:
    from trunkline.sdk.fixture_files import leftovers
    from trunkline.sdk.manifest import ManifestError, load_manifest

    try:
        manifest = load_manifest(folder / "manifest.toml")
    except ManifestError:
        return []
    return leftovers(folder / "fixtures", [spec.name for spec in manifest.streams])


def _folder(given: str) -> Path:
    folder = Path(given)
    if not (folder / "manifest.toml").is_file():
        raise Failure(f"{given} is neither a connector of ours nor a folder with a manifest.toml.")
    return folder


def _add_making(connector: click.Group, composition: "Composition") -> None:
    @connector.command()
    @click.argument("name")
    @click.option("--into", type=click.Path(path_type=Path), default=Path(), help="Folder to make it in.")
    @click.option("--label", default="", help="What people call the provider.")
    def new(name: str, into: Path, label: str) -> None:
        """Make a folder for a connector, whose tests pass at once."""
        from trunkline.kit.scaffolding import ScaffoldError, scaffold

        try:
            made = scaffold(name, into, label)
        except ScaffoldError as error:
            raise Failure(str(error)) from error
        for path in made:
            click.echo(f"  {path}")
        click.echo(f"Next: trunkline connector test {into / name}")

    @connector.command()
    @click.argument("folder", type=click.Path(path_type=Path), default=Path())
    @click.option("--into", type=click.Path(path_type=Path), default=Path(), help="Folder for the archive.")
    def pack(folder: Path, into: Path) -> None:
        """Make the package that is handed in: one archive, the same bytes of the same files."""
        from trunkline.packages.archive import ArchiveError
        from trunkline.packages.archive import pack as packed
        from trunkline.sdk.fixture_files import leftovers
        from trunkline.sdk.manifest import ManifestError, load_manifest

        home = _folder(str(folder)).resolve()
        try:
            manifest = load_manifest(home / "manifest.toml")
            raw = packed(home)
        except (ArchiveError, ManifestError) as error:
            raise Failure(str(error)) from error
        into.mkdir(parents=True, exist_ok=True)
        target = into / f"{manifest.name}-{manifest.version}.zip"
        target.write_bytes(raw)
        for name in leftovers(home / "fixtures", [spec.name for spec in manifest.streams]):
            click.echo(f"fixtures/{name} belongs to no stream; it is packed all the same.")
        click.echo(f"{target}: {len(raw):,} bytes, SHA-256 {hashlib.sha256(raw).hexdigest()}")

    @connector.command()
    def schema() -> None:
        """The JSON Schema of manifests, for editors."""
        from trunkline.kit.schema import manifest_schema

        click.echo(json.dumps(manifest_schema(), indent=2))

    @connector.command()
    @click.argument("name", required=False)
    def models(name: str | None) -> None:
        """The JSON Schema of a model that recipes map to; without a name, which there are."""
        from trunkline.recipes.contracts import json_schema
        from trunkline.recipes.target import built_in_models

        known = built_in_models()
        if name is None:
            for model in known.values():
                click.echo(f"{model.name} {model.version}  {model.description}")
        elif name in known:
            click.echo(json.dumps(json_schema(known[name]), indent=2))
        else:
            raise Failure(f"There is no model {name}; there are {', '.join(known)}.")

    @connector.command()
    @click.argument("names", nargs=-1, metavar="[CONNECTOR]...")
    @click.option("--all", "whole", is_flag=True, help="Every connector that comes with Trunkline.")
    @click.option(
        "--into", type=click.Path(path_type=Path), help="Folder for {name}.md; else to the terminal."
    )
    def docs(names: tuple[str, ...], whole: bool, into: Path | None) -> None:
        """Write a connector's page out of its manifest."""
        from trunkline.kit.documenting import document

        for package in _packages(composition, names, whole=whole):
            text = document(package.manifest)
            if into is None:
                click.echo(text)
            else:
                into.mkdir(parents=True, exist_ok=True)
                (into / f"{package.manifest.name}.md").write_text(text, "utf-8")


def _look(package: "Package", account: Path, pages: int, html: Path | None) -> None:
    from trunkline.kernel.settings import Settings
    from trunkline.kit import report
    from trunkline.kit.live import CredentialsError, look, read_credentials

    _quiet()
    try:
        given = read_credentials(account)
        results = asyncio.run(look(package.manifest, given, Settings.load(), pages=max(1, pages)))
    except CredentialsError as error:
        raise Failure(str(error)) from error
    click.echo(report.terminal(package.manifest, results))
    if html is not None:
        html.write_text(report.page(package.manifest, results), "utf-8")
    if any(one.state == "failed" for one in results):
        raise click.exceptions.Exit(1)
    click.echo("Say it under [quality.done]: live = when, and what kind of account it was.")


def _add_proving(connector: click.Group, composition: "Composition") -> None:
    @connector.command()
    @click.argument("names", nargs=-1, metavar="[CONNECTOR]...")
    @click.option("--all", "whole", is_flag=True, help="Every connector that comes with Trunkline.")
    def check(names: tuple[str, ...], whole: bool) -> None:
        """What is wrong with a manifest, with file and line; no call is made."""
        from trunkline.kit.checking import check as find

        packages = _own(composition)
        own = {name: one.folder for name, one in packages.items()}
        hooks = {one.folder.resolve(): one.hooks for one in packages.values()}
        folders = list(own.values()) if whole else [own.get(one) or _folder(one) for one in names or (".",)]
        findings = [
            finding
            for folder in map(Path.resolve, folders)
            for finding in find(folder, hooks=hooks.get(folder, frozenset()))
        ]
        for finding in findings:
            click.echo(str(finding))
        for folder in folders:
            for name in _left_over(folder):
                click.echo(
                    f"{folder / 'fixtures' / name} belongs to no stream; delete it, or call it as its stream."
                )
        if findings:
            raise click.exceptions.Exit(1)
        click.echo(f"{len(folders)} manifest{'' if len(folders) == 1 else 's'} without a finding.")

    @connector.command()
    @click.argument("names", nargs=-1, metavar="[CONNECTOR]...")
    @click.option("--all", "whole", is_flag=True, help="Every connector that comes with Trunkline.")
    @click.option("--rule", "rules", multiple=True, help="Only this rule; can be given several times.")
    @click.option("--html", type=click.Path(path_type=Path), help="Also write the report as a page.")
    @click.option(
        "--account",
        type=click.Path(path_type=Path),
        help="Look at a real account by these credentials (JSON) instead; nothing is written to it.",
    )
    @click.option("--pages", default=5, show_default=True, help="Of each list; only with --account.")
    def test(
        names: tuple[str, ...],
        whole: bool,
        rules: tuple[str, ...],
        html: Path | None,
        account: Path | None,
        pages: int,
    ) -> None:
        """Run the conformance suite against a connector's simulator, or look at a real account."""
        if account is not None:
            if whole or len(names) > 1 or rules:
                raise Failure("An account is of one connector, and every step is tried: name that alone.")
            (package,) = _packages(composition, names, whole=False)
            _look(package, account, pages, html)
            return
        from trunkline.kit import report
        from trunkline.kit.package import NoSimulatorError
        from trunkline.kit.suite import names_of_rules, run

        _quiet()
        failed = False
        written = []
        for package in _packages(composition, names, whole=whole):
            try:
                results = asyncio.run(run(package.manifest, package.simulator(), rules, package.folder))
            except NoSimulatorError as error:
                raise Failure(str(error)) from error
            if unknown := sorted(set(rules) - {one.rule for one in results}):
                raise Failure(
                    f"There is no rule called {', '.join(unknown)}; there are {', '.join(names_of_rules())}."
                )
            click.echo(report.terminal(package.manifest, results))
            written.append(report.page(package.manifest, results))
            failed = failed or any(one.state == "failed" for one in results)
        if html is not None:
            html.write_text("\n".join(written), "utf-8")
        if failed:
            raise click.exceptions.Exit(1)

    @connector.command()
    @click.argument("names", nargs=-1, metavar="[CONNECTOR]...")
    @click.option("--all", "whole", is_flag=True, help="Every connector that comes with Trunkline.")
    @click.option("--json", "as_json", is_flag=True, help="For programs.")
    def grade(names: tuple[str, ...], whole: bool, as_json: bool) -> None:
        """The connector's grade, and what is missing to the next ones."""
        import msgspec

        from trunkline.kit.grading import grade as judge

        _quiet()
        graded = [asyncio.run(judge(one)) for one in _packages(composition, names, whole=whole)]
        if as_json:
            click.echo(msgspec.json.format(msgspec.json.encode(graded), indent=2).decode())
            return
        for one in graded:
            click.echo(f"{one.connector} {one.version}: {one.grade}")
            for rule in one.rules:
                if rule.standing == "todo":
                    click.echo(f"  {rule.grade:9} {rule.title}: {rule.detail}")


def _quiet() -> None:
    """Calls to a simulator are no news."""
    import logging

    logging.getLogger("httpx2").setLevel(logging.WARNING)
