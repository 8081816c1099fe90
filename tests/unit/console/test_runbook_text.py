"""Runbooks as markup."""

import pytest

from trunkline.resilience.failures import failures
from trunkline_ui.console.common import ACTIONS, OWNERS, cause_of
from trunkline_ui.console.runbook_text import read_markdown, runbook_text


@pytest.mark.parametrize("code", sorted(failures()))
def test_every_runbook_has_a_title_and_sections(code: str) -> None:
    found = runbook_text(code)
    assert found.title
    assert not found.title.startswith("#")
    assert "<h1" not in found.body
    for section in ("What it means.", "How to confirm", "What to do", "When it resolves itself."):
        assert f"<strong>{section}</strong>" in found.body


def test_markup_stays_text_and_no_link_becomes_a_script() -> None:
    found = read_markdown(
        "# A <b>title</b>\n\n<script>alert(1)</script> <img src=x onerror=alert(1)>\n\n"
        "[a](javascript:alert(1)) [b](data:text/html,x) ![p](https://elsewhere.example/x.png)\n"
    )
    assert found.title == "A <b>title</b>"
    for unwanted in ("<script", "<img", 'href="javascript', 'href="data'):
        assert unwanted not in found.body


def test_titles_tell_causes_apart() -> None:
    titles = [runbook_text(code).title for code in failures()]
    assert len(set(titles)) == len(titles)


def test_every_action_and_owner_has_words() -> None:
    for code, row in failures().items():
        found = cause_of(code)
        assert found.action == ACTIONS[row.action]
        assert found.owner == OWNERS[row.owner][0]
    assert cause_of("never heard of").failure.code == "unclassified"
