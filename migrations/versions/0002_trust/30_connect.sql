ALTER TABLE authorizations ADD COLUMN oauth_client_tenant UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE authorizations ADD COLUMN oauth_client_id UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE authorizations ADD COLUMN client_id TEXT NOT NULL DEFAULT '';
ALTER TABLE authorizations ALTER COLUMN oauth_client_tenant DROP DEFAULT;
ALTER TABLE authorizations ALTER COLUMN oauth_client_id DROP DEFAULT;
ALTER TABLE authorizations ALTER COLUMN client_id DROP DEFAULT;
ALTER TABLE authorizations ADD CONSTRAINT ck_authorizations_own_client CHECK (oauth_client_tenant IN (tenant_id, '00000000-0000-0000-0000-000000000000'));
ALTER TABLE connections ADD CONSTRAINT ck_connections_own_client CHECK (oauth_client_tenant IN (tenant_id, '00000000-0000-0000-0000-000000000000'));

CREATE TABLE refresh_intents (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    generation INTEGER NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_refresh_intents PRIMARY KEY (tenant_id, connection_id),
    CONSTRAINT fk_refresh_intents_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE refresh_intents ENABLE ROW LEVEL SECURITY;
ALTER TABLE refresh_intents FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON refresh_intents TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON refresh_intents TO trunkline_app;

CREATE TABLE unconfirmed_credentials (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    connect_session_id UUID NOT NULL,
    access_token BYTEA NOT NULL,
    refresh_token BYTEA,
    key_version INTEGER NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    scopes TEXT[] NOT NULL,
    oauth_client_tenant UUID NOT NULL,
    oauth_client_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_unconfirmed_credentials PRIMARY KEY (tenant_id, connection_id),
    CONSTRAINT fk_unconfirmed_credentials_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT ck_unconfirmed_credentials_own_client CHECK (oauth_client_tenant IN (tenant_id, '00000000-0000-0000-0000-000000000000'))
);
ALTER TABLE unconfirmed_credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE unconfirmed_credentials FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON unconfirmed_credentials TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON unconfirmed_credentials TO trunkline_app;
