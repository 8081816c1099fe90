"""A look at an account by its own credentials: what it proves, what it leaves alone, what it says that is wrong."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from trunkline.kernel.settings import Settings
from trunkline.kit import live
from trunkline.kit.copying import short
from trunkline.kit.harness import SANDBOX, Clock, Harness
from trunkline.kit.live import Credentials, CredentialsError, Paced, Wall, look, read_credentials
from trunkline.kit.package import open_package
from trunkline.kit.scaffolding import scaffold
from trunkline.kit.suite import Result
from trunkline.main import cli, packages
from trunkline.sdk.credentials import VALUES
from trunkline.sdk.manifest import ApiKey, Basic, Manifest, Rate

OURS = {one.manifest.name: one for one in packages()}

SIZES = {"zendesk": 50}
"""Of a page, so that no limit is met: its exports take ten calls a minute."""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SHARE", 0)
    monkeypatch.setattr(Clock, "now", Wall.now)


class Account:
    """One at a connector's simulator, and what its owner knows."""

    def __init__(self, manifest: Manifest, make: Any, place: int = 0) -> None:
        self.manifest = short(manifest, SIZES.get(manifest.name, 15))
        self.harness = Harness(self.manifest, make)
        self.account = self.harness.simulator.accounts[place]

    async def credentials(self) -> Credentials:
        grant = (await self.harness.connect(self.account)).grant
        values = grant.held.config[VALUES]
        if isinstance(grant.way, ApiKey | Basic):
            secrets = msgspec.json.decode(grant.held.value, type=dict[str, str])
            return Credentials(inputs={**values, **secrets})
        return Credentials(access_token=grant.held.value, values=values)

    async def looked(self, given: Credentials, pages: int = 40) -> dict[str, Result]:
        settings = Settings(sandbox_url=SANDBOX)
        found = await look(self.manifest, given, settings, pages=pages, pool=self.harness._egress._pool)
        return {one.rule: one for one in found}


@pytest.mark.parametrize("name", OURS)
async def test_each_of_ours_is_read_and_nothing_is_written(name: str) -> None:
    account = Account(OURS[name].manifest, OURS[name].simulator(), 1)
    given = await account.credentials()
    before = len(account.harness.simulator.store.ledger)
    found = await account.looked(given)
    assert [f"{one.rule}: {one.detail}" for one in found.values() if one.state == "failed"] == []
    assert found["identify"].detail.startswith("account ")
    # Salesforce says itself how much a page holds, and these have less
    assert found["resume"].state == ("exempt" if name == "salesforce" else "passed")
    assert found["incremental"].state == "passed"
    assert found["revoked"].detail.startswith("found out as ")
    for spec in account.manifest.streams:
        truth = account.harness.simulator.truth(account.account.id, spec.name)
        if truth is not None:
            assert f"{spec.name} {len(truth)} in " in found["read"].detail
    assert len(account.harness.simulator.store.ledger) == before


@pytest.fixture
def acme(tmp_path: Path) -> Account:
    scaffold("acme", tmp_path)
    package = open_package(tmp_path / "acme")
    return Account(package.manifest, package.simulator())


async def test_what_is_not_true_of_the_account_is_said(acme: Account) -> None:
    given = await acme.credentials()
    spec = acme.manifest.streams[0]
    more = msgspec.structs.replace(spec.fields[0], name="shoe_size")
    promised = msgspec.structs.replace(spec, fields=(*spec.fields, more))
    acme.manifest = msgspec.structs.replace(acme.manifest, streams=(promised,))
    found = await acme.looked(given)
    assert found["read"].state == "failed"
    assert found["read"].detail.endswith("No record has contacts.shoe_size.")


async def test_a_long_list_is_left_where_it_is(acme: Account) -> None:
    found = await acme.looked(await acme.credentials(), pages=1)
    assert found["read"].detail == "contacts 15 in 1 page and more"
    assert found["resume"].state == found["incremental"].state == "exempt"


async def test_without_access_the_rest_does_not_apply(acme: Account) -> None:
    given = await acme.credentials()
    wrong = msgspec.structs.replace(given, inputs={**given.inputs, "api_key": "never-one-of-theirs"})
    found = await acme.looked(wrong)
    assert {name: one.state for name, one in found.items()} == {
        "identify": "failed",
        **dict.fromkeys(("discover", "read", "resume", "incremental", "revoked"), "exempt"),
    }
    assert not any("never-one" in one.detail for one in found.values())
    missing = await acme.looked(Credentials(inputs={"subdomain": "globex"}))
    assert "api_key is not given" in missing["identify"].detail


def test_credentials_that_cannot_be_used_are_never_repeated(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    for text, words in (
        ('{"inputs": {"api_key": 7531}}', "Expected `str`"),
        ('{"key": "s3cret"}', "unknown field"),
        ("s3cret", "no JSON"),
    ):
        path.write_text(text)
        with pytest.raises(CredentialsError) as raised:
            read_credentials(path)
        assert words in str(raised.value)
        assert "s3cret" not in str(raised.value)
        assert "7531" not in str(raised.value)
    with pytest.raises(CredentialsError, match="No such file"):
        read_credentials(tmp_path / "none.json")
    assert "s3cret" not in repr(Credentials(access_token="s3cret", inputs={"api_key": "s3cret"}))


async def test_half_of_a_limit_is_left_to_whoever_owns_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SHARE", 2)
    waited: list[float] = []

    class Still(Wall):
        async def sleep(self, seconds: float) -> None:
            waited.append(round(seconds))

    rates = (Rate(bucket="default", requests=10, seconds=100), Rate(bucket="search", requests=1, seconds=30))
    paced = Paced(rates, Still())
    for _ in range(3):
        assert (await paced.acquire(None)).wait == 0  # type: ignore[arg-type]
    assert waited == [0, 60, 120]
    assert issubclass(Still, Clock)


def test_the_command_takes_one_connector_and_its_account(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    path.write_text(json.dumps({"inputs": {}}))
    said = CliRunner().invoke(cli, ["connector", "test", "hubspot", "stripe", "--account", str(path)])
    assert said.exit_code == 1
    assert "name that alone" in said.output
    said = CliRunner().invoke(cli, ["connector", "test", "hubspot", "--account", str(tmp_path / "none")])
    assert said.exit_code == 1
    assert "No such file" in said.output
    said = CliRunner().invoke(cli, ["connector", "test", "stripe", "--account", str(path)])
    assert said.exit_code == 1
    assert "FAIL  The credentials give access" in said.output
