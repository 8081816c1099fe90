"""Recorded answers of HubSpot, read as the engine reads them: nothing is lost."""

import json
from pathlib import Path

import pytest

from trunkline.kernel import strictjson
from trunkline.runs.documents import page_of
from trunkline.sdk.manifest import point
from trunkline.sdk.paging import Seen, Turn, turn
from trunkline_connectors.catalogue import manifests

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "hubspot"
FILES = sorted(FIXTURES.rglob("*.json"))
HUBSPOT = next(manifest for manifest in manifests() if manifest.name == "hubspot")
PAGES = {"mock_companies_data.json": "companies", "mock_tickets_data.json": "tickets"}

pytestmark = pytest.mark.skipif(not FILES, reason="the shared fixtures are not beside this checkout")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_recording_survives_what_the_engine_does_to_a_document(path: Path) -> None:
    raw = path.read_bytes()
    assert json.loads(strictjson.canonical(strictjson.decode(raw))) == json.loads(raw)


@pytest.mark.parametrize("name", PAGES)
def test_recorded_lists_are_pages_of_their_streams(name: str) -> None:
    (path,) = [path for path in FILES if path.name == name]
    body = json.loads(path.read_bytes())
    spec = HUBSPOT.stream(PAGES[name])
    assert spec is not None
    page = page_of(spec, spec.list, body, None, Turn(None))
    assert [one.document for one in page.items] == body["results"]
    assert page.items
    for one in page.items:
        assert isinstance(point(one.document, spec.values), dict)
        assert one.modified_at is not None
    seen = Seen(body=body, headers={}, entries=body["results"], here=None, stay=lambda _: None)
    assert turn(spec.list, seen).next == point(body, "paging.next.after")


def test_recorded_properties_are_fields() -> None:
    (path,) = [path for path in FILES if path.name == "mock_contacts_properties.json"]
    body = json.loads(path.read_bytes())
    spec = HUBSPOT.streams[0].discovery
    assert spec is not None
    listed = point(body, spec.records)
    assert listed
    assert all(isinstance(point(entry, spec.name), str) for entry in listed)
