"""Names that people give: every script and emoji, one line, nothing that turns the page round."""

import pytest

from trunkline.kernel.errors import BadInputError
from trunkline.kernel.naming import clean_name, fault


@pytest.mark.parametrize(
    "name",
    [
        "Zoë’s shop",
        "山田",
        "می\u200cخواهم",
        "مرحبا",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 family",
        "<b>",
    ],
)
def test_what_people_write_is_a_name(name):
    assert clean_name(name) == name


def test_blanks_are_single():
    assert clean_name("  Our \n shop ") == "Our shop"


@pytest.mark.parametrize("name", ["", "   ", "\u200d", "x" * 101])
def test_too_short_or_too_long_is_said(name):
    with pytest.raises(BadInputError, match="1 to 100 characters") as caught:
        clean_name(name)
    assert caught.value.field == "name"


@pytest.mark.parametrize("name", ["a\0b", "\u202emoc.elgoog", "a\u200bb", "\ud83d"])
def test_what_cannot_be_shown_is_said_to_be_that(name):
    assert "cannot be shown" in fault(name, 100)
