import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.recipes.expression import problem, references, source_fields


@pytest.mark.parametrize(
    ("text", "names", "whole", "source"),
    [
        ("record.email", {"email"}, False, False),
        ("record . email\n .trim()", {"email"}, False, False),
        ("record.?email.orValue('')", {"email"}, False, False),
        (
            "record[\"first name\"] + record['b'] + record[?'c'].orValue('')",
            {"first name", "b", "c"},
            False,
            False,
        ),
        ("record.size()", set(), True, False),
        ("record.email.size() + record.size()", {"email"}, True, False),
        ("record[source.key]", set(), True, True),
        ("'record.email' + \"source.x\"", set(), False, False),
        ("1 // record.email\n + 2", set(), False, False),
        ("'it\\'s record.a' + record.b", {"b"}, False, False),
        (".record.x", set(), True, False),
        ("r'\\' + record.x", set(), True, True),
        ("'''a''' + record.x", set(), True, True),
        ("record.`odd name`", set(), True, False),
        ("source.properties.email", set(), False, True),
        ("my_record.x + recorder.y", set(), False, False),
        ("{'record': record.a}", {"a"}, False, False),
        ("record.a == \"R\" && record.b != 'x r'", {"a", "b"}, False, False),
        ("", set(), False, False),
    ],
)
def test_what_an_expression_reads(text, names, whole, source):
    found = references(text)
    if not whole:
        assert found.record == names
    assert found.whole_record is whole
    assert found.source is source


@given(st.text(alphabet="record.source[]'\"?/\\ \n()ab", max_size=60))
def test_reading_never_crashes_and_a_bare_word_is_never_missed(text):
    references(text)
    problem(text)
    found = references(f"1 + record.size() + {text}")
    assert found.whole_record


def test_the_fields_asked_of_a_provider_through_source():
    assert source_fields(
        "source.properties.a + source.?properties.?b.orValue('') + 'source.properties.c'"
    ) == {"a", "b"}
    assert source_fields("source.properties.size()") == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Enter"),
        ("  \n", "Enter"),
        ("a" * 4097, "4,097 bytes; at most 4,096"),
        ("'" + "é" * 2048 + "'", "4,098 bytes"),
        ("'a\x00b'", "NUL"),
        ("record.map(k, record[k])", "different order"),
        ("source . properties . filter(k, true).size()", "different order"),
    ],
)
def test_what_is_refused_before_it_is_compiled(text, words):
    assert words in problem(text)


def test_the_longest_expression_passes():
    assert problem("'" + "a" * 4094 + "'") is None
    assert problem("record.list.map(x, x) + 'record.map('.size()") is None
