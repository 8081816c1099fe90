"""Bulk API 2.0 query jobs: a query whose results come as CSV, page by page, by a locator in a header."""

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_ids import opaque
from trunkline_connectors.salesforce.simulator_errors import not_found, refuse
from trunkline_connectors.salesforce.simulator_org import Records, moment_text
from trunkline_connectors.salesforce.simulator_routes import ROOT, Call, Name
from trunkline_connectors.salesforce.simulator_schema import FIELDS, SOBJECTS, long_id
from trunkline_connectors.salesforce.simulator_soql import Row

LARGEST = 50_000
"""Rows of a result page, unless fewer are asked for."""
_DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}


class Job(msgspec.Struct):
    id: str
    account: str
    operation: str
    kind: str
    names: list[str]
    rows: list[Row]
    delimiter: str
    line_end: str
    made_at: datetime
    aborted: bool = False


class Bulk:
    """`seconds`: how long a job is in progress."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.seconds = 0
        self.jobs: dict[str, Job] = {}

    def state(self, job: Job) -> str:
        if job.aborted:
            return "Aborted"
        age = self.records.now() - job.made_at
        return "JobComplete" if age >= timedelta(seconds=self.seconds) else "InProgress"

    def described(self, job: Job) -> dict[str, Any]:
        state = self.state(job)
        return {
            "id": job.id,
            "operation": job.operation,
            "object": SOBJECTS[job.kind],
            "createdById": self.records.orgs[job.account].user,
            "createdDate": moment_text(job.made_at),
            "systemModstamp": moment_text(job.made_at),
            "state": state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": 63.0,
            "jobType": "V2Query",
            "lineEnding": job.line_end,
            "columnDelimiter": job.delimiter,
            "numberRecordsProcessed": len(job.rows) if state == "JobComplete" else 0,
            "retries": 0,
            "totalProcessingTime": 0,
        }

    def find(self, account: str, job_id: str) -> Job:
        job = self.jobs.get(job_id)
        if job is None or job.account != account:
            not_found()
        return job


def bulk_routes(bulk: Bulk) -> list[HTTPRouteHandler]:
    records = bulk.records

    @post(f"{ROOT}/jobs/query", status_code=200)
    async def create(request: AnyRequest, version: Name) -> Response[Any]:
        call = Call(records, request, version)
        try:
            asked = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            refuse(400, "INVALIDJOB", "The body is not a JSON object")
        operation = str(asked.get("operation"))
        delimiter, line_end = str(asked.get("columnDelimiter", "COMMA")), str(asked.get("lineEnding", "LF"))
        known = operation in {"query", "queryAll"} and delimiter in _DELIMITERS and line_end in {"LF", "CRLF"}
        if not known or asked.get("contentType", "CSV") != "CSV":
            refuse(
                400, "INVALIDJOB", "operation, contentType, columnDelimiter or lineEnding is not supported"
            )
        query, rows = records.found(
            call.grant, str(asked.get("query") or ""), deleted=operation == "queryAll"
        )
        if not query.names:
            refuse(400, "API_ERROR", "Aggregate queries are not supported")
        job = Job(
            long_id("750" + opaque(len(bulk.jobs) + 1, 12)), call.grant.account, operation, query.kind,
            query.names, rows, delimiter, line_end, records.now(),
        )  # fmt: skip
        bulk.jobs[job.id] = job
        # The answer to a creation says that the job waits, however fast it is.
        return call.answer({**bulk.described(job), "state": "UploadComplete"})

    @get(f"{ROOT}/jobs/query/{{job_id:str}}")
    async def look(request: AnyRequest, version: Name, job_id: Name) -> Response[Any]:
        call = Call(records, request, version)
        return call.answer(bulk.described(bulk.find(call.grant.account, job_id)))

    @get(f"{ROOT}/jobs/query/{{job_id:str}}/results")
    async def results(request: AnyRequest, version: Name, job_id: Name) -> Response[Any]:
        call = Call(records, request, version)
        job = bulk.find(call.grant.account, job_id)
        if bulk.state(job) != "JobComplete":
            refuse(400, "INVALIDJOBSTATE", "The job is not complete")
        given = request.query_params
        asked, start = str(given.get("maxRecords") or LARGEST), str(given.get("locator") or "0")
        if not (asked.isdecimal() and start.isdecimal() and 0 < int(asked) <= 10**9):
            refuse(400, "INVALID_LOCATOR", "maxRecords or locator is not valid")
        size = min(int(asked), LARGEST)
        rows = job.rows[int(start) : int(start) + size]
        end = int(start) + len(rows)
        headers = {
            **call.headers,
            "Sforce-Locator": str(end) if end < len(job.rows) else "null",
            "Sforce-NumberOfRecords": str(len(rows)),
        }
        return Response(_csv(job, rows).encode(), headers=headers, media_type="text/csv; charset=UTF-8")

    @patch(f"{ROOT}/jobs/query/{{job_id:str}}")
    async def abort(request: AnyRequest, version: Name, job_id: Name) -> Response[Any]:
        call = Call(records, request, version)
        job = bulk.find(call.grant.account, job_id)
        job.aborted = True
        return call.answer(bulk.described(job))

    @delete(f"{ROOT}/jobs/query/{{job_id:str}}", status_code=200)
    async def remove(request: AnyRequest, version: Name, job_id: Name) -> Response[Any]:
        call = Call(records, request, version)
        del bulk.jobs[bulk.find(call.grant.account, job_id).id]
        return call.answer(None, 204)

    return [create, look, results, abort, remove]


def _csv(job: Job, rows: list[Row]) -> str:
    """A header line and the rows, every value in quotes; nothing stands for null."""
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter=_DELIMITERS[job.delimiter],
        lineterminator="\r\n" if job.line_end == "CRLF" else "\n",
        quoting=csv.QUOTE_ALL,
    )
    writer.writerow(job.names)
    moments = {name for name in job.names if FIELDS[job.kind][name].type == "datetime"}
    writer.writerows([_cell(row.get(name), moment=name in moments) for name in job.names] for row in rows)
    return text.getvalue()


def _cell(value: Any, *, moment: bool) -> str:
    """Moments end in Z here, in +0000 in a query's pages."""
    if value is None:
        return ""
    if moment:
        return str(value).replace("+0000", "Z")
    return str(value).lower() if isinstance(value, bool) else str(value)
