"""Packages made to hurt whoever takes them in: each dies alone, or is refused, and reaches nobody else's hosts."""

import asyncio
import os
from pathlib import Path

import msgspec
import pytest

from trunkline.kernel.egress import EgressRefusedError, admits, host_of
from trunkline.kernel.settings import Settings
from trunkline.kit.scaffolding import scaffold
from trunkline.packages.archive import pack, read
from trunkline.packages.examining import examine
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest, load_manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scaffold("acme", tmp_path)
    return tmp_path / "acme"


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    into = tmp_path_factory.mktemp("acme")
    scaffold("acme", into)
    return load_manifest(into / "acme" / "manifest.toml")


def edited(folder: Path, *edits: tuple[str, str]) -> None:
    path = folder / "manifest.toml"
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)


def files_in(home: str) -> list[str]:
    return sorted(path.name for path in Path(home).rglob("*") if path.is_file())


# -- what is run of a package: its expressions, its templates, its fixtures ------------------------------------


@pytest.mark.parametrize(
    "bomb",
    [
        "(" * 2000 + "true" + ")" * 2000,
        "!" * 4000 + "true",
        " + ".join(["[1]"] * 900) + " == []",
        "[" * 300 + "]" * 300 + " == []",
        'record.email.matches("' + "(a+)+" * 20 + '$")',
        "undeclared(record)",
        "record.email == ",
    ],
)
async def test_an_expression_made_to_hurt_is_a_finding_or_harmless(folder: Path, bomb: str) -> None:
    """Compiled in the process that may die, and never evaluated there."""
    quoted = bomb.replace("\\", "\\\\").replace('"', '\\"')
    edited(folder, ('model = "contact"', f'model = "contact"\nfilter = "{quoted}"'))
    found = await examine("acme", read(pack(folder)))
    assert found.findings or found.graded is not None
    for one in found.findings:
        assert len(one.message) < 2000


async def test_templates_that_match_for_ever_end_with_their_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator that is made of a manifest recognises requests by its templates."""
    monkeypatch.setattr("trunkline.packages.examining.SECONDS", 4.0)
    holes = "".join(f"{{page_size}}x{{a{number}}}" for number in range(12))
    edited(
        folder,
        (
            'query = { limit = "{page_size}", cursor = "{cursor}" }',
            'query = { limit = "{page_size}", cursor = "{cursor}", q = "' + "x" * 4000 + '" }',
        ),
        (
            (
                'query = { limit = "{page_size}", cursor = "{cursor}", updated_since = "{since_iso}", '
                'sort = "updated_at" }'
            ),
            'query = { limit = "{page_size}", cursor = "{cursor}", updated_since = "{since_iso}", q = "'
            + holes
            + 'y" }',
        ),
    )
    found = await examine("acme", read(pack(folder)))
    assert found.findings  # its holes have no value, or it took too long


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '[{"id": ' + "1" * 50_000 + "}]",
        '[{"id": 1e999}]',
        "[" + ",".join(['{"id": "x"}'] * 50_000) + "]",
        '[{"id": {"id": 1}}]',
        "[]",
    ],
)
async def test_fixtures_made_to_hurt_are_words(folder: Path, text: str) -> None:
    (folder / "fixtures" / "contacts.json").write_text(text)
    found = await examine("acme", read(pack(folder)))
    assert found.graded is None or found.graded.grade == "none"


HOOKS = """
[webhooks]
owner = "connection"
keyed_by = "us"
type = "event"
signatures = [{ header = "X-Acme" }]
kinds = [{ type = "contact.*", stream = "contacts", ids = ["contact.id"], document = "contact" }]
"""


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"event": "contact.x", "contact": ' + '{"a":' * 60 + "1" + "}" * 60 + "}",
        '{"event": "' + "x" * 100_000 + '", "contact": {"id": 1}}',
        '{"headers": {"X-Acme": 1}, "body": "x"}',
        '{"headers": {}, "body": "{}", "secret": "s", "at": 1e400}',
        '{"headers": {"X-Acme": "x"}, "body": "' + "x" * 100_000 + '", "secret": "s"}',
        "[" + ",".join(['{"event": "contact.x", "contact": {"id": 1}}'] * 20_000) + "]",
        '"text"',
        "",
    ],
)
async def test_captured_events_made_to_hurt_are_words(folder: Path, text: str) -> None:
    """They are no fixtures of a stream; what is wrong with one keeps its rule from being done, or all."""
    edited(folder, ("[[recipes]]", f"{HOOKS}\n[[recipes]]"))
    (folder / "fixtures" / "events").mkdir()
    (folder / "fixtures" / "events" / "one.json").write_text(text)
    found = await examine("acme", read(pack(folder)))
    assert found.graded is not None
    rules = {one.rule: one for one in found.graded.rules}
    assert rules["events"].standing == "todo", rules["events"]
    assert "one.json" in rules["events"].detail
    assert len(rules["events"].detail) < 2000


async def test_the_examining_process_sees_nothing_of_ours(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No environment, and of a folder the package's own data alone."""
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", "postgresql://secret@nowhere/x")
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "x.py"))
    given: dict[str, object] = {}
    real = asyncio.create_subprocess_exec

    async def looked(*command: str, **options: object) -> object:
        given.update(options, command=command)
        given["files"] = files_in(str(options["cwd"]))
        return await real(*command, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("asyncio.create_subprocess_exec", looked)
    (folder / "simulator.py").write_text("raise SystemExit")
    await examine("acme", read(pack(folder)))
    assert given["env"] == {}
    assert "-I" in given["command"]  # type: ignore[operator]
    assert given["start_new_session"] is True
    assert given["files"] == ["accounts.json", "contacts.json", "manifest.toml"]
    assert files_in(str(given["cwd"])) == []
    assert os.environ["TRUNKLINE_DATABASE_URL"]


# -- where a manifest's templates can lead ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    [
        *("evil.example/", "evil.example/#", "evil.example?", "a.b", "a@evil", "evil.example\\", "127", "-"),
        *("xn--e1afmkfd", "ACME", "", "a b", "a\nb", "%65vil", "\uff45vil", "acme.", "localhost:80", "[::1]"),
    ],
)
def test_no_value_of_a_customers_leads_elsewhere(acme: Manifest, typed: str) -> None:
    endpoints = Endpoints(Settings())
    try:
        url = endpoints.url(acme, "/api/v1/me", {"subdomain": typed})
    except EgressRefusedError:
        return
    assert host_of(url).endswith(".acme.example")
    assert host_of(url).count(".") == 2


