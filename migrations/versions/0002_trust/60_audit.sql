-- The audit log as a chain of each tenant's own: numbered without a gap, each entry hashed over the one before it.
-- (A semicolon at the end of a line ends the statement; within a body it is followed by --.)
CREATE TABLE audit_heads (
    tenant_id UUID NOT NULL,
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_audit_heads PRIMARY KEY (tenant_id)
);

-- json keeps the text that was hashed to the letter; jsonb would not
ALTER TABLE audit_entries
    ADD COLUMN sequence BIGINT,
    ADD COLUMN before JSON,
    ADD COLUMN after JSON,
    ADD COLUMN address TEXT,
    ADD COLUMN previous BYTEA,
    ADD COLUMN hash BYTEA,
    ALTER COLUMN at DROP DEFAULT,
    ALTER COLUMN detail DROP DEFAULT,
    ALTER COLUMN detail TYPE JSON USING detail::json;

-- Entries from before: chained as they are found, and the log says so. The owner is no tenant, so no policy lets it see them.
ALTER TABLE audit_entries NO FORCE ROW LEVEL SECURITY;

INSERT INTO audit_entries (tenant_id, at, actor_kind, actor_id, actor, action, target_kind, target_id, detail)
SELECT tenant_id, clock_timestamp(), 'system', 'system', 'Trunkline', 'log.chained', 'log', tenant_id::text, json_build_object('entries', count(*))
FROM audit_entries GROUP BY tenant_id;

CREATE FUNCTION pg_temp.part(field text) RETURNS bytea LANGUAGE sql AS $$
    SELECT CASE WHEN field IS NULL THEN int4send(-1)
                ELSE int4send(octet_length(convert_to(field, 'UTF8'))) || convert_to(field, 'UTF8') END
$$;

DO $$
DECLARE entry record; owner uuid; number bigint; last bytea; made bytea; --
BEGIN
    FOR entry IN SELECT * FROM audit_entries ORDER BY tenant_id, at, id LOOP
        IF owner IS DISTINCT FROM entry.tenant_id THEN owner := entry.tenant_id; number := 0; last := decode(repeat('00', 32), 'hex'); END IF; --
        number := number + 1; made := sha256(last || uuid_send(owner) || int8send(number) || int8send((extract(epoch FROM entry.at) * 1000000)::bigint)
            || pg_temp.part(entry.actor_kind) || pg_temp.part(entry.actor_id) || pg_temp.part(entry.actor) || pg_temp.part(entry.action)
            || pg_temp.part(entry.target_kind) || pg_temp.part(entry.target_id) || pg_temp.part(entry.detail::text)
            || pg_temp.part(entry.before::text) || pg_temp.part(entry.after::text) || pg_temp.part(entry.reason) || pg_temp.part(entry.address)); -- as audit/chain.py does
        UPDATE audit_entries SET sequence = number, previous = last, hash = made WHERE tenant_id = owner AND id = entry.id; last := made; --
        INSERT INTO audit_heads VALUES (owner, number, made, entry.at) ON CONFLICT (tenant_id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash, at = excluded.at; --
    END LOOP; --
END $$;

ALTER TABLE audit_entries FORCE ROW LEVEL SECURITY;

ALTER TABLE audit_entries
    DROP CONSTRAINT pk_audit_entries,
    DROP COLUMN id,
    ALTER COLUMN sequence SET NOT NULL,
    ALTER COLUMN previous SET NOT NULL,
    ALTER COLUMN hash SET NOT NULL,
    ADD CONSTRAINT pk_audit_entries PRIMARY KEY (tenant_id, sequence);

CREATE INDEX ix_audit_entries_action ON audit_entries (tenant_id, action, sequence);
CREATE INDEX ix_audit_entries_actor ON audit_entries (tenant_id, actor_kind, actor_id, sequence);
CREATE INDEX ix_audit_entries_target ON audit_entries (tenant_id, target_kind, target_id, sequence);

-- The head begins at nothing and moves forward only, to an entry that is there
CREATE FUNCTION trunkline_audit_forward() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN IF NEW.sequence = 0 THEN RETURN NEW; END IF; --
    ELSIF NEW.sequence > OLD.sequence AND EXISTS (SELECT FROM audit_entries e WHERE e.tenant_id = NEW.tenant_id AND e.sequence = NEW.sequence AND e.hash = NEW.hash) THEN RETURN NEW; --
    END IF; --
    RAISE EXCEPTION 'the head of an audit log only moves forward, to its last entry' USING ERRCODE = 'insufficient_privilege'; --
END $$;

CREATE TRIGGER forward BEFORE INSERT OR UPDATE ON audit_heads FOR EACH ROW EXECUTE FUNCTION trunkline_audit_forward();

ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_heads FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON audit_heads TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE (sequence, hash, at) ON audit_heads TO trunkline_app;

-- trunkline_system: which tenants have a log, and the heads, to sign them
CREATE POLICY system ON audit_entries TO trunkline_system USING (true) WITH CHECK (true);
CREATE POLICY system ON audit_heads TO trunkline_system USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id) ON audit_entries TO trunkline_system;
GRANT SELECT ON audit_heads TO trunkline_system;

-- trunkline_console: what was done, without who did it
REVOKE SELECT ON audit_entries FROM trunkline_console;
GRANT SELECT (tenant_id, sequence, at, actor_kind, action, target_kind, target_id, detail, before, after) ON audit_entries TO trunkline_console;
