"""The conformance suite finds what is wrong with a manifest, and nothing where nothing is."""

from typing import Any

import msgspec
import pytest

from trunkline.kit.suite import run
from trunkline.sdk.manifest import FailureRule, Manifest
from trunkline.sdk.streams import Cursor
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_seed import PORTALS

HUBSPOT = next(one for one in manifests() if one.name == "hubspot")
replace = msgspec.structs.replace


def small(**given: Any) -> HubSpotSimulator:
    return HubSpotSimulator(portals=PORTALS[1:], **given)


def changed(**members: Any) -> Manifest:
    """With the contacts alone, changed."""
    (contacts, *_) = HUBSPOT.streams
    return replace(HUBSPOT, streams=(replace(contacts, **members),), recipes=())


async def test_a_sound_connector_passes_every_rule() -> None:
    results = await run(HUBSPOT, small)
    assert {one.rule for one in results} >= {"authorise", "resume", "deletions", "malformed_answers"}
    exempt = "registration: the manifest registers no address"  # an app's developer enters it
    assert [f"{one.rule}: {one.detail}" for one in results if one.state != "passed"] == [exempt]


(LIST, INCREMENTAL) = (HUBSPOT.streams[0].list, HUBSPOT.streams[0].incremental)
assert INCREMENTAL is not None
BODY = INCREMENTAL.body or {}
NEW_ONLY = {"filters": [{"propertyName": "createdate", "operator": "GTE", "value": "{since_ms}"}]}


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("page_to_the_end", changed(list=replace(LIST, paginator=Cursor(next="paging.after")))),
        ("read", changed(id="no.such.member")),
        ("read", changed(list=replace(LIST, records="rows"))),
        ("discover", changed(discovery=replace(HUBSPOT.streams[0].discovery, records="rows"))),
        ("incremental", changed(incremental=replace(INCREMENTAL, body={**BODY, "filterGroups": [NEW_ONLY]}))),
        ("deletions", changed(deletions=(replace(HUBSPOT.streams[0].deletions[0], query={}),))),
        ("identify", replace(HUBSPOT, account=replace(HUBSPOT.account, id="accountType"))),
        ("rate_limit", replace(HUBSPOT, rates=())),
        (
            "status_classes",
            replace(HUBSPOT, failures=(FailureRule(status=429, failure="bad_request"),)),
        ),
        ("malformed_answers", changed(list=replace(LIST, records="results.0"))),
    ],
)
async def test_what_is_wrong_fails_its_rule(rule: str, broken: Manifest) -> None:
    (found,) = await run(broken, small, only=[rule])
    assert found.state == "failed", found
    assert found.detail
