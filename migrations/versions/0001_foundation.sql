CREATE TABLE api_keys (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    key_hash BYTEA NOT NULL,
    tenant_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT uq_api_keys_prefix UNIQUE (prefix)
);

CREATE TABLE audit_entries (
    tenant_id UUID NOT NULL,
    id UUID DEFAULT uuidv7() NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target_kind TEXT NOT NULL,
    target_id TEXT NOT NULL,
    detail JSONB DEFAULT '{}' NOT NULL,
    reason TEXT,
    CONSTRAINT pk_audit_entries PRIMARY KEY (tenant_id, id)
);

CREATE INDEX ix_audit_entries_at ON audit_entries (tenant_id, at);

CREATE TABLE change_heads (
    tenant_id UUID NOT NULL,
    position BIGINT NOT NULL,
    CONSTRAINT pk_change_heads PRIMARY KEY (tenant_id)
);

CREATE TABLE changes (
    tenant_id UUID NOT NULL,
    position BIGINT NOT NULL,
    operation TEXT NOT NULL,
    entity_id UUID NOT NULL,
    model TEXT NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    external_id TEXT NOT NULL,
    recipe_id UUID NOT NULL,
    recipe_version INTEGER NOT NULL,
    run_id UUID NOT NULL,
    revision INTEGER NOT NULL,
    data JSONB NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_changes PRIMARY KEY (tenant_id, position)
);

CREATE INDEX ix_changes_entity ON changes (tenant_id, entity_id, position);

CREATE TABLE connect_sessions (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    token_hash BYTEA NOT NULL,
    end_user_id TEXT NOT NULL,
    end_user_label TEXT NOT NULL,
    connectors TEXT[] NOT NULL,
    recipes TEXT[] NOT NULL,
    origin TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    redeemed_at TIMESTAMP WITH TIME ZONE,
    frame_key_hash BYTEA,
    connection_id UUID,
    code_hash BYTEA,
    completed_at TIMESTAMP WITH TIME ZONE,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    error TEXT,
    CONSTRAINT pk_connect_sessions PRIMARY KEY (tenant_id, id)
);

CREATE INDEX ix_connect_sessions_id ON connect_sessions (id);

CREATE TABLE connections (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connector TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT,
    state_since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    account_id TEXT,
    account_label TEXT,
    oauth_client_tenant UUID NOT NULL,
    oauth_client_id UUID NOT NULL,
    scopes TEXT[] NOT NULL,
    via TEXT NOT NULL,
    end_user_id TEXT,
    connect_session_id UUID,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_call_at TIMESTAMP WITH TIME ZONE,
    config JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_connections PRIMARY KEY (tenant_id, id)
);

CREATE INDEX ix_connections_listing ON connections (tenant_id, created_at);

CREATE TABLE data_keys (
    tenant_id UUID NOT NULL,
    version INTEGER NOT NULL,
    wrapped BYTEA NOT NULL,
    provider TEXT NOT NULL,
    wrapping_key TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_data_keys PRIMARY KEY (tenant_id, version)
);

CREATE TABLE declared_models (
    tenant_id UUID NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    definition JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_declared_models PRIMARY KEY (tenant_id, name, version)
);

CREATE TABLE oauth_clients (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connector TEXT NOT NULL,
    client_id TEXT NOT NULL,
    secret BYTEA NOT NULL,
    key_version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_oauth_clients PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_oauth_clients_tenant_id_connector UNIQUE (tenant_id, connector)
);

CREATE TABLE tenants (
    id UUID NOT NULL,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_tenants PRIMARY KEY (id),
    CONSTRAINT uq_tenants_slug UNIQUE (slug)
);

CREATE TABLE users (
    id UUID NOT NULL,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    staff_role TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    disabled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT uq_users_email UNIQUE (email)
);

CREATE TABLE work (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    connection_id UUID,
    args JSONB DEFAULT '{}' NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    again_at TIMESTAMP WITH TIME ZONE,
    attempt INTEGER DEFAULT 0 NOT NULL,
    tries INTEGER DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    cause TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_work PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_work_tenant_id_kind_key UNIQUE (tenant_id, kind, key)
);

CREATE INDEX ix_work_due ON work (due_at);

CREATE INDEX ix_work_leased ON work (tenant_id, connection_id, lease_until) WHERE lease_until IS NOT NULL;

CREATE INDEX ix_work_tenant_due ON work (tenant_id, priority, due_at);

