"""Pointers into JSON documents."""

import pytest

from trunkline.sdk.pointers import point, pointing

DOCUMENTS = [
    {"id": "1", "properties": {"at": "x", "deep": {"er": 2}}, "": {"": 3}, "0": "zero"},
    {"properties": None},
    {"properties": ["a", {"at": "y"}]},
    {"properties": "text"},
    [{"at": 1}, "b"],
    "text",
    None,
    7,
]


@pytest.mark.parametrize(
    "pointer",
    [
        "",
        "id",
        "0",
        "0.at",
        "properties.at",
        "properties.1",
        "properties.1.at",
        "properties.deep.er",
        ".",
        "x.y",
    ],
)
def test_what_is_prepared_finds_what_is_followed_at_once(pointer: str) -> None:
    find = pointing(pointer)
    assert [find(one) for one in DOCUMENTS] == [point(one, pointer) for one in DOCUMENTS]
