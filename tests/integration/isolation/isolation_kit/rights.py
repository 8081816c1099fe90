"""What each runtime role may do, table by table: the whole truth, which the live schema must equal.

A migration that adds a table, a function or a trigger adds it here, or the catalogue tests fail.
"""

ALL = "SELECT INSERT UPDATE DELETE"
ROLES = ("trunkline_app", "trunkline_system", "trunkline_console", "trunkline_shred")

INSTALLATION = {
    "alembic_version": "the migrations' own",
    "api_keys": "found by its prefix before the tenant is known",
    "login_sessions": "found by the cookie before the user is known",
    "tenants": "the list of tenants itself; a tenant sees its own row",
    "users": "a person may belong to several tenants",
}
"""Tables that no tenant owns, each with its reason. Every other table is a tenant's."""

APP = {
    "audit_entries": "SELECT INSERT",
    "authorizations": ALL,
    "change_heads": "SELECT INSERT UPDATE",
    "changes": "SELECT INSERT",
    "connect_sessions": ALL,
    "connections": ALL,
    "credentials": ALL,
    "data_keys": ALL,
    "declared_models": "SELECT INSERT",
    "entities": ALL,
    "idempotent_answers": ALL,
    "identities": "SELECT INSERT DELETE",
    "issues": "SELECT INSERT UPDATE",
    "known_browsers": ALL,
    "login_challenges": ALL,
    "members": "SELECT",
    "oauth_clients": ALL,
    "quarantine": ALL,
    "recipe_versions": "SELECT INSERT",
    "recipes": ALL,
    "records": ALL,
    "recovery_codes": "SELECT INSERT DELETE",
    "refresh_intents": ALL,
    "runs": "SELECT INSERT UPDATE",
    "second_factors": ALL,
    "shreddings": "SELECT INSERT UPDATE",
    "streams": ALL,
    "tenants": "SELECT",
    "unconfirmed_credentials": ALL,
    "work": ALL,
}

SYSTEM = {
    "api_keys": "SELECT INSERT UPDATE",
    "authorizations": "SELECT(state_hash) SELECT(tenant_id)",
    "connect_sessions": "SELECT(id) SELECT(tenant_id)",
    "connections": "SELECT(account_id) SELECT(id) SELECT(oauth_client_id) SELECT(state) SELECT(tenant_id)",
    "login_sessions": ALL,
    "members": ALL,
    "shreddings": "SELECT",
    "tenants": "SELECT INSERT UPDATE",
    "users": "SELECT INSERT UPDATE",
    "work": (
        "SELECT(attempt) SELECT(connection_id) SELECT(due_at) SELECT(id) SELECT(kind) SELECT(lease_until)"
        " SELECT(leased_by) SELECT(priority) SELECT(tenant_id)"
        " UPDATE(attempt) UPDATE(lease_until) UPDATE(leased_by)"
    ),
}

CONSOLE = {
    "audit_entries": "SELECT",
    "connections": (
        "SELECT(account_id) SELECT(cause) SELECT(connector) SELECT(created_at) SELECT(id) SELECT(name)"
        " SELECT(state) SELECT(state_since) SELECT(tenant_id)"
    ),
    "issues": "SELECT",
    "runs": "SELECT",
    "streams": (
        "SELECT(cause) SELECT(cause_since) SELECT(connection_id) SELECT(created_at) SELECT(failures)"
        " SELECT(freshness_seconds) SELECT(last_success_at) SELECT(next_due_at) SELECT(paused_at)"
        " SELECT(records) SELECT(run_id) SELECT(schedule_seconds) SELECT(stream) SELECT(tenant_id)"
        " SELECT(waiting_until)"
    ),
    "work": (
        "SELECT(attempt) SELECT(cause) SELECT(connection_id) SELECT(due_at) SELECT(id) SELECT(key)"
        " SELECT(kind) SELECT(lease_until) SELECT(leased_by) SELECT(tenant_id) SELECT(tries)"
    ),
}

KEPT = {"audit_entries", "shreddings"}
"""A tenant's rows that outlive it: what was done, and that it was shredded."""

SHRED = dict.fromkeys({*APP, "api_keys", "login_sessions"} - KEPT, "SELECT DELETE") | {
    "shreddings": "SELECT(finished_at) SELECT(keys_destroyed_at) SELECT(tenant_id)"
}

RIGHTS = {
    "trunkline_app": APP,
    "trunkline_system": SYSTEM,
    "trunkline_console": CONSOLE,
    "trunkline_shred": SHRED,
}

SCOPE = "(tenant_id = ( SELECT trunkline_tenant() AS trunkline_tenant))"

POLICIES = {
    ("declared_models", "operator_models"): (
        "SELECT",
        "trunkline_app",
        "(tenant_id = '00000000-0000-0000-0000-000000000000'::uuid)",
        None,
    ),
    ("tenants", "tenant_scope"): (
        "SELECT",
        "trunkline_app",
        "(id = ( SELECT trunkline_tenant() AS trunkline_tenant))",
        None,
    ),
}
"""Those beside the regular ones: command, role, using, with check."""

_UNDER_WAY = (
    "(EXISTS ( SELECT FROM shreddings s WHERE ((s.tenant_id = ( SELECT trunkline_tenant() AS trunkline_tenant))"
    " AND (s.keys_destroyed_at IS NOT NULL) AND (s.finished_at IS NULL))))"
)
POLICIES |= {
    (table, "shred"): ("ALL", "trunkline_shred", f"({SCOPE} AND {_UNDER_WAY})", None)
    for table in set(SHRED) - {"shreddings", "tenants"}
}
POLICIES |= {
    ("shreddings", "shred"): ("SELECT", "trunkline_shred", SCOPE, None),
    ("tenants", "shred"): (
        "ALL",
        "trunkline_shred",
        f"({SCOPE.replace('tenant_id', 'id', 1)} AND {_UNDER_WAY})",
        None,
    ),
}

FUNCTIONS = {
    "trunkline_tenant": {"trunkline_app", "trunkline_shred"},
}
"""Every function, with the runtime roles that may call it. None runs with its owner's rights."""

TRIGGERS = {}
"""(table, name) of every trigger, with what it is for."""
