-- A version of a partner's connector, as it was uploaded. Written and read by the system role alone.
CREATE TABLE connector_packages (
    id UUID NOT NULL,
    connector TEXT NOT NULL,
    version TEXT NOT NULL,
    partner TEXT NOT NULL,
    digest TEXT NOT NULL,
    archive BYTEA NOT NULL,
    manifest TEXT NOT NULL,
    findings JSONB,
    graded JSONB,
    uploaded_by TEXT NOT NULL,
    uploaded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    withdrawn_at TIMESTAMP WITH TIME ZONE,
    withdrawn_reason TEXT,
    pausing BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_connector_packages PRIMARY KEY (id),
    CONSTRAINT uq_connector_packages_connector_version UNIQUE (connector, version),
    CONSTRAINT ck_connector_packages_size CHECK (octet_length(archive) <= 4194304)
);

-- A tenant may connect this version; a row of the installation (tenant 0) is for every tenant
CREATE TABLE connector_approvals (
    tenant_id UUID NOT NULL,
    package_id UUID NOT NULL,
    approved_by TEXT NOT NULL,
    approved_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_connector_approvals PRIMARY KEY (tenant_id, package_id),
    CONSTRAINT fk_connector_approvals_connector_packages FOREIGN KEY (package_id) REFERENCES connector_packages (id) ON DELETE CASCADE
);

-- Moves with every change of the two, so that each process knows when to read them anew
CREATE TABLE connector_registry (
    single BOOLEAN DEFAULT true NOT NULL,
    counter INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT pk_connector_registry PRIMARY KEY (single),
    CONSTRAINT ck_connector_registry_single CHECK (single)
);
INSERT INTO connector_registry DEFAULT VALUES;

ALTER TABLE connections ADD COLUMN connector_version TEXT;

ALTER TABLE connector_packages ENABLE ROW LEVEL SECURITY;
ALTER TABLE connector_packages FORCE ROW LEVEL SECURITY;
ALTER TABLE connector_registry ENABLE ROW LEVEL SECURITY;
ALTER TABLE connector_registry FORCE ROW LEVEL SECURITY;
ALTER TABLE connector_approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE connector_approvals FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON connector_packages TO trunkline_system USING (true) WITH CHECK (true);
CREATE POLICY system ON connector_registry TO trunkline_system USING (true) WITH CHECK (true);
CREATE POLICY system ON connector_approvals TO trunkline_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (findings, graded, withdrawn_at, withdrawn_reason, pausing) ON connector_packages TO trunkline_system;
GRANT SELECT, UPDATE (counter) ON connector_registry TO trunkline_system;
GRANT SELECT, INSERT, DELETE ON connector_approvals TO trunkline_system;
GRANT SELECT (connector, connector_version) ON connections TO trunkline_system;
GRANT SELECT (connector_version) ON connections TO trunkline_console;

CREATE POLICY tenant_scope ON connector_approvals TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT ON connector_approvals TO trunkline_app;
CREATE POLICY shred ON connector_approvals TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL));
GRANT SELECT, DELETE ON connector_approvals TO trunkline_shred;
