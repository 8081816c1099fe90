"""dlt, as its documentation tunes it for this: whole pages yielded, CSV loaded by COPY, merge by upsert, few and
large files, several workers, no nested tables. Arguments: the provider, the database, a folder for its state."""

import os
import sys
from collections.abc import Iterator
from typing import Any

os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "EXTRACT__WORKERS": "2",
    "NORMALIZE__WORKERS": "2",
    "LOAD__WORKERS": "4",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "20000",
    "DATA_WRITER__FILE_MAX_ITEMS": "50000",
}

import dlt
import psycopg2
from dlt.sources.helpers.requests import Session
from measured import measured, psycopg_url


def main() -> int:
    provider, url, folder = sys.argv[1:4]

    @dlt.resource(
        name="contacts",
        primary_key="id",
        write_disposition={"disposition": "merge", "strategy": "upsert"},
        max_table_nesting=0,
    )
    def contacts() -> Iterator[list[dict[str, Any]]]:
        session = Session()
        after: str | None = None
        while True:
            query = {"limit": "100", **({"after": after} if after else {})}
            body = session.get(f"{provider}/hubspot/crm/objects/2026-03/contacts", params=query).json()
            yield body["results"]
            after = body.get("paging", {}).get("next", {}).get("after")
            if after is None:
                return

    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=f"{folder}/dlt",
        destination=dlt.destinations.postgres(psycopg_url(url)),
        dataset_name="bench",
    )
    with measured() as result:
        pipeline.run(contacts(), loader_file_format="csv")
    connection = psycopg2.connect(psycopg_url(url))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM bench.contacts")
        result.records = cursor.fetchone()[0]
    connection.close()
    result.tell()
    return 0


if __name__ == "__main__":
    sys.exit(main())
