-- Row by row the tenant's own; a shredded tenant's go with it.
DO $$ DECLARE found text; BEGIN FOREACH found IN ARRAY ARRAY['hook_endpoints', 'inbound_events', 'inbound_attempts', 'hook_refusals', 'replays'] LOOP EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', found); EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', found); EXECUTE format('CREATE POLICY tenant_scope ON %I TO trunkline_app USING (tenant_id = (SELECT trunkline_tenant())) WITH CHECK (tenant_id = (SELECT trunkline_tenant()))', found); EXECUTE format('CREATE POLICY shred ON %I TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL))', found); EXECUTE format('GRANT SELECT, DELETE ON %I TO trunkline_shred', found); END LOOP; END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON hook_endpoints TO trunkline_app;
-- what arrived is not to be altered or removed, but for its payload, which expires and is sealed anew
GRANT SELECT, INSERT, UPDATE (headers, body, key_version, state, label, replay_id, tries, attempts, due_at, cause, done_at, stream, external_ids) ON inbound_events TO trunkline_app;
GRANT SELECT, INSERT ON inbound_attempts TO trunkline_app;
GRANT SELECT, INSERT, UPDATE ON hook_refusals TO trunkline_app;
GRANT SELECT, INSERT, UPDATE ON replays TO trunkline_app;

-- trunkline_system: whose address it is; one insert for the events of several tenants, which it cannot read; and
-- which connections have some that wait
CREATE POLICY system ON hook_endpoints TO trunkline_system USING (true) WITH CHECK (true);
GRANT SELECT (tenant_id, id, key_hash) ON hook_endpoints TO trunkline_system;
CREATE POLICY system ON inbound_events TO trunkline_system USING (true) WITH CHECK (true);
GRANT INSERT, SELECT (tenant_id, id, source_id, identity, connection_id, state, due_at) ON inbound_events TO trunkline_system;

-- trunkline_console: what arrived and what became of it, without what it was about
CREATE POLICY console ON inbound_events FOR SELECT TO trunkline_console USING (true);
GRANT SELECT (tenant_id, id, source_id, connection_id, connector, type, occurred_at, received_at, verdict, size, state, label, replay_id, tries, attempts, due_at, cause, done_at, stream) ON inbound_events TO trunkline_console;
CREATE POLICY console ON inbound_attempts FOR SELECT TO trunkline_console USING (true);
GRANT SELECT ON inbound_attempts TO trunkline_console;
CREATE POLICY console ON hook_refusals FOR SELECT TO trunkline_console USING (true);
GRANT SELECT (tenant_id, endpoint_id, cause, day, count, last_at) ON hook_refusals TO trunkline_console;
CREATE POLICY console ON replays FOR SELECT TO trunkline_console USING (true);
GRANT SELECT (tenant_id, id, connection_id, state, total, queued, created_at, started_at, finished_at) ON replays TO trunkline_console;
