"""The limit: what is left when everything but moving the data is taken away. Arguments: provider, database.

Pages fetched ahead over a bare connection, msgspec, COPY into a staging table, one upsert a page that skips what
is unchanged, the checkpoint in the same transaction. One table, no tenant, no check of any kind.
"""

import asyncio
import hashlib
import sys
from urllib.parse import urlsplit

import asyncpg
import msgspec
import uvloop
from measured import Result, measured

AHEAD = 4
TABLES = """
    CREATE TABLE IF NOT EXISTS contacts (id text PRIMARY KEY, hash bytea NOT NULL, document bytea NOT NULL);
    CREATE TABLE IF NOT EXISTS checkpoint (name text PRIMARY KEY, cursor text);
    INSERT INTO checkpoint VALUES ('contacts') ON CONFLICT DO NOTHING;
    CREATE TEMPORARY TABLE staging (id text, hash bytea, document bytea) ON COMMIT DELETE ROWS;
"""
UPSERT = """
    INSERT INTO contacts AS c SELECT id, hash, document FROM staging
    ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, document = excluded.document WHERE c.hash <> excluded.hash
"""
CHECKPOINT = "UPDATE checkpoint SET cursor = $1 WHERE name = 'contacts'"


class Id(msgspec.Struct):
    id: str


class Next(msgspec.Struct):
    after: str


class Paging(msgspec.Struct):
    next: Next


class Page(msgspec.Struct):
    results: list[msgspec.Raw]
    paging: Paging | None = None


pages = msgspec.json.Decoder(Page)
ids = msgspec.json.Decoder(Id)

Rows = list[tuple[str, bytes, bytes]]


async def fetch(provider: str, queue: "asyncio.Queue[tuple[Rows, str | None]]") -> None:
    address = urlsplit(provider)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1 << 20)
    after: str | None = None
    while True:
        more = f"&after={after}" if after else ""
        target = f"/hubspot/crm/objects/2026-03/contacts?limit=100{more}"
        writer.write(f"GET {target} HTTP/1.1\r\nhost: {address.netloc}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        at = head.index(b"content-length:") + 15
        page = pages.decode(await reader.readexactly(int(head[at : head.index(b"\r\n", at)])))
        rows = [
            (ids.decode(raw).id, hashlib.blake2b(raw, digest_size=16).digest(), bytes(raw))
            for raw in page.results
        ]
        after = page.paging.next.after if page.paging else None
        await queue.put((rows, after))
        if after is None:
            break
    writer.close()


async def main() -> Result:
    provider, url = sys.argv[1:3]
    database = await asyncpg.connect(url)
    await database.execute(TABLES)
    queue: asyncio.Queue[tuple[Rows, str | None]] = asyncio.Queue(AHEAD)
    with measured() as result:
        fetching = asyncio.create_task(fetch(provider, queue))
        after: str | None = ""
        while after is not None:
            rows, after = await queue.get()
            async with database.transaction():
                await database.copy_records_to_table("staging", records=rows)
                await database.execute(UPSERT)
                await database.execute(CHECKPOINT, after)
        await fetching
    result.records = await database.fetchval("SELECT count(*) FROM contacts")
    await database.close()
    return result


if __name__ == "__main__":
    uvloop.run(main()).tell()
