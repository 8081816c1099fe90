-- what a person is shown of their own sessions, and with how many factors each was opened
ALTER TABLE login_sessions ADD COLUMN id UUID DEFAULT gen_random_uuid() NOT NULL;
ALTER TABLE login_sessions ADD COLUMN device TEXT DEFAULT '' NOT NULL;
ALTER TABLE login_sessions ADD COLUMN address TEXT DEFAULT '' NOT NULL;
ALTER TABLE login_sessions ADD COLUMN second_factor BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE login_sessions ADD CONSTRAINT uq_login_sessions_id UNIQUE (id);

-- The rest belongs to the operator's own tenant, whose keys seal the secrets: people have no tenant.
CREATE TABLE second_factors (
    tenant_id UUID NOT NULL,
    user_id UUID NOT NULL,
    secret BYTEA NOT NULL,
    key_version INTEGER NOT NULL,
    last_step BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_second_factors PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT fk_second_factors_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_second_factors_user ON second_factors (user_id);

CREATE TABLE recovery_codes (
    tenant_id UUID NOT NULL,
    user_id UUID NOT NULL,
    code_hash BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (tenant_id, user_id, code_hash),
    CONSTRAINT fk_recovery_codes_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_recovery_codes_user ON recovery_codes (user_id);

CREATE TABLE known_browsers (
    tenant_id UUID NOT NULL,
    id_hash BYTEA NOT NULL,
    user_id UUID NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_known_browsers PRIMARY KEY (tenant_id, id_hash),
    CONSTRAINT fk_known_browsers_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_known_browsers_user ON known_browsers (user_id);

CREATE TABLE login_challenges (
    tenant_id UUID NOT NULL,
    id_hash BYTEA NOT NULL,
    kind TEXT NOT NULL,
    user_id UUID,
    target TEXT NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_login_challenges PRIMARY KEY (tenant_id, id_hash),
    CONSTRAINT fk_login_challenges_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_login_challenges_user ON login_challenges (user_id);

CREATE TABLE identities (
    tenant_id UUID NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_identities PRIMARY KEY (tenant_id, issuer, subject),
    CONSTRAINT uq_identities_tenant_id_issuer_user_id UNIQUE (tenant_id, issuer, user_id),
    CONSTRAINT fk_identities_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_identities_user ON identities (user_id);

ALTER TABLE second_factors ENABLE ROW LEVEL SECURITY;
ALTER TABLE second_factors FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON second_factors TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON second_factors TO trunkline_app;

ALTER TABLE recovery_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE recovery_codes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON recovery_codes TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, DELETE ON recovery_codes TO trunkline_app;

ALTER TABLE known_browsers ENABLE ROW LEVEL SECURITY;
ALTER TABLE known_browsers FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON known_browsers TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON known_browsers TO trunkline_app;

ALTER TABLE login_challenges ENABLE ROW LEVEL SECURITY;
ALTER TABLE login_challenges FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON login_challenges TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON login_challenges TO trunkline_app;

ALTER TABLE identities ENABLE ROW LEVEL SECURITY;
ALTER TABLE identities FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON identities TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, DELETE ON identities TO trunkline_app;
