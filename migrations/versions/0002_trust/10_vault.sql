-- How often a data key sealed, so that it is renewed before its nonces could meet; old versions are removed
ALTER TABLE data_keys ADD COLUMN seals BIGINT DEFAULT 0 NOT NULL;
GRANT DELETE ON data_keys TO trunkline_app;

-- A tenant's end: evidence, and where to go on after a kill
CREATE TABLE shreddings (
    tenant_id UUID NOT NULL,
    slug TEXT NOT NULL,
    stage TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    keys_destroyed_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    removed JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_shreddings PRIMARY KEY (tenant_id)
);
ALTER TABLE shreddings ENABLE ROW LEVEL SECURITY;
ALTER TABLE shreddings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON shreddings TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE ON shreddings TO trunkline_app;
CREATE POLICY system ON shreddings TO trunkline_system USING (true) WITH CHECK (true);
GRANT SELECT ON shreddings TO trunkline_system;
