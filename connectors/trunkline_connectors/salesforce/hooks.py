"""Long lists of Salesforce, by query jobs of Bulk API 2.0: one query for all, its rows as CSV."""

import asyncio
import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from trunkline.sdk.hooks import Ask, Asked, Given, HookAnswerError, LargeList, Later, Refused, Request

JOBS: Final = "/services/data/v{api_version}/jobs/query"
ROWS, ROWS_OF_LONG_TEXT = 5000, 2000
"""Of a page: an answer may have 32 MiB."""
_TEXT, _LONG, _NUMBER, _BOOLEAN, _MOMENT = "sxnbt"
_KINDS: Final = {
    **dict.fromkeys(
        (
            "id", "reference", "string", "email", "phone", "url", "picklist", "multipicklist", "combobox",
            "encryptedstring", "date", "time",
        ),
        _TEXT,
    ),
    "textarea": _LONG,
    **dict.fromkeys(("int", "long", "double", "currency", "percent"), _NUMBER),
    "boolean": _BOOLEAN,
    "datetime": _MOMENT,
}  # fmt: skip
"""Types of fields that CSV has without loss. Compound ones and files no job can be asked for."""
_NUMERAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INSTANT: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3})(?:Z|\+0000)")
_ID: Final = re.compile(r"[A-Za-z0-9]{15,18}")
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")
_LOCATOR: Final = re.compile(r"[!-~]{1,1000}")


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A cursor. `kinds`: a letter for each field that was asked for."""

    job: str
    kind: str
    version: str
    kinds: str
    total: int = 0
    locator: str = ""
    """Empty: the first page."""

    def written(self) -> str:
        return msgspec.json.encode(self).decode("ascii")


class BulkQuery:
    """Jobs are not deleted at their end: whoever asks for the last page again still finds it. Salesforce
    deletes them after seven days.
    """

    async def begin(self, ask: Ask, asked: Asked) -> str | Refused:
        kinds = await _kinds(ask, asked)
        if kinds is None:
            return Refused()
        body = {"operation": "query", "query": "{q}", "contentType": "CSV", "lineEnding": "LF"}
        reply = await ask(Request(method="POST", path=JOBS, body=body, given={"q": asked.query["q"]}))
        job, kind, version = (_member(reply.body, name) for name in ("id", "object", "apiVersion"))
        plain = isinstance(version, int | float) and not isinstance(version, bool)
        if not (plain and _is(_ID, job) and _is(_NAME, kind)):
            raise HookAnswerError("a job that was created has no id, object or version")
        return Place(job, kind, f"{float(version):.1f}", kinds).written()

    async def page(self, ask: Ask, asked: Asked, cursor: str) -> Given | Later | Refused:
        try:
            place = msgspec.json.decode(cursor, type=Place)
        except msgspec.DecodeError as error:
            raise HookAnswerError("a cursor of another version") from error
        if len(place.kinds) != len(asked.fields):
            raise HookAnswerError("other fields are asked for than by the job")
        if not place.locator:
            state = (await ask(Request(path=JOBS + "/{job}", given={"job": place.job}))).body
            found = _member(state, "state")
            if found in {"UploadComplete", "InProgress"}:
                return Later()
            if found in {"Failed", "Aborted"}:
                return Refused()
            total = _member(state, "numberRecordsProcessed")
            if found != "JobComplete" or type(total) is not int:
                raise HookAnswerError("a job's state cannot be read")
            place = msgspec.structs.replace(place, total=total)
        return await _results(ask, asked, place)


HOOKS: Final[Mapping[str, LargeList]] = {"bulk_query": BulkQuery()}


async def _kinds(ask: Ask, asked: Asked) -> str | None:
    """None: there is a field that CSV could not have."""
    if asked.discovery is None:
        return None
    listed = _member((await ask(Request(path=asked.discovery.path))).body, "fields")
    if not isinstance(listed, list):
        raise HookAnswerError("an object is described without fields")
    types = {_member(one, "name"): _KINDS.get(str(_member(one, "type"))) for one in listed}
    found = [types.get(name) for name in asked.fields]
    return None if None in found else "".join(one for one in found if one is not None)


async def _results(ask: Ask, asked: Asked, place: Place) -> Given:
    reply = await ask(
        Request(
            path=JOBS + "/{job}/results",
            query={"maxRecords": "{rows}", "locator": "{locator}"},
            given={
                "job": place.job,
                "rows": ROWS_OF_LONG_TEXT if _LONG in place.kinds else ROWS,
                "locator": place.locator or None,
            },
            plain=True,
        )
    )
    # a page of thousands takes some tenths of a second, in which others are to go on
    documents = await asyncio.to_thread(documents_of, reply.body, asked.fields, place)
    if reply.headers.get("sforce-numberofrecords") != str(len(documents)):
        raise HookAnswerError("a page has another number of rows than it says")
    locator = reply.headers.get("sforce-locator", "")
    if not _is(_LOCATOR, locator):
        raise HookAnswerError("a page does not say where to go on")
    end = locator == "null"
    further = None if end else msgspec.structs.replace(place, locator=locator).written()
    return Given(documents=documents, next=further, total=place.total)


def documents_of(content: bytes, fields: Sequence[str], place: Place) -> list[dict[str, Any]]:
    """As the pages of a query have them. Raises HookAnswerError for anything else than was asked for."""
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
        header = next(rows, [])
        if sorted(header) != sorted(fields):
            raise HookAnswerError("the columns are not the fields that were asked for")
        columns = [(name, header.index(name), kind) for name, kind in zip(fields, place.kinds, strict=True)]
        return [_document(row, columns, len(header), place) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise HookAnswerError("the rows are no CSV") from error


def _document(
    row: list[str], columns: list[tuple[str, int, str]], width: int, place: Place
) -> dict[str, Any]:
    if len(row) != width:
        raise HookAnswerError("a row has another number of values than the header")
    values = {name: _value(row[at], kind) for name, at, kind in columns}
    own = values.get("Id")
    if not isinstance(own, str) or not _is(_ID, own):
        raise HookAnswerError("a row has no id")
    address = f"/services/data/v{place.version}/sobjects/{place.kind}/{own}"
    return {"attributes": {"type": place.kind, "url": address}, **values}


def _value(text: str, kind: str) -> Any:
    if not text:
        return None
    if kind == _NUMBER:
        if not _NUMERAL.fullmatch(text):
            raise HookAnswerError("a number is none")
        return msgspec.Raw(text.encode())
    if kind == _BOOLEAN:
        if text not in {"true", "false"}:
            raise HookAnswerError("a yes or no is neither")
        return text == "true"
    if kind == _MOMENT:
        moment = _INSTANT.fullmatch(text)
        if moment is None:
            raise HookAnswerError("a moment is none")
        return f"{moment[1]}+0000"
    return text


def _member(body: Any, name: str) -> Any:
    return body.get(name) if isinstance(body, dict) else None


def _is(pattern: "re.Pattern[str]", found: Any) -> bool:
    return isinstance(found, str) and pattern.fullmatch(found) is not None
