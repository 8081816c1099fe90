-- After the other parts, since it covers their tables.
-- No sealed row without its key: a version stays while a row needs it, and no row comes after its version went
DO $$ DECLARE sealed text; BEGIN FOREACH sealed IN ARRAY ARRAY['authorizations', 'credentials', 'idempotent_answers', 'oauth_clients', 'records', 'second_factors', 'unconfirmed_credentials'] LOOP EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I FOREIGN KEY (tenant_id, key_version) REFERENCES data_keys (tenant_id, version)', sealed, 'fk_' || sealed || '_data_keys'); END LOOP; END $$;

-- The role that removes a tenant's rows: nothing but this, and only while that tenant is being shredded
DO $$ BEGIN CREATE ROLE trunkline_shred NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

DO $$ BEGIN IF NOT pg_has_role(current_user, 'trunkline_shred', 'SET') THEN EXECUTE format('GRANT trunkline_shred TO %I WITH SET TRUE', current_user); END IF; END $$;

GRANT USAGE ON SCHEMA public TO trunkline_shred;
GRANT EXECUTE ON FUNCTION trunkline_tenant() TO trunkline_shred;
CREATE POLICY shred ON shreddings FOR SELECT TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()));
GRANT SELECT (tenant_id, finished_at, keys_destroyed_at) ON shreddings TO trunkline_shred;

DO $$ DECLARE found text; BEGIN FOR found IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND c.relname NOT IN ('audit_entries', 'audit_heads', 'shreddings') LOOP EXECUTE format('CREATE POLICY shred ON %I TO trunkline_shred USING (tenant_id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL))', found); EXECUTE format('GRANT SELECT, DELETE ON %I TO trunkline_shred', found); END LOOP; END $$;

CREATE POLICY shred ON tenants TO trunkline_shred USING (id = (SELECT trunkline_tenant()) AND EXISTS (SELECT FROM shreddings s WHERE s.tenant_id = (SELECT trunkline_tenant()) AND s.keys_destroyed_at IS NOT NULL AND s.finished_at IS NULL));
GRANT SELECT, DELETE ON tenants TO trunkline_shred;
