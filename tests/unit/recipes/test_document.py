from trunkline.recipes.document import discover_fields, flatten

HUBSPOT = {
    "id": "1",
    "properties": {"email": "a@x.org", "id": "inner", "phone": None},
    "createdAt": "2024-05-01T10:00:00Z",
    "archived": False,
}


def test_properties_are_lifted_beside_the_top_level_which_wins():
    assert flatten(HUBSPOT) == {
        "id": "1",
        "email": "a@x.org",
        "phone": None,
        "createdAt": "2024-05-01T10:00:00Z",
        "archived": False,
    }


def test_a_document_without_a_map_of_properties_is_its_own_record():
    assert flatten({"a": 1, "properties": "text"}) == {"a": 1, "properties": "text"}


def test_the_picker_shows_the_first_example_that_is_not_empty():
    fields = discover_fields(
        [HUBSPOT, {"id": "2", "properties": {"phone": "+49 1", "note": "x" * 200, "n": 5}}]
    )
    by_name = {field.name: field for field in fields}
    assert list(by_name) == sorted(by_name)
    assert by_name["phone"].example == "+49 1"
    assert by_name["id"].example == "1"
    assert by_name["n"].type == "integer"
    assert by_name["archived"].type == "boolean"
    assert by_name["archived"].example == "false"
    assert len(by_name["note"].example) == 80
