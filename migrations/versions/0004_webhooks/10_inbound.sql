-- Addresses that providers deliver to; an app's belongs to the owner of its OAuth client.
CREATE TABLE hook_endpoints (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connector TEXT NOT NULL,
    connection_id UUID,
    oauth_client_id UUID,
    name TEXT DEFAULT '' NOT NULL,
    key_hash BYTEA NOT NULL,
    key BYTEA NOT NULL,
    secret BYTEA,
    previous_secret BYTEA,
    previous_until TIMESTAMP WITH TIME ZONE,
    key_version INTEGER NOT NULL,
    registration TEXT,
    state TEXT NOT NULL,
    cause TEXT,
    checked_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_hook_endpoints PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_hook_endpoints_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_hook_endpoints_data_keys FOREIGN KEY(tenant_id, key_version) REFERENCES data_keys (tenant_id, version)
);
CREATE INDEX ix_hook_endpoints_key ON hook_endpoints (key_hash);
CREATE UNIQUE INDEX ix_hook_endpoints_connection ON hook_endpoints (tenant_id, connection_id) WHERE connection_id IS NOT NULL;
CREATE UNIQUE INDEX ix_hook_endpoints_client ON hook_endpoints (tenant_id, connector) WHERE oauth_client_id IS NOT NULL;

-- What arrived. What it was stays as it is for ever; only where it stands and its expiring payload change.
CREATE TABLE inbound_events (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    source_id UUID NOT NULL,
    identity BYTEA NOT NULL,
    connection_id UUID,
    endpoint_id UUID NOT NULL,
    connector TEXT NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    verdict TEXT NOT NULL,
    headers BYTEA,
    body BYTEA,
    key_version INTEGER NOT NULL,
    size INTEGER NOT NULL,
    address TEXT,
    request_id TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT DEFAULT 'queued' NOT NULL,
    label TEXT DEFAULT 'initial' NOT NULL,
    replay_id UUID,
    tries INTEGER DEFAULT 0 NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    cause TEXT,
    done_at TIMESTAMP WITH TIME ZONE,
    stream TEXT,
    external_ids TEXT[] DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_inbound_events PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_inbound_events_tenant_id_source_id_identity UNIQUE (tenant_id, source_id, identity),
    CONSTRAINT fk_inbound_events_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_inbound_events_data_keys FOREIGN KEY(tenant_id, key_version) REFERENCES data_keys (tenant_id, version)
);
CREATE INDEX ix_inbound_events_queued ON inbound_events (tenant_id, connection_id, due_at) WHERE state = 'queued';
CREATE INDEX ix_inbound_events_source ON inbound_events (tenant_id, source_id, id);
CREATE INDEX ix_inbound_events_expiring ON inbound_events (tenant_id, expires_at) WHERE body IS NOT NULL;

-- Each time that something was made of it
CREATE TABLE inbound_attempts (
    tenant_id UUID NOT NULL,
    event_id UUID NOT NULL,
    number INTEGER NOT NULL,
    label TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    outcome TEXT NOT NULL,
    cause TEXT,
    run_id UUID,
    replay_id UUID,
    CONSTRAINT pk_inbound_attempts PRIMARY KEY (tenant_id, event_id, number),
    CONSTRAINT fk_inbound_attempts_inbound_events FOREIGN KEY(tenant_id, event_id) REFERENCES inbound_events (tenant_id, id) ON DELETE CASCADE
);

-- What was refused, counted; of each cause the last one's outline. Those at addresses nobody has are the operator's.
CREATE TABLE hook_refusals (
    tenant_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    cause TEXT NOT NULL,
    day DATE NOT NULL,
    count BIGINT NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sample JSONB NOT NULL,
    CONSTRAINT pk_hook_refusals PRIMARY KEY (tenant_id, endpoint_id, cause, day)
);

-- A bulk replay: what was planned, and how far it is
CREATE TABLE replays (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    connection_id UUID NOT NULL,
    filter JSONB NOT NULL,
    state TEXT NOT NULL,
    total INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    queued INTEGER DEFAULT 0 NOT NULL,
    up_to UUID NOT NULL,
    cursor UUID,
    created_by TEXT NOT NULL,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_replays PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_replays_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_inbound_attempts_replay ON inbound_attempts (tenant_id, replay_id) WHERE replay_id IS NOT NULL;

-- Which connections an account's events are for
CREATE INDEX ix_connections_account ON connections (oauth_client_id, account_id);
