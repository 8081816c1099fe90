-- What goes on beside a stream's own runs: a full re-read, a re-mapping of what is held. Gone when it has ended.
CREATE TABLE passes (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    kind TEXT NOT NULL,
    run_id UUID NOT NULL,
    checkpoint JSONB,
    failures INTEGER DEFAULT 0 NOT NULL,
    handed_back BOOLEAN DEFAULT false NOT NULL,
    paused_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_passes PRIMARY KEY (tenant_id, connection_id, stream, kind),
    CONSTRAINT uq_passes_tenant_id_run_id UNIQUE (tenant_id, run_id),
    CONSTRAINT fk_passes_streams FOREIGN KEY(tenant_id, connection_id, stream) REFERENCES streams (tenant_id, connection_id, stream) ON DELETE CASCADE,
    CONSTRAINT fk_passes_runs FOREIGN KEY(tenant_id, run_id) REFERENCES runs (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE passes ENABLE ROW LEVEL SECURITY;
ALTER TABLE passes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON passes TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON passes TO trunkline_app;
CREATE POLICY shred ON passes TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL));
GRANT SELECT, DELETE ON passes TO trunkline_shred;
