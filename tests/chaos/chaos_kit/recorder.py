"""What happened, as lines of JSON: the rig's own deeds, and those of the workers as the database saw them.

Triggers of the rig's own write down each claim, each page, each failure, each pass that ended, each event that came in
and each that was sent, in the transaction that did it.
"""

import time
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

_SCHEMA = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL, tenant_id uuid, detail jsonb NOT NULL);
CREATE FUNCTION chaos.claimed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos.events (what, tenant_id, detail) VALUES ('claimed', NEW.tenant_id, jsonb_build_object(
        'work', NEW.id, 'kind', NEW.kind, 'key', NEW.key, 'attempt', NEW.attempt, 'holder', NEW.leased_by));
    RETURN NULL; END $$;
CREATE TRIGGER chaos_claimed AFTER UPDATE ON public.work FOR EACH ROW
    WHEN (NEW.leased_by IS NOT NULL AND NEW.leased_by IS DISTINCT FROM OLD.leased_by)
    EXECUTE FUNCTION chaos.claimed();
CREATE FUNCTION chaos.failed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos.events (what, tenant_id, detail) VALUES ('failed', NEW.tenant_id, jsonb_build_object(
        'stream', NEW.stream, 'cause', NEW.cause, 'failures', NEW.failures, 'detail', NEW.cause_detail));
    RETURN NULL; END $$;
CREATE TRIGGER chaos_failed AFTER UPDATE OF cause, failures ON public.streams FOR EACH ROW
    WHEN (NEW.cause IS NOT NULL) EXECUTE FUNCTION chaos.failed();
CREATE FUNCTION chaos.refused() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos.events (what, tenant_id, detail) VALUES ('failed', NEW.tenant_id, jsonb_build_object(
        'work', NEW.id, 'kind', NEW.kind, 'cause', NEW.cause, 'failures', NEW.tries));
    RETURN NULL; END $$;
CREATE TRIGGER chaos_refused AFTER UPDATE OF cause ON public.work FOR EACH ROW
    WHEN (NEW.cause IS NOT NULL AND NEW.kind <> 'sync') EXECUTE FUNCTION chaos.refused();
CREATE FUNCTION chaos.paged() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos.events (what, tenant_id, detail) VALUES ('page', NEW.tenant_id, jsonb_build_object(
        'run', NEW.id, 'stream', NEW.stream, 'mode', NEW.mode, 'attempt', NEW.attempt, 'pages', NEW.pages,
        'changes', NEW.changes - OLD.changes));
    RETURN NULL; END $$;
CREATE TRIGGER chaos_paged AFTER UPDATE OF pages ON public.runs FOR EACH ROW
    WHEN (NEW.pages > OLD.pages) EXECUTE FUNCTION chaos.paged();
CREATE FUNCTION chaos.passed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos.events (what, tenant_id, detail) VALUES ('passed', NEW.tenant_id, jsonb_build_object(
        'stream', NEW.stream, 'run', OLD.run_id, 'watermark', NEW.watermark, 'checkpoint', OLD.checkpoint));
    RETURN NULL; END $$;
CREATE TRIGGER chaos_passed AFTER UPDATE OF last_success_at ON public.streams FOR EACH ROW
    WHEN (NEW.last_success_at IS DISTINCT FROM OLD.last_success_at) EXECUTE FUNCTION chaos.passed();
CREATE FUNCTION chaos.told() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos.events (what, tenant_id, detail) VALUES ('told', NEW.tenant_id, jsonb_build_object(
        'event', NEW.event_id, 'type', NEW.type, 'request', NEW.request_id));
    RETURN NULL; END $$;
CREATE TRIGGER chaos_told AFTER INSERT ON public.inbound_events FOR EACH ROW EXECUTE FUNCTION chaos.told();
CREATE FUNCTION chaos.made() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos.events (what, tenant_id, detail) VALUES ('made', NEW.tenant_id, jsonb_build_object(
        'event', NEW.event_id, 'state', NEW.state, 'cause', NEW.cause, 'stream', NEW.stream,
        'ids', NEW.external_ids));
    RETURN NULL; END $$;
CREATE TRIGGER chaos_made AFTER UPDATE OF attempts ON public.inbound_events FOR EACH ROW
    WHEN (NEW.attempts > OLD.attempts) EXECUTE FUNCTION chaos.made();
CREATE FUNCTION chaos.sent() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    INSERT INTO chaos.events (what, tenant_id, detail) VALUES ('sent', NEW.tenant_id, jsonb_build_object(
        'number', NEW.number, 'state', NEW.state, 'attempts', NEW.attempts, 'cause', NEW.cause));
    RETURN NULL; END $$;
CREATE TRIGGER chaos_sent AFTER UPDATE OF attempts ON public.deliveries FOR EACH ROW
    WHEN (NEW.attempts > OLD.attempts) EXECUTE FUNCTION chaos.sent();
"""


class Event(msgspec.Struct, kw_only=True):
    """`at`: seconds since 1970, by this machine's clock."""

    at: float
    what: str
    tenant: str = ""
    detail: dict[str, Any] = {}


class Recorder:
    def __init__(self, url: str) -> None:
        self.url = url
        self.deeds: list[Event] = []

    async def install(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(_SCHEMA)
        finally:
            await connection.close()

    def note(self, what: str, tenant: str = "", **detail: Any) -> None:
        self.deeds.append(Event(at=time.time(), what=what, tenant=tenant, detail=detail))

    async def events(self) -> list[Event]:
        """Everything, in the order of the clock."""
        connection = await asyncpg.connect(self.url)
        try:
            rows = await connection.fetch(
                "SELECT at, what, tenant_id, detail FROM chaos.events ORDER BY at, id"
            )
        finally:
            await connection.close()
        told = [
            Event(
                at=_seconds(row["at"]),
                what=row["what"],
                tenant=str(row["tenant_id"]),
                detail=msgspec.json.decode(row["detail"]),
            )
            for row in rows
        ]
        return sorted([*self.deeds, *told], key=lambda event: event.at)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()


def write(path: Path, events: list[Event]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
