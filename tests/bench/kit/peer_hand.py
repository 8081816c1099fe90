"""What one writes by hand: httpx, asyncpg, and one INSERT ... ON CONFLICT a page. Arguments: provider, database."""

import json
import sys
from datetime import datetime

import asyncpg
import httpx
import uvloop
from measured import Result, measured

TABLE = """
    CREATE TABLE IF NOT EXISTS contacts (
        id text PRIMARY KEY, properties jsonb NOT NULL, created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL, synced_at timestamptz NOT NULL DEFAULT now())
"""
UPSERT = """
    INSERT INTO contacts (id, properties, created_at, updated_at)
    SELECT * FROM unnest($1::text[], $2::jsonb[], $3::timestamptz[], $4::timestamptz[])
    ON CONFLICT (id) DO UPDATE SET properties = excluded.properties, created_at = excluded.created_at,
        updated_at = excluded.updated_at, synced_at = now()
"""


async def main() -> Result:
    provider, url = sys.argv[1:3]
    database = await asyncpg.connect(url)
    await database.execute(TABLE)
    async with httpx.AsyncClient(base_url=f"{provider}/hubspot") as client:
        with measured() as result:
            params = {"limit": "100"}
            while True:
                response = await client.get("/crm/objects/2026-03/contacts", params=params)
                response.raise_for_status()
                page = response.json()
                found = page["results"]
                await database.execute(
                    UPSERT,
                    [one["id"] for one in found],
                    [json.dumps(one["properties"]) for one in found],
                    [datetime.fromisoformat(one["createdAt"]) for one in found],
                    [datetime.fromisoformat(one["updatedAt"]) for one in found],
                )
                if "paging" not in page:
                    break
                params["after"] = page["paging"]["next"]["after"]
    result.records = await database.fetchval("SELECT count(*) FROM contacts")
    await database.close()
    return result


if __name__ == "__main__":
    uvloop.run(main()).tell()
