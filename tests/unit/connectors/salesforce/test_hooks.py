"""A query job's rows become the documents that a query's own pages have."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sdk.hooks import Asked, Given, HookAnswerError, Later, Refused, Reply, Request
from trunkline.sdk.streams import Discovery
from trunkline_connectors.salesforce.hooks import HOOKS, Place, documents_of
from trunkline_connectors.salesforce.simulator_bulk import Job, _csv
from trunkline_connectors.salesforce.simulator_org import document, moment_text
from trunkline_connectors.salesforce.simulator_schema import (
    ACCOUNT,
    CONTACT,
    FIELDS,
    OPPORTUNITY,
    SOBJECTS,
    describe,
    public_id,
)

HOOK = HOOKS["bulk_query"]
JOB = "750000000000001AAA"
FEW = ["Id", "LastName", "IsDeleted"]
PLACE = Place(JOB, "Contact", "63.0", "ssb", 1)
LETTERS = {"boolean": "b", "int": "n", "double": "n", "currency": "n", "datetime": "t"}
_moments = st.datetimes(datetime(1970, 1, 1), datetime(2400, 1, 1)).map(
    lambda one: moment_text(one.replace(tzinfo=UTC))
)
_values: dict[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "int": st.none() | st.integers(-(2**31), 2**31),
    "double": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "currency": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "datetime": _moments,
}
_text = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@st.composite
def _rows(draw: Any) -> tuple[str, list[dict[str, Any]]]:
    kind = draw(st.sampled_from([CONTACT, ACCOUNT, OPPORTUNITY]))
    rows = [
        {
            **{name: draw(_values.get(field.type, _text)) for name, field in FIELDS[kind].items()},
            "Id": public_id(kind, str(number)),
        }
        for number in range(draw(st.integers(0, 3)))
    ]
    return kind, rows


def job(kind: str, names: list[str], rows: list[dict[str, Any]]) -> Job:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Job(JOB, "org", "query", kind, names, rows, "COMMA", "LF", moment)


@given(_rows())
def test_rows_are_what_a_querys_pages_say_of_the_same_records(made: tuple[str, list[dict[str, Any]]]) -> None:
    kind, rows = made
    names = list(FIELDS[kind])
    kinds = "".join(LETTERS.get(FIELDS[kind][name].type, "s") for name in names)
    place = Place(JOB, SOBJECTS[kind], "63.0", kinds)
    found = documents_of(_csv(job(kind, names, rows), rows).encode(), names, place)
    assert msgspec.json.decode(msgspec.json.encode(found)) == [document(kind, row, names) for row in rows]


@given(st.binary(max_size=200))
def test_no_bytes_break_it(content: bytes) -> None:
    try:
        found = documents_of(content, FEW, PLACE)
    except HookAnswerError:
        return
    assert all(set(one) == {*FEW, "attributes"} for one in found)


GOOD = '"Id","LastName","IsDeleted"\n"003000000000001AAA","Kit","false"\n'


def test_columns_may_come_in_another_order() -> None:
    content = b'"IsDeleted","LastName","Id"\n"true","=1+1","003000000000001AAA"\n'
    [found] = documents_of(content, FEW, PLACE)
    assert (found["IsDeleted"], found["LastName"], found["Id"]) == (True, "=1+1", "003000000000001AAA")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'[{"errorCode":"UNKNOWN_EXCEPTION","message":"An unexpected error occurred"}]',
        GOOD.replace("LastName", "Email").encode(),
        GOOD.replace('"LastName",', "").encode(),
        GOOD.replace('"Kit"', '"Kit","more"').encode(),
        GOOD.replace('"Kit",', "").encode(),
        GOOD.replace('"false"', '"no"').encode(),
        GOOD.replace("003000000000001AAA", "").encode(),
        GOOD.replace("003000000000001AAA", "003/../1").encode(),
        GOOD.replace('"false"\n', '"fal').encode(),
        GOOD.replace('"Kit"', '"Kit"x').encode(),
        GOOD.encode("utf-16"),
    ],
)
def test_what_is_odd_is_refused_whole(content: bytes) -> None:
    assert len(documents_of(GOOD.encode(), FEW, PLACE)) == 1
    with pytest.raises(HookAnswerError):
        documents_of(content, FEW, PLACE)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("n", "1,5"), ("n", "NaN"), ("n", "1}"), ("n", "0x10"), ("n", " 1"), ("t", "2026-01-01"), ("t", "now")],
)
def test_values_of_another_kind_are_refused(kind: str, text: str) -> None:
    place = msgspec.structs.replace(PLACE, kinds=f"s{kind}b")
    with pytest.raises(HookAnswerError):
        documents_of(GOOD.replace("Kit", text).encode(), FEW, place)


class Org:
    """Answers in turn; `asked`: what it was asked for."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Reply:
        self.asked.append(request)
        found = self.replies.pop(0)
        return found if isinstance(found, Reply) else Reply(found, {})


