-- Each runtime role with the least it needs: the system role only finds who calls and dispatches work,
-- a role of its own reads what the console shows, and PUBLIC has nothing.
DO $$ BEGIN CREATE ROLE trunkline_console NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

DO $$ BEGIN IF NOT pg_has_role(current_user, 'trunkline_console', 'SET') THEN EXECUTE format('GRANT trunkline_console TO %I WITH SET TRUE', current_user); END IF; END $$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO trunkline_app, trunkline_system, trunkline_console;

ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION trunkline_tenant() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trunkline_tenant() TO trunkline_app;

-- trunkline_system: lookups before the tenant is known
REVOKE ALL ON connections, authorizations, connect_sessions FROM trunkline_system;
GRANT SELECT (tenant_id, id, state, account_id, oauth_client_id) ON connections TO trunkline_system;
GRANT SELECT (tenant_id, state_hash) ON authorizations TO trunkline_system;
GRANT SELECT (tenant_id, id) ON connect_sessions TO trunkline_system;

-- trunkline_system: dispatching; what a piece of work is to do is none of its business
REVOKE ALL ON work FROM trunkline_system;
GRANT SELECT (tenant_id, id, kind, connection_id, priority, due_at, attempt, leased_by, lease_until) ON work TO trunkline_system;
GRANT UPDATE (attempt, leased_by, lease_until) ON work TO trunkline_system;

REVOKE DELETE ON api_keys, tenants, users FROM trunkline_system;

-- what was for the console alone
DROP POLICY system ON audit_entries;
DROP POLICY system ON change_heads;
DROP POLICY system ON issues;
DROP POLICY system ON recipes;
DROP POLICY system ON runs;
DROP POLICY system ON streams;
REVOKE ALL ON audit_entries, change_heads, issues, recipes, runs, streams FROM trunkline_system;

-- trunkline_console: health of every tenant and who did what; no record, no entity, no secret, no person's label
CREATE POLICY console ON audit_entries FOR SELECT TO trunkline_console USING (true);
CREATE POLICY console ON connections FOR SELECT TO trunkline_console USING (true);
CREATE POLICY console ON issues FOR SELECT TO trunkline_console USING (true);
CREATE POLICY console ON runs FOR SELECT TO trunkline_console USING (true);
CREATE POLICY console ON streams FOR SELECT TO trunkline_console USING (true);
CREATE POLICY console ON work FOR SELECT TO trunkline_console USING (true);
GRANT SELECT ON audit_entries, issues, runs TO trunkline_console;
GRANT SELECT (tenant_id, id, connector, name, state, state_since, cause, account_id, created_at) ON connections TO trunkline_console;
GRANT SELECT (tenant_id, connection_id, stream, schedule_seconds, freshness_seconds, run_id, last_success_at, next_due_at, waiting_until, failures, cause, cause_since, paused_at, records, created_at) ON streams TO trunkline_console;
GRANT SELECT (tenant_id, id, kind, key, connection_id, due_at, attempt, tries, lease_until, leased_by, cause) ON work TO trunkline_console;
