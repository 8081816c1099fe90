from trunkline.sdk.templates import fill_body, fill_path, fill_query, fill_text


def test_a_whole_string_in_braces_is_replaced_as_it_is_and_in_longer_text_as_text() -> None:
    template = {"a": "{x}", "b": "see {x}", "c": [{"d": "{y}"}, 3], "e": "{x} of {y}", "f": "{}", "g": "{X}"}
    assert fill_body(template, {"x": 1, "y": None}) == {
        "a": 1,
        "b": "see 1",
        "c": [3],
        "f": "{}",
        "g": "{X}",
    }


def test_a_list_inside_text_holds_nothing_but_names() -> None:
    given = {"properties": ["Id", "Owner.Name", "Name FROM Account--", "a,b"]}
    assert fill_text("SELECT {properties} FROM X", given) == "SELECT Id,Owner.Name FROM X"


def test_a_value_in_a_path_adds_no_segment_and_no_query() -> None:
    assert fill_path("/a/{x}/b", {"x": "../c?d#e f"}) == "/a/..%2Fc%3Fd%23e%20f/b"
    assert fill_path("/a/{x}", {}) is None


def test_a_name_with_brackets_keeps_its_list() -> None:
    assert fill_query({"types[]": "{t}", "n": "{t}"}, {"t": ["a", "b"]}) == {
        "types[]": ["a", "b"],
        "n": "a,b",
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