CREATE TABLE authorizations (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    state_hash BYTEA NOT NULL,
    browser_hash BYTEA NOT NULL,
    connection_id UUID NOT NULL,
    connector TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    principal_label TEXT NOT NULL,
    purpose TEXT NOT NULL,
    via TEXT NOT NULL,
    connect_session_id UUID,
    redirect_uri TEXT NOT NULL,
    verifier BYTEA NOT NULL,
    key_version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_authorizations PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_authorizations_tenant_id_state_hash UNIQUE (tenant_id, state_hash),
    CONSTRAINT fk_authorizations_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX ix_authorizations_state ON authorizations (state_hash);

CREATE TABLE credentials (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    generation INTEGER NOT NULL,
    access_token BYTEA NOT NULL,
    refresh_token BYTEA,
    key_version INTEGER NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    refreshed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_credentials PRIMARY KEY (tenant_id, connection_id),
    CONSTRAINT fk_credentials_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE issues (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT,
    key TEXT NOT NULL,
    cause TEXT NOT NULL,
    detail JSONB DEFAULT '{}' NOT NULL,
    count INTEGER DEFAULT 1 NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    resolved_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_issues PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_issues_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX ix_issues_connection ON issues (tenant_id, connection_id, opened_at);

CREATE UNIQUE INDEX ix_issues_open ON issues (tenant_id, key) WHERE resolved_at IS NULL;

CREATE TABLE login_sessions (
    id_hash BYTEA NOT NULL,
    user_id UUID NOT NULL,
    tenant_id UUID,
    csrf TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_login_sessions PRIMARY KEY (id_hash),
    CONSTRAINT fk_login_sessions_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_login_sessions_user ON login_sessions (user_id);

CREATE TABLE members (
    tenant_id UUID NOT NULL,
    user_id UUID NOT NULL,
    role TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_members PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT fk_members_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);

CREATE INDEX ix_members_user ON members (user_id);

CREATE TABLE recipes (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    name TEXT NOT NULL,
    stream TEXT NOT NULL,
    model TEXT NOT NULL,
    enabled BOOLEAN DEFAULT true NOT NULL,
    version INTEGER NOT NULL,
    schedule_seconds INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    archived_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_recipes PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_recipes_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX ix_recipes_stream ON recipes (tenant_id, connection_id, stream);

CREATE TABLE records (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    external_id TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    document BYTEA NOT NULL,
    key_version INTEGER NOT NULL,
    modified_at TIMESTAMP WITH TIME ZONE,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    run_id UUID NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_records PRIMARY KEY (tenant_id, connection_id, stream, external_id),
    CONSTRAINT fk_records_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE runs (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    mode TEXT NOT NULL,
    trigger TEXT NOT NULL,
    state TEXT NOT NULL,
    cause TEXT,
    waiting_until TIMESTAMP WITH TIME ZONE,
    attempt INTEGER DEFAULT 0 NOT NULL,
    retries INTEGER DEFAULT 0 NOT NULL,
    pages INTEGER DEFAULT 0 NOT NULL,
    fetched BIGINT DEFAULT 0 NOT NULL,
    created BIGINT DEFAULT 0 NOT NULL,
    updated BIGINT DEFAULT 0 NOT NULL,
    deleted BIGINT DEFAULT 0 NOT NULL,
    unchanged BIGINT DEFAULT 0 NOT NULL,
    filtered BIGINT DEFAULT 0 NOT NULL,
    quarantined BIGINT DEFAULT 0 NOT NULL,
    changes BIGINT DEFAULT 0 NOT NULL,
    expected BIGINT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    progress_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_runs PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_runs_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE INDEX ix_runs_history ON runs (tenant_id, connection_id, created_at DESC);

CREATE TABLE streams (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    schedule_seconds INTEGER NOT NULL,
    freshness_seconds INTEGER NOT NULL,
    run_id UUID,
    checkpoint JSONB,
    watermark TIMESTAMP WITH TIME ZONE,
    settled JSONB,
    last_started_at TIMESTAMP WITH TIME ZONE,
    last_success_at TIMESTAMP WITH TIME ZONE,
    next_due_at TIMESTAMP WITH TIME ZONE,
    waiting_until TIMESTAMP WITH TIME ZONE,
    failures INTEGER DEFAULT 0 NOT NULL,
    cause TEXT,
    cause_since TIMESTAMP WITH TIME ZONE,
    cause_detail JSONB,
    paused_at TIMESTAMP WITH TIME ZONE,
    records BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_streams PRIMARY KEY (tenant_id, connection_id, stream),
    CONSTRAINT fk_streams_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE entities (
    tenant_id UUID NOT NULL,
    recipe_id UUID NOT NULL,
    external_id TEXT NOT NULL,
    id UUID NOT NULL,
    model TEXT NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    data JSONB NOT NULL,
    fingerprint BYTEA NOT NULL,
    recipe_version INTEGER NOT NULL,
    run_id UUID NOT NULL,
    revision INTEGER NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_entities PRIMARY KEY (tenant_id, recipe_id, external_id),
    CONSTRAINT fk_entities_recipes FOREIGN KEY(tenant_id, recipe_id) REFERENCES recipes (tenant_id, id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX ix_entities_id ON entities (tenant_id, id);

CREATE INDEX ix_entities_model ON entities (tenant_id, model, id);

CREATE INDEX ix_entities_record ON entities (tenant_id, connection_id, stream, external_id);

CREATE TABLE quarantine (
    tenant_id UUID NOT NULL,
    recipe_id UUID NOT NULL,
    external_id TEXT NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    errors JSONB NOT NULL,
    recipe_version INTEGER NOT NULL,
    run_id UUID NOT NULL,
    since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_quarantine PRIMARY KEY (tenant_id, recipe_id, external_id),
    CONSTRAINT fk_quarantine_recipes FOREIGN KEY(tenant_id, recipe_id) REFERENCES recipes (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE recipe_versions (
    tenant_id UUID NOT NULL,
    recipe_id UUID NOT NULL,
    version INTEGER NOT NULL,
    definition JSONB NOT NULL,
    schedule_seconds INTEGER NOT NULL,
    author_id TEXT NOT NULL,
    author TEXT NOT NULL,
    note TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_recipe_versions PRIMARY KEY (tenant_id, recipe_id, version),
    CONSTRAINT fk_recipe_versions_recipes FOREIGN KEY(tenant_id, recipe_id) REFERENCES recipes (tenant_id, id) ON DELETE CASCADE
);
