-- When a pass last read everything: it alone finds what was purged. Those that are due come spread over a day
ALTER TABLE streams ADD COLUMN complete_at TIMESTAMP WITH TIME ZONE DEFAULT now() - random() * interval '1 day';
ALTER TABLE streams ALTER COLUMN complete_at DROP DEFAULT;

-- What the pass under way has been given, a row a page
CREATE TABLE seen_pages (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    id UUID DEFAULT uuidv7() NOT NULL,
    pass_id UUID NOT NULL,
    ids TEXT[] NOT NULL,
    CONSTRAINT pk_seen_pages PRIMARY KEY (tenant_id, connection_id, stream, id),
    CONSTRAINT fk_seen_pages_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

-- What a pass found gone, until it is deleted; that of a review, until somebody has decided
CREATE TABLE vanished (
    tenant_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    pass_id UUID NOT NULL,
    external_id TEXT NOT NULL,
    listed BOOLEAN NOT NULL,
    at TIMESTAMP WITH TIME ZONE,
    noted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_vanished PRIMARY KEY (tenant_id, connection_id, stream, pass_id, external_id),
    CONSTRAINT fk_vanished_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE reviews (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    connection_id UUID NOT NULL,
    stream TEXT NOT NULL,
    state TEXT NOT NULL,
    count BIGINT NOT NULL,
    total BIGINT NOT NULL,
    doubtful BOOLEAN NOT NULL,
    sample TEXT[] NOT NULL,
    run_id UUID NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE,
    decided_by TEXT,
    reason TEXT,
    applied_at TIMESTAMP WITH TIME ZONE,
    deleted BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_reviews PRIMARY KEY (tenant_id, id),
    CONSTRAINT ck_reviews_state CHECK (state IN ('open', 'approved', 'rejected', 'superseded')),
    CONSTRAINT fk_reviews_connections FOREIGN KEY(tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX ix_reviews_open ON reviews (tenant_id, connection_id, stream, kind) WHERE state = 'open';

CREATE INDEX ix_reviews_listing ON reviews (tenant_id, opened_at DESC, id);

CREATE INDEX ix_reviews_stream ON reviews (tenant_id, connection_id, stream);

ALTER TABLE seen_pages ENABLE ROW LEVEL SECURITY;
ALTER TABLE seen_pages FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON seen_pages TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, DELETE ON seen_pages TO trunkline_app;
ALTER TABLE vanished ENABLE ROW LEVEL SECURITY;
ALTER TABLE vanished FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON vanished TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, DELETE ON vanished TO trunkline_app;
ALTER TABLE reviews ENABLE ROW LEVEL SECURITY;
ALTER TABLE reviews FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON reviews TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT, INSERT, UPDATE ON reviews TO trunkline_app;
-- the console shows that there is a review, not which records
CREATE POLICY console ON reviews FOR SELECT TO trunkline_console USING (true);
GRANT SELECT (tenant_id, id, kind, connection_id, stream, state, count, total, opened_at, decided_at, applied_at) ON reviews TO trunkline_console;

DO $$ DECLARE found text; BEGIN FOREACH found IN ARRAY ARRAY['seen_pages', 'vanished', 'reviews'] LOOP EXECUTE format('CREATE POLICY shred ON %I TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL))', found); EXECUTE format('GRANT SELECT, DELETE ON %I TO trunkline_shred', found); END LOOP; END $$;
