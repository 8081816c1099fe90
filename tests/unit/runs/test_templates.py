from trunkline.sdk.templates import fill_body, fill_query


def test_only_a_whole_string_in_braces_is_replaced() -> None:
    assert fill_body({"a": "{x}", "b": "see {x}", "c": [{"d": "{y}"}, 3]}, {"x": 1, "y": None}) == {
        "a": 1,
        "b": "see {x}",
        "c": [{}, 3],
    }


def test_a_query_is_text_and_drops_what_is_absent() -> None:
    given = {"limit": "{page_size}", "after": "{cursor}", "properties": "{properties}", "archived": True}
    assert fill_query(given, {"page_size": 100, "properties": ["a", "b"]}) == {
        "limit": "100",
        "properties": "a,b",
        "archived": "true",
    }


def test_a_value_is_never_read_as_a_template() -> None:
    assert fill_body({"a": "{x}"}, {"x": "{y}", "y": "secret"}) == {"a": "{y}"}
