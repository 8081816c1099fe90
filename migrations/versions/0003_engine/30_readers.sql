-- Readers of the change log, each with its cursor; and what the first of them keeps.
CREATE TABLE readers (
    tenant_id UUID NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    position BIGINT DEFAULT 0 NOT NULL,
    gather_seconds INTEGER DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    cause TEXT,
    cause_since TIMESTAMP WITH TIME ZONE,
    retry_at TIMESTAMP WITH TIME ZONE,
    advanced_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_readers PRIMARY KEY (tenant_id, kind, name)
);
CREATE INDEX ix_readers_failing ON readers (tenant_id, kind) WHERE failures > 0;

CREATE TABLE daily_changes (
    tenant_id UUID NOT NULL,
    day DATE NOT NULL,
    model TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_daily_changes PRIMARY KEY (tenant_id, day, model)
);

ALTER TABLE readers ENABLE ROW LEVEL SECURITY;
ALTER TABLE readers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON readers TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON readers TO trunkline_app;
CREATE POLICY shred ON readers TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL));
GRANT SELECT, DELETE ON readers TO trunkline_shred;

ALTER TABLE daily_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE daily_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON daily_changes TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE ON daily_changes TO trunkline_app;
CREATE POLICY shred ON daily_changes TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL));
GRANT SELECT, DELETE ON daily_changes TO trunkline_shred;

-- The console sees how far behind a reader is: positions and times, never what changed.
CREATE POLICY console ON readers FOR SELECT TO trunkline_console USING (true);
GRANT SELECT ON readers TO trunkline_console;
CREATE POLICY console ON change_heads FOR SELECT TO trunkline_console USING (true);
GRANT SELECT ON change_heads TO trunkline_console;
CREATE POLICY console ON changes FOR SELECT TO trunkline_console USING (true);
GRANT SELECT (tenant_id, position, changed_at) ON changes TO trunkline_console;
