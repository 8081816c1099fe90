"""A cell of the CSV is no formula, in whatever a spreadsheet takes for one; and it is otherwise as it was."""

import csv
import io
import re
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.audit.export import HEADING, _written, cell, row
from trunkline.audit.repository import Entry

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"
TEXTS = st.one_of(st.text(), st.text(alphabet=[*SIGNS, *" \t\r\n;,\"'|a1"]))


@given(TEXTS)
@example("=1+1")
@example("  @SUM(A1)")
@example('"=1+1')
@example("\t=1")
@example("harmless;=cmd|' /C calc'!A0")
@example("two\n=lines")
@example("\uff1d1+1")
def test_no_cell_begins_a_formula_whatever_separates_cells(text: str) -> None:
    made = cell(text)
    for part in re.split(r"[;,\t\r\n]", made):
        assert part.replace('"', " ").strip()[:1] not in set(SIGNS)
    assert made[:1] not in {"\t", "\r", "\n"}
    assert made.replace("'", "") == text.replace("'", "")


@given(TEXTS, TEXTS)
def test_what_is_written_is_read_back_cell_by_cell(first: str, second: str) -> None:
    texts = [cell(first), cell(second)]
    [read] = csv.reader(io.StringIO(_written([texts]), newline=""))
    assert read == texts


def test_harmless_text_stays_as_it_is() -> None:
    for text in ("Ada Byron", "a-b", "1 + 1", "mail@example.com", '{"every":60}', "", "2026-11-25 10:00:00"):
        assert cell(text) == text


@given(TEXTS)
def test_each_field_of_an_entry_is_escaped(text: str) -> None:
    at, hostile = datetime(2026, 11, 25, tzinfo=UTC), {text: text}
    entry = Entry(
        7, at, text, text, text, text, hostile, hostile, hostile,
        actor_id=text, actor=text, reason=text, address=text,
    )  # fmt: skip
    made = row(entry)
    assert len(made) == len(HEADING)
    assert made[:2] == ["7", "2026-11-25 00:00:00"]
    assert all(cell(one) == one for one in made[2:])
