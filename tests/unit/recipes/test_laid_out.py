"""Where a manifest says that the fields lie, recipes find them."""

from trunkline.recipes.document import discover_fields, flatten, laid_out, lookup

DOCUMENT = {"ticket": {"number": 7, "attributes": {"subject": "Printer", "state": "open"}}, "links": {}}


def test_fields_that_lie_deeper_are_fields() -> None:
    seen = laid_out(DOCUMENT, "ticket.attributes")
    assert lookup(seen)("subject") == flatten(seen)["subject"] == "Printer"
    assert flatten(seen)["ticket"]["number"] == 7
    assert "state" in {one.name for one in discover_fields([seen])}
    assert "properties" not in DOCUMENT


def test_documents_that_need_nothing_are_themselves() -> None:
    for values in ("", "properties", "nowhere", "ticket.number"):
        assert laid_out(DOCUMENT, values) is DOCUMENT
    lifted = {"id": 1, "properties": {"email": "a"}}
    assert laid_out(lifted, "properties") is lifted
