"""The page of API versions: what ends first is on top, and words say what colours do."""

from datetime import date, timedelta

import msgspec
import pytest

from trunkline.packages.repository import InUse
from trunkline.sdk.manifest import Api
from trunkline_connectors.catalogue import manifests
from trunkline_ui.console.api_versions import lines, standing

TODAY = date(2026, 11, 26)


@pytest.mark.parametrize(
    ("days", "words", "tone"),
    [
        (-2, "Ended 2 days ago", "danger"),
        (0, "Urgent: 0 days left", "danger"),
        (1, "Urgent: 1 day left", "danger"),
        (30, "Urgent: 30 days left", "danger"),
        (31, "Soon: 31 days left", "warning"),
        (180, "Soon: 180 days left", "warning"),
        (181, "181 days left", "success"),
    ],
)
def test_the_days_to_an_end(days: int, words: str, tone: str) -> None:
    assert standing(Api(version="v1", ends=TODAY + timedelta(days=days)), TODAY) == (words, tone)


def test_where_no_end_is_known() -> None:
    looked = Api(version="v1", source="changelog", no_end_announced=TODAY)
    assert standing(looked, TODAY) == ("No end announced", "success")
    assert standing(looked, TODAY + timedelta(days=366)) == ("No end announced; look again", "warning")
    assert standing(Api(version="v1"), TODAY) == ("End not looked up", "warning")
    assert standing(None, TODAY) == ("Version unknown", "warning")


def test_every_connector_has_a_line_and_what_ends_first_is_on_top() -> None:
    own = manifests()
    partner = msgspec.structs.replace(
        own[0], name="acme", label="Acme", version="0.1.0", api=Api(version="v9", ends=TODAY)
    )
    later = msgspec.structs.replace(partner, version="0.2.0", api=Api(version="v10", ends=date(2099, 1, 1)))
    used = [
        InUse("hubspot", None, False, 3),
        InUse("hubspot", None, True, 9),
        InUse("acme", "0.1.0", False, 2),
        InUse("acme", "0.2.0", False, 1),
    ]
    found = lines(own, [later, partner], used, TODAY)
    assert {one.connector for one in found} == {one.name for one in own} | {"acme"}
    assert (found[0].version, found[0].connections) == ("0.1.0", 2)
    days = [one.days for one in found if one.days is not None]
    assert days == sorted(days)
    assert next(one.connections for one in found if one.connector == "hubspot") == 3
    assert all(one.words for one in found)
