-- From when on the stream's changes are told of by webhooks
ALTER TABLE streams ADD COLUMN told_since TIMESTAMP WITH TIME ZONE;

-- Changes that a pass found, until it is sure whether an event tells of them too
CREATE TABLE untold_changes (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    external_id TEXT NOT NULL,
    modified_at TIMESTAMP WITH TIME ZONE NOT NULL,
    noted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_untold_changes PRIMARY KEY (tenant_id, connection_id, stream, external_id, modified_at),
    CONSTRAINT fk_untold_changes_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

-- How many of them a day no event told of
CREATE TABLE untold_days (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    day DATE NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT pk_untold_days PRIMARY KEY (tenant_id, connection_id, stream, day),
    CONSTRAINT fk_untold_days_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

DO $$ DECLARE found text; BEGIN FOREACH found IN ARRAY ARRAY['untold_changes', 'untold_days'] LOOP EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', found); EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', found); EXECUTE format('CREATE POLICY tenant_scope ON %I TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()))', found); EXECUTE format('CREATE POLICY shred ON %I TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL))', found); EXECUTE format('GRANT SELECT, DELETE ON %I TO trunkline_shred', found); END LOOP; END $$;
GRANT SELECT, INSERT, DELETE ON untold_changes TO trunkline_app;
GRANT SELECT, INSERT, UPDATE ON untold_days TO trunkline_app;
CREATE POLICY console ON untold_days FOR SELECT TO trunkline_console USING (true);
GRANT SELECT ON untold_days TO trunkline_console;
GRANT SELECT (told_since) ON streams TO trunkline_console;