def asked(*fields: str) -> Asked:
    query = {"q": f"SELECT {','.join(fields)} FROM Contact"}
    return Asked(query=query, fields=fields, discovery=Discovery(path="/describe", records="fields"))


CREATED = {"id": JOB, "object": "Contact", "apiVersion": 63.0, "state": "UploadComplete"}


async def test_a_job_is_made_of_the_lists_own_query() -> None:
    org = Org(describe(CONTACT), CREATED)
    cursor = await HOOK.begin(org, asked("Id", "Plan__c", "SystemModstamp"))
    assert isinstance(cursor, str)
    assert msgspec.json.decode(cursor, type=Place) == Place(JOB, "Contact", "63.0", "sst")
    assert org.asked[1].given == {"q": "SELECT Id,Plan__c,SystemModstamp FROM Contact"}


async def test_fields_that_no_csv_has_are_read_by_pages() -> None:
    described = {"fields": [{"name": "Id", "type": "id"}, {"name": "MailingAddress", "type": "address"}]}
    for field in ("MailingAddress", "Owner.Name"):
        org = Org(described)
        assert await HOOK.begin(org, asked("Id", field)) == Refused()
        assert len(org.asked) == 1


@pytest.mark.parametrize("answer", [[], {}, {**CREATED, "id": "../x"}, {**CREATED, "object": 'a"b'}])
async def test_a_job_without_an_id_is_no_job(answer: Any) -> None:
    with pytest.raises(HookAnswerError):
        await HOOK.begin(Org(describe(CONTACT), answer), asked("Id"))


@pytest.mark.parametrize(
    ("state", "found"),
    [("UploadComplete", Later()), ("InProgress", Later()), ("Failed", Refused()), ("Aborted", Refused())],
)
async def test_a_job_that_is_not_done_gives_nothing(state: str, found: object) -> None:
    org = Org({"state": state})
    assert await HOOK.page(org, asked(*FEW), PLACE.written()) == found
    assert len(org.asked) == 1


async def test_the_locator_leads_on_until_it_is_null() -> None:
    def page(locator: str) -> Reply:
        return Reply(GOOD.encode(), {"sforce-locator": locator, "sforce-numberofrecords": "1"})

    org = Org({"state": "JobComplete", "numberRecordsProcessed": 2}, page("MTAw"), page("null"))
    first = await HOOK.page(org, asked(*FEW), PLACE.written())
    assert isinstance(first, Given)
    assert first.next is not None
    last = await HOOK.page(org, asked(*FEW), first.next)
    assert isinstance(last, Given)
    assert (last.next, last.total) == (None, 2)
    assert [one.given.get("locator") for one in org.asked] == [None, None, "MTAw"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sforce-locator": "null"},
        {"sforce-numberofrecords": "1"},
        {"sforce-locator": "null", "sforce-numberofrecords": "2"},
        {"sforce-locator": "a b", "sforce-numberofrecords": "1"},
    ],
)
async def test_a_page_that_may_not_be_whole_is_refused(headers: dict[str, str]) -> None:
    cursor = msgspec.structs.replace(PLACE, locator="MTAw").written()
    with pytest.raises(HookAnswerError):
        await HOOK.page(Org(Reply(GOOD.encode(), headers)), asked(*FEW), cursor)


@pytest.mark.parametrize("cursor", ["", "{}", "[1]", '["750","Contact"]', PLACE.written()])
async def test_a_cursor_that_does_not_fit_asks_for_nothing(cursor: str) -> None:
    org = Org()
    with pytest.raises(HookAnswerError):
        await HOOK.page(org, asked("Id"), cursor)
    assert org.asked == []
