"""Every table of the first release, its row-level security, and the two runtime roles."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

# table -> what the runtime role may do to its tenant's rows
TENANT_TABLES = {
    "audit_entries": "SELECT, INSERT",
    "authorizations": "SELECT, INSERT, UPDATE, DELETE",
    "change_heads": "SELECT, INSERT, UPDATE",
    "changes": "SELECT, INSERT",
    "connect_sessions": "SELECT, INSERT, UPDATE, DELETE",
    "connections": "SELECT, INSERT, UPDATE, DELETE",
    "credentials": "SELECT, INSERT, UPDATE, DELETE",
    "data_keys": "SELECT, INSERT, UPDATE",
    "declared_models": "SELECT, INSERT",
    "entities": "SELECT, INSERT, UPDATE, DELETE",
    "issues": "SELECT, INSERT, UPDATE",
    "members": "SELECT",
    "oauth_clients": "SELECT, INSERT, UPDATE, DELETE",
    "quarantine": "SELECT, INSERT, UPDATE, DELETE",
    "recipe_versions": "SELECT, INSERT",
    "recipes": "SELECT, INSERT, UPDATE, DELETE",
    "records": "SELECT, INSERT, UPDATE, DELETE",
    "runs": "SELECT, INSERT, UPDATE",
    "streams": "SELECT, INSERT, UPDATE, DELETE",
    "work": "SELECT, INSERT, UPDATE, DELETE",
}

# tenant table -> what the system role may do across tenants: find who calls, dispatch, show health
SYSTEM_TABLES = {
    "audit_entries": "SELECT",
    "authorizations": "SELECT",
    "change_heads": "SELECT",
    "connect_sessions": "SELECT",
    "connections": "SELECT",
    "issues": "SELECT",
    "members": "SELECT, INSERT, UPDATE, DELETE",
    "recipes": "SELECT",
    "runs": "SELECT",
    "streams": "SELECT",
    "work": "SELECT, UPDATE",
}

# the installation's own tables: the system role only
INSTALLATION_TABLES = ("api_keys", "login_sessions", "tenants", "users")


def upgrade() -> None:
    sql = Path(__file__).with_suffix(".sql").read_text()
    for statement in sql.split(";\n"):
        if statement.strip():
            op.execute(statement)
    _roles()
    _scope()


def _roles() -> None:
    for role in ("trunkline_app", "trunkline_system"):
        op.execute(f"""
            DO $$ BEGIN
                CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END $$""")
        op.execute(f"""
            DO $$ BEGIN
                IF NOT pg_has_role(current_user, '{role}', 'SET') THEN
                    EXECUTE format('GRANT {role} TO %I WITH SET TRUE', current_user);
                END IF;
            END $$""")
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")


def _scope() -> None:
    op.execute("""
        CREATE FUNCTION trunkline_tenant() RETURNS uuid LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
        DECLARE scope text := current_setting('app.tenant_id', true);
        BEGIN
            IF scope IS NULL OR scope = '' THEN
                RAISE EXCEPTION 'the tenant is not set in this transaction'
                    USING ERRCODE = 'insufficient_privilege';
            END IF;
            RETURN scope::uuid;
        END $$""")
    for table, rights in TENANT_TABLES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"""
            CREATE POLICY tenant_scope ON {table} TO trunkline_app
            USING (tenant_id = (SELECT trunkline_tenant()))
            WITH CHECK (tenant_id = (SELECT trunkline_tenant()))""")
        op.execute(f"GRANT {rights} ON {table} TO trunkline_app")
    for table, rights in SYSTEM_TABLES.items():
        op.execute(f"CREATE POLICY system ON {table} TO trunkline_system USING (true) WITH CHECK (true)")
        op.execute(f"GRANT {rights} ON {table} TO trunkline_system")
    for table in INSTALLATION_TABLES:
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY system ON {table} TO trunkline_system USING (true) WITH CHECK (true)")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO trunkline_system")
    # a tenant sees its own name, and the models that the operator declared for everybody
    op.execute("""
        CREATE POLICY tenant_scope ON tenants FOR SELECT TO trunkline_app
        USING (id = (SELECT trunkline_tenant()))""")
    op.execute("GRANT SELECT ON tenants TO trunkline_app")
    op.execute("""
        CREATE POLICY operator_models ON declared_models FOR SELECT TO trunkline_app
        USING (tenant_id = '00000000-0000-0000-0000-000000000000')""")


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