@pytest.mark.parametrize(
    "path",
    [
        *("//evil.example/x", "/../../x", "/@evil.example/", "/\\evil.example", "/%2e%2e//evil.example"),
        *("https://evil.example/x", "http://evil.example/x", "evil.example", "@evil.example/", ""),
        *("{cursor}", "/{cursor}", "//{cursor}/x", "https://{cursor}/x", "https://{cursor}.acme.example/x"),
    ],
)
def test_no_path_of_a_manifest_leads_elsewhere(acme: Manifest, path: str) -> None:
    """Neither by itself nor by what a provider's cursor puts into it."""
    endpoints = Endpoints(Settings())
    for cursor in ("evil.example", "/evil.example", "..", "a@evil.example", "\\evil"):
        values = {"subdomain": "globex", "cursor": cursor}
        try:
            url = endpoints.url(acme, path, values)
            host = host_of(url)
        except EgressRefusedError:
            continue
        assert host == "globex.acme.example" or not admits(endpoints.hosts(acme, values), host)


@pytest.mark.parametrize(
    "address",
    [
        *("//evil.example/x", "https://evil.example/x", "http://globex.acme.example/x", "\\\\evil.example"),
        *("https://globex.acme.example@evil.example/", "https://globex.acme.example.evil.example/"),
        *("javascript:alert(1)", "file:///etc/passwd", "https://globex.acme.example:8443/x", "x" * 9000),
    ],
)
def test_no_answer_of_a_provider_leads_elsewhere(acme: Manifest, address: str) -> None:
    """A link to the next page, as the partner's own server could send it."""
    endpoints = Endpoints(Settings())
    found = endpoints.within(acme, address, "/api/v1/contacts", {"subdomain": "globex"})
    if found is not None:
        assert host_of(endpoints.join(acme, found, {"subdomain": "globex"})) == "globex.acme.example"


@pytest.mark.parametrize(
    "base", ["https://evil.example", "http://globex.acme.example", "https://a.b@evil.example"]
)
def test_no_base_address_outside_of_the_hosts(acme: Manifest, base: str) -> None:
    endpoints = Endpoints(Settings())
    with pytest.raises(EgressRefusedError):
        endpoints.url(msgspec.structs.replace(acme, base_url=base), "/x", {"subdomain": "globex"})
