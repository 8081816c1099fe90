ALTER TABLE api_keys ADD COLUMN scopes TEXT[] DEFAULT ARRAY['records:read', 'connections:read', 'connections:write', 'connect:write', 'recipes:read', 'recipes:write'] NOT NULL;
ALTER TABLE api_keys ALTER COLUMN scopes DROP DEFAULT;
ALTER TABLE api_keys ADD COLUMN expires_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE api_keys ADD COLUMN rotated_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE api_keys ADD COLUMN previous_prefix TEXT;
ALTER TABLE api_keys ADD COLUMN previous_hash BYTEA;
ALTER TABLE api_keys ADD COLUMN previous_until TIMESTAMP WITH TIME ZONE;
ALTER TABLE api_keys ADD COLUMN previous_used_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE api_keys ADD CONSTRAINT uq_api_keys_previous_prefix UNIQUE (previous_prefix);
CREATE TABLE idempotent_answers (
    tenant_id UUID NOT NULL,
    api_key_id UUID NOT NULL,
    key_hash BYTEA NOT NULL,
    request_hash BYTEA NOT NULL,
    status INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    body BYTEA NOT NULL,
    key_version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotent_answers PRIMARY KEY (tenant_id, api_key_id, key_hash)
);
CREATE INDEX ix_idempotent_answers_due ON idempotent_answers (tenant_id, expires_at);
ALTER TABLE idempotent_answers ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotent_answers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON idempotent_answers TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotent_answers TO trunkline_app;
