-- An endpoint is a tenant's, or the installation's (tenant 0): then every tenant's events go there.
CREATE TABLE webhook_endpoints (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    types TEXT[] NOT NULL,
    full_data BOOLEAN NOT NULL,
    ordered BOOLEAN NOT NULL,
    concurrency INTEGER NOT NULL,
    rate INTEGER,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    failing_since TIMESTAMP WITH TIME ZONE,
    noticed_at TIMESTAMP WITH TIME ZONE,
    resting_until TIMESTAMP WITH TIME ZONE,
    disabled_at TIMESTAMP WITH TIME ZONE,
    disabled_cause TEXT,
    removed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_webhook_endpoints PRIMARY KEY (tenant_id, id)
);
CREATE INDEX ix_webhook_endpoints_failing ON webhook_endpoints (tenant_id, id) WHERE failing_since IS NOT NULL;

CREATE TABLE endpoint_secrets (
    tenant_id UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    id UUID NOT NULL,
    secret BYTEA NOT NULL,
    key_version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_endpoint_secrets PRIMARY KEY (tenant_id, endpoint_id, id),
    CONSTRAINT fk_endpoint_secrets_webhook_endpoints FOREIGN KEY(tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_endpoint_secrets_data_keys FOREIGN KEY (tenant_id, key_version) REFERENCES data_keys (tenant_id, version)
);

-- What happened: written in the transaction of the fact, kept only where some endpoint asks for its type
CREATE TABLE outbound_events (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    number BIGINT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    slug TEXT,
    data JSONB NOT NULL,
    positions BIGINT[] NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_outbound_events PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_outbound_events_tenant_id_number UNIQUE (tenant_id, number)
);
-- The last number given to an event; its row's lock puts a tenant's events in the order of their commits
CREATE TABLE outbound_heads (
    tenant_id UUID NOT NULL,
    number BIGINT NOT NULL,
    CONSTRAINT pk_outbound_heads PRIMARY KEY (tenant_id)
);
CREATE INDEX ix_outbound_events_created ON outbound_events (tenant_id, created_at);

-- An event on its way to an endpoint. `endpoint_owner` is this tenant or the installation
CREATE TABLE deliveries (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    event_id UUID NOT NULL,
    number BIGINT NOT NULL,
    endpoint_owner UUID NOT NULL,
    endpoint_id UUID NOT NULL,
    subject TEXT NOT NULL,
    full_data BOOLEAN NOT NULL,
    state TEXT DEFAULT 'pending' NOT NULL,
    cause TEXT,
    trigger TEXT NOT NULL,
    tries INTEGER DEFAULT 0 NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_deliveries PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_deliveries_tenant_id_endpoint_id_event_id UNIQUE (tenant_id, endpoint_id, event_id),
    CONSTRAINT ck_deliveries_state CHECK (state IN ('pending', 'succeeded', 'failed')),
    CONSTRAINT ck_deliveries_next CHECK ((state = 'pending') = (next_at IS NOT NULL)),
    CONSTRAINT fk_deliveries_outbound_events FOREIGN KEY(tenant_id, event_id) REFERENCES outbound_events (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_deliveries_due ON deliveries (tenant_id, endpoint_id, next_at) WHERE state = 'pending';
CREATE INDEX ix_deliveries_order ON deliveries (tenant_id, endpoint_id, subject, number) WHERE state = 'pending';
CREATE INDEX ix_deliveries_event ON deliveries (tenant_id, event_id);
CREATE INDEX ix_deliveries_shared ON deliveries (endpoint_id, created_at DESC, id DESC) WHERE endpoint_owner <> tenant_id;
CREATE INDEX ix_deliveries_listing ON deliveries (tenant_id, created_at DESC, id DESC);

CREATE TABLE delivery_attempts (
    tenant_id UUID NOT NULL,
    delivery_id UUID NOT NULL,
    number INTEGER NOT NULL,
    trigger TEXT NOT NULL,
    status INTEGER,
    cause TEXT,
    took_ms INTEGER NOT NULL,
    answer BYTEA NOT NULL,
    key_version INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_delivery_attempts PRIMARY KEY (tenant_id, delivery_id, number),
    CONSTRAINT fk_delivery_attempts_deliveries FOREIGN KEY(tenant_id, delivery_id) REFERENCES deliveries (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_delivery_attempts_data_keys FOREIGN KEY (tenant_id, key_version) REFERENCES data_keys (tenant_id, version)
);
CREATE INDEX ix_delivery_attempts_at ON delivery_attempts (tenant_id, at);

-- How each connection stood when it was last looked at: a change of it is an event
CREATE TABLE health_levels (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    level TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_health_levels PRIMARY KEY (tenant_id, connection_id),
    CONSTRAINT fk_health_levels_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

DO $$ DECLARE found text; BEGIN FOREACH found IN ARRAY ARRAY['webhook_endpoints', 'endpoint_secrets', 'outbound_events', 'outbound_heads', 'deliveries', 'delivery_attempts', 'health_levels'] LOOP EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', found); EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', found); EXECUTE format('CREATE POLICY tenant_scope ON %I TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()))', found); EXECUTE format('CREATE POLICY shred ON %I TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL))', found); EXECUTE format('GRANT SELECT, DELETE ON %I TO trunkline_shred', found); END LOOP; END $$;

GRANT SELECT, INSERT, UPDATE ON webhook_endpoints, outbound_heads TO trunkline_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON endpoint_secrets, deliveries, delivery_attempts, health_levels TO trunkline_app;
GRANT SELECT, INSERT, DELETE ON outbound_events TO trunkline_app;

-- Every tenant's transactions see where the installation wants its events to go; its secrets they do not
CREATE POLICY operator_endpoints ON webhook_endpoints FOR SELECT TO trunkline_app USING (tenant_id = '00000000-0000-0000-0000-000000000000');

-- The console sees how endpoints fare and what became of deliveries, never what they held or what was answered
CREATE POLICY console ON webhook_endpoints FOR SELECT TO trunkline_console USING (true);
GRANT SELECT ON webhook_endpoints TO trunkline_console;
CREATE POLICY console ON outbound_events FOR SELECT TO trunkline_console USING (true);
GRANT SELECT (tenant_id, id, type, occurred_at) ON outbound_events TO trunkline_console;
CREATE POLICY console ON deliveries FOR SELECT TO trunkline_console USING (true);
GRANT SELECT (tenant_id, id, event_id, endpoint_owner, endpoint_id, state, cause, trigger, tries, attempts, next_at, created_at, ended_at) ON deliveries TO trunkline_console;
CREATE POLICY console ON delivery_attempts FOR SELECT TO trunkline_console USING (true);
GRANT SELECT (tenant_id, delivery_id, number, trigger, status, cause, took_ms, at) ON delivery_attempts TO trunkline_console;
