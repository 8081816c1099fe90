"""Scaffold, check, grade, pages: from nothing to a bronze connector and on."""

import re
import runpy
import tomllib
from datetime import date
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest
from click.testing import CliRunner

from trunkline.kit.checking import check
from trunkline.kit.documenting import document
from trunkline.kit.grading import GRADES, RULES, Evidence, _judged, graded
from trunkline.kit.grading import grade as judge
from trunkline.kit.package import Package, open_package
from trunkline.kit.scaffolding import ScaffoldError, scaffold
from trunkline.kit.schema import manifest_schema
from trunkline.kit.suite import Result, run
from trunkline.main import cli, packages
from trunkline_connectors.catalogue import grades

OURS = {one.manifest.name: one for one in packages()}


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    scaffold("acme", tmp_path)
    return tmp_path / "acme"


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "manifest.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


async def test_a_scaffold_passes_its_own_tests_at_once(acme: Path) -> None:
    assert [str(one) for one in check(acme)] == []
    package = open_package(acme)
    results = await run(package.manifest, package.simulator())
    assert [f"{one.rule}: {one.detail}" for one in results if one.state == "failed"] == []
    tests = runpy.run_path(str(acme / "test_acme.py"))
    tests["test_the_manifest_is_sound"]()
    await tests["test_every_rule_holds"]()


def test_a_scaffold_takes_no_bad_name_and_overwrites_nothing(tmp_path: Path) -> None:
    scaffold("acme", tmp_path)
    for name in ("acme", "Acme", "a", "../evil", "a/b", ""):
        with pytest.raises(ScaffoldError):
            scaffold(name, tmp_path)
    with pytest.raises(ScaffoldError):
        scaffold("other", tmp_path, label='"')


@pytest.mark.parametrize("name", OURS)
def test_our_own_manifests_have_no_finding(name: str) -> None:
    assert [str(one) for one in check(OURS[name].folder, hooks=OURS[name].hooks)] == []


def test_a_manifest_stays_small() -> None:
    assert len(OURS["hubspot"].manifest_path.read_text("utf-8").splitlines()) <= 250
    for name, package in OURS.items():
        assert len(package.manifest_path.read_text("utf-8").splitlines()) <= 500, name


@pytest.mark.parametrize("name", OURS)
def test_our_own_manifests_fit_the_published_schema(name: str) -> None:
    raw = tomllib.loads(OURS[name].manifest_path.read_text("utf-8"))
    for day in ("ends", "no_end_announced"):
        raw.get("api", {}).pop(day, None)  # a date is no JSON
    jsonschema_rs.Draft202012Validator(manifest_schema()).validate(raw)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "acme"', 'name = "acmee"', 'Call it "acmee"'),
        ('hosts = ["{subdomain}.acme.example"]', 'hosts = ["api.acme.example"]', "No entry of `hosts` ends"),
        ("https://{subdomain}.acme.example", "https://{subdomian}.acme.example", "has no value here"),
        ('cursor = "{cursor}"', 'cursor = "{curser}"', 'Did you mean "cursor"'),
        ('updated_since = "{since_iso}", ', "", "does not say since when"),
        ('bucket = "default"', 'bucket = "defualt"', "no rate is declared"),
        ('model = "contact"', 'model = "contcat"', 'Did you mean "contact"'),
        ('email = "email"', 'emial = "email"', 'Did you mean "email"'),
        ('full_name = "name"', 'full_name = "nmae"', 'Did you mean "name"'),
        ('api = { version = "v1"', 'api = { ends = 2020-01-01, version = "v1"', "ended on 2020-01-01"),
        ('form = "key"', 'from = "key"', 'Did you mean "form"'),
        ('stream = "contacts"', 'stream = "contact"', 'There is no stream "contact"'),
        ("requests = 100", "requests = 0", ">= 1"),
        ("[account]", "[acount]", "account"),
        ("[account]", "[each_acton]\n[account]", 'Did you mean "each_action"'),
        ("fields = { email", 'fields = [["email"]]\nx = { email', "recipes"),
        ("secret = true", "secret = true\n= 3", "line"),
        ("secret = true", "secret = tru", "line"),
    ],
)
def test_a_mistake_is_found_in_its_line(acme: Path, old: str, new: str, words: str) -> None:
    edit(acme, old, new)
    found = check(acme, date(2026, 11, 26))
    assert found
    assert any(words in str(one) for one in found), [str(one) for one in found]
    lines = (acme / "manifest.toml").read_text("utf-8").splitlines()
    for one in found:
        assert one.path == acme / "manifest.toml"
        assert 1 <= one.line <= len(lines)


def test_the_line_is_the_one_with_the_mistake(acme: Path) -> None:
    edit(acme, 'model = "contact"', 'model = "contcat"')
    lines = (acme / "manifest.toml").read_text("utf-8").splitlines()
    (found,) = check(acme)
    assert lines[found.line - 1] == 'model = "contcat"'


