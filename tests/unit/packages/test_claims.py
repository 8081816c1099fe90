"""Names, labels and hosts that are somebody else's are not to be had."""

import msgspec
import pytest

from trunkline.kernel.errors import BadInputError
from trunkline.kit.scaffolding import scaffold
from trunkline.packages.claims import Claimed, check_claims
from trunkline.sdk.manifest import Manifest, load_manifest
from trunkline_connectors.catalogue import manifests

put = msgspec.structs.replace
OURS = [Claimed(one, None) for one in manifests()]


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    into = tmp_path_factory.mktemp("acme")
    scaffold("acme", into)
    return load_manifest(into / "acme" / "manifest.toml")


def test_a_connector_of_its_own_is_fine(acme: Manifest) -> None:
    check_claims(acme, "Acme Ltd", [*OURS, Claimed(acme, "acme ltd")])


@pytest.mark.parametrize("name", [one.manifest.name for one in OURS])
def test_no_name_label_or_host_of_ours(acme: Manifest, name: str) -> None:
    own = next(one.manifest for one in OURS if one.manifest.name == name)
    with pytest.raises(BadInputError, match="is a connector of ours"):
        check_claims(put(acme, name=name), "Acme Ltd", OURS)
    with pytest.raises(BadInputError, match="It calls itself"):
        check_claims(put(acme, label=f" {own.label.upper()}!"), "Acme Ltd", OURS)
    for host in own.hosts:
        with pytest.raises(BadInputError, match="which belongs to"):
            check_claims(put(acme, hosts=(host.upper(),)), "Acme Ltd", OURS)


@pytest.mark.parametrize(
    ("host", "theirs"),
    [
        ("globex.acme.example", "{subdomain}.acme.example"),
        ("{anything}.acme.example", "{subdomain}.acme.example"),
        ("{x}.acme.example:8443", "api.acme.example"),
        ("api.acme.example", "API.acme.example:443"),
    ],
)
def test_no_host_that_could_be_another_partners(acme: Manifest, host: str, theirs: str) -> None:
    other = put(acme, name="other", label="Other", hosts=(host,), base_url="https://api.other.example")
    held = Claimed(put(acme, hosts=(theirs,), base_url="{origin}"), "Acme Ltd")
    with pytest.raises(BadInputError, match=r"It names .*, which belongs to Acme"):
        check_claims(other, "Other Ltd", [held])
    check_claims(other, "ACME, Ltd", [held])


def test_no_sign_in_is_borrowed(acme: Manifest) -> None:
    """A page of another's would ask the customer for consent in this connector's name."""
    hubspot = next(one.manifest for one in OURS if one.manifest.name == "hubspot")
    with pytest.raises(BadInputError, match="which belongs to HubSpot"):
        check_claims(put(acme, auth=hubspot.auth), "Acme Ltd", OURS)


@pytest.mark.parametrize("name", ["custom", "healthz", "a", "Acme", "_static", "../x", "acme@1", "a" * 60])
def test_names_that_mean_something_else(acme: Manifest, name: str) -> None:
    with pytest.raises(BadInputError, match="is no name for a connector"):
        check_claims(put(acme, name=name), "Acme Ltd", OURS)