async def test_a_grade_says_what_it_is_made_of(acme: Path) -> None:
    found = await judge(open_package(acme), date(2026, 11, 26))
    assert found.grade == "silver"
    assert found.missing[:2] == ["failures", "webhooks"]
    assert {one.standing for one in found.rules if one.rule == "expired_token"} == {"exempt"}
    edit(acme, '{ name = "email"', '{ name = "emial"')
    lost = await judge(open_package(acme), date(2026, 11, 26))
    assert (lost.grade, "read" in lost.missing) == ("none", True)


def test_each_rules_loss_lowers_the_grade() -> None:
    package = next(iter(OURS.values()))
    whole = [_judged(rule, everything(package)) for rule in RULES]
    done = [msgspec.structs.replace(one, standing="done") for one in whole]
    assert (graded(package, done).grade, graded(package, done).missing) == ("platinum", [])
    for number, one in enumerate(done):
        without = [*done[:number], msgspec.structs.replace(one, standing="todo"), *done[number + 1 :]]
        below = GRADES.index(one.grade) - 1
        found = graded(package, without)
        assert found.missing == [one.rule]
        assert found.grade == (GRADES[below] if below >= 0 else "none")


def test_no_word_in_a_manifest_outweighs_a_rule_that_failed() -> None:
    package = next(iter(OURS.values()))
    boast = msgspec.structs.replace(
        package.manifest,
        quality=msgspec.structs.replace(
            package.manifest.quality, done={"read": "sure"}, exempt={"read": "why not"}
        ),
    )
    failed = Result(rule="read", title="", state="failed", detail="no")
    evidence = Evidence(Package(package.folder, boast), [], {"read": failed})
    rule = next(one for one in RULES if one.name == "read")
    assert _judged(rule, evidence).standing == "todo"


def everything(package: Package) -> Evidence:
    return Evidence(package, [], {}, "", date(2026, 11, 26))


@pytest.mark.parametrize("name", OURS)
def test_a_page_tells_every_stream_host_and_permission(name: str) -> None:
    manifest = OURS[name].manifest
    text = document(manifest)
    for one in (*manifest.hosts, *(f"`{spec.name}`" for spec in manifest.streams), *manifest.auth.words):
        assert one in text


def test_the_command_line(tmp_path: Path) -> None:
    def ran(*words: str, code: int = 0) -> str:
        answer = CliRunner().invoke(cli, ["connector", *words])
        assert answer.exit_code == code, answer.output
        return answer.output

    assert "acme/manifest.toml" in ran("new", "acme", "--into", str(tmp_path))
    assert "is there already" in ran("new", "acme", "--into", str(tmp_path), code=1)
    folder = str(tmp_path / "acme")
    assert "without a finding" in ran("check", folder)
    page = tmp_path / "report.html"
    shown = ran("test", folder, "--rule", "read", "--rule", "identify", "--html", str(page))
    assert "2 passed, 0 failed" in shown
    assert re.search(r'<td class="passed">', page.read_text("utf-8"))
    listed = msgspec.json.decode(ran("grade", folder, "--json"))
    assert [(one["connector"], one["grade"]) for one in listed] == [("acme", "silver")]
    assert "missing" in listed[0]
    assert "# Acme" in ran("docs", folder)
    assert msgspec.json.decode(ran("schema"))["title"] == "A connector's manifest"
    assert msgspec.json.decode(ran("models", "account"))["title"] == "Account"
    assert "neither a connector" in ran("test", str(tmp_path / "nothing"), code=1)
    edit(tmp_path / "acme", 'model = "contact"', 'model = "contcat"')
    assert re.search(r"manifest\.toml:\d+: There is no model", ran("check", folder, code=1))


@pytest.mark.parametrize("name", OURS)
def test_what_a_manifest_claims_to_be_done_is_a_test_that_exists(name: str) -> None:
    root = Path(__file__).parents[3]
    for rule, shown in OURS[name].manifest.quality.done.items():
        assert rule in {one.name for one in RULES}
        assert (root / shown.split()[0].rstrip(":,")).is_file(), f"{name}: {rule} is shown by {shown}"
        assert name in (root / shown.split()[0].rstrip(":,")).read_text("utf-8").lower()
    for rule, reason in OURS[name].manifest.quality.exempt.items():
        assert rule in {one.name for one in RULES}
        assert len(reason) > 20


async def test_the_grades_that_pages_show_are_those_of_this_version() -> None:
    """Machine evidence may differ in its numbers; grade and missing rules may not."""
    shown = {one.connector: one for one in grades()}
    assert set(shown) == set(OURS)
    for name, package in OURS.items():
        found = await judge(package)
        assert (shown[name].version, shown[name].grade) == (found.version, found.grade)
        assert shown[name].missing == found.missing, name
