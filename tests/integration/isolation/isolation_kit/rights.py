"""What each runtime role may do, table by table: the whole truth, which the live schema must equal.

A migration that adds a table, a function or a trigger adds it here, or the catalogue tests fail.
"""

ALL = "SELECT INSERT UPDATE DELETE"
ROLES = ("trunkline_app", "trunkline_system", "trunkline_console", "trunkline_shred")

INSTALLATION = {
    "alembic_version": "the migrations' own",
    "api_keys": "found by its prefix before the tenant is known",
    "connector_packages": "a partner's connector serves every tenant that may connect it",
    "connector_registry": "one counter, by which every process knows that they changed",
    "login_sessions": "found by the cookie before the user is known",
    "tenants": "the list of tenants itself; a tenant sees its own row",
    "users": "a person may belong to several tenants",
}
"""Tables that no tenant owns, each with its reason. Every other table is a tenant's."""

APP = {
    "action_calls": ALL,
    "audit_entries": "SELECT INSERT",
    "audit_heads": "SELECT INSERT UPDATE(at) UPDATE(hash) UPDATE(sequence)",
    "authorizations": ALL,
    "change_heads": "SELECT INSERT UPDATE",
    "changed_parents": ALL,
    "changes": "SELECT INSERT",
    "connect_sessions": ALL,
    "connections": ALL,
    "connector_approvals": "SELECT",
    "credentials": ALL,
    "daily_changes": "SELECT INSERT UPDATE",
    "data_keys": ALL,
    "declared_models": "SELECT INSERT",
    "deliveries": ALL,
    "delivery_attempts": ALL,
    "endpoint_credentials": ALL,
    "endpoint_secrets": ALL,
    "entities": ALL,
    "hook_endpoints": ALL,
    "hook_refusals": "SELECT INSERT UPDATE",
    "health_levels": ALL,
    "idempotent_answers": ALL,
    "identities": "SELECT INSERT DELETE",
    "inbound_attempts": "SELECT INSERT",
    "inbound_events": (
        "SELECT INSERT UPDATE(attempts) UPDATE(body) UPDATE(cause) UPDATE(differs) UPDATE(done_at)"
        " UPDATE(due_at) UPDATE(external_ids) UPDATE(headers) UPDATE(key_version) UPDATE(label)"
        " UPDATE(replay_id) UPDATE(state) UPDATE(stream) UPDATE(tries)"
    ),
    "issues": "SELECT INSERT UPDATE",
    "known_browsers": ALL,
    "login_challenges": ALL,
    "members": "SELECT",
    "oauth_clients": ALL,
    "outbound_events": "SELECT INSERT DELETE",
    "outbound_heads": "SELECT INSERT UPDATE",
    "passes": ALL,
    "quarantine": ALL,
    "readers": ALL,
    "recipe_versions": "SELECT INSERT",
    "recipes": ALL,
    "record_parents": "SELECT INSERT UPDATE",
    "records": ALL,
    "recovery_codes": "SELECT INSERT DELETE",
    "refresh_intents": ALL,
    "replays": "SELECT INSERT UPDATE",
    "reviews": "SELECT INSERT UPDATE",
    "runs": "SELECT INSERT UPDATE",
    "second_factors": ALL,
    "seen_pages": "SELECT INSERT DELETE",
    "shreddings": "SELECT INSERT UPDATE",
    "streams": ALL,
    "tenants": "SELECT",
    "unconfirmed_credentials": ALL,
    "untold_changes": "SELECT INSERT DELETE",
    "untold_days": "SELECT INSERT UPDATE",
    "vanished": "SELECT INSERT DELETE",
    "webhook_endpoints": "SELECT INSERT UPDATE",
    "work": ALL,
}

SYSTEM = {
    "api_keys": "SELECT INSERT UPDATE",
    "audit_entries": "SELECT(tenant_id)",
    "audit_heads": "SELECT",
    "authorizations": "SELECT(state_hash) SELECT(tenant_id)",
    "connect_sessions": "SELECT(id) SELECT(tenant_id)",
    "connections": (
        "SELECT(account_id) SELECT(connector) SELECT(connector_version) SELECT(id) SELECT(oauth_client_id)"
        " SELECT(state) SELECT(tenant_id)"
    ),
    "connector_approvals": "DELETE INSERT SELECT",
    "connector_packages": (
        "INSERT SELECT UPDATE(findings) UPDATE(graded) UPDATE(pausing) UPDATE(withdrawn_at)"
        " UPDATE(withdrawn_reason)"
    ),
    "connector_registry": "SELECT UPDATE(counter)",
    "hook_endpoints": "SELECT(id) SELECT(key_hash) SELECT(tenant_id)",
    "inbound_events": (
        "INSERT SELECT(connection_id) SELECT(due_at) SELECT(id) SELECT(identity) SELECT(source_id)"
        " SELECT(state) SELECT(tenant_id)"
    ),
    "login_sessions": ALL,
    "members": ALL,
    "shreddings": "SELECT",
    "tenants": "SELECT INSERT UPDATE",
    "users": "SELECT INSERT UPDATE",
    "work": (
        "DELETE SELECT(again_at) SELECT(args) SELECT(attempt) SELECT(connection_id) SELECT(due_at) SELECT(id)"
        " SELECT(key) SELECT(kind) SELECT(lease_until) SELECT(leased_by) SELECT(priority) SELECT(ready)"
        " SELECT(tenant_id)"
        " SELECT(tries) UPDATE(attempt) UPDATE(lease_until) UPDATE(leased_by) UPDATE(ready)"
    ),
}

CONSOLE = {
    "audit_entries": (
        "SELECT(action) SELECT(actor_kind) SELECT(after) SELECT(at) SELECT(before) SELECT(detail)"
        " SELECT(sequence) SELECT(target_id) SELECT(target_kind) SELECT(tenant_id)"
    ),
    "change_heads": "SELECT",
    "changes": "SELECT(changed_at) SELECT(position) SELECT(tenant_id)",
    "connections": (
        "SELECT(account_id) SELECT(cause) SELECT(connector) SELECT(connector_version) SELECT(created_at) SELECT(id) SELECT(name)"
        " SELECT(state) SELECT(state_since) SELECT(tenant_id)"
    ),
    "hook_endpoints": (
        "SELECT(cause) SELECT(checked_at) SELECT(connection_id) SELECT(connector) SELECT(id)"
        " SELECT(registered_at) SELECT(state) SELECT(tenant_id)"
    ),
    "hook_refusals": (
        "SELECT(cause) SELECT(count) SELECT(day) SELECT(endpoint_id) SELECT(last_at) SELECT(tenant_id)"
    ),
    "inbound_attempts": "SELECT",
    "inbound_events": (
        "SELECT(attempts) SELECT(cause) SELECT(connection_id) SELECT(connector) SELECT(differs) SELECT(done_at)"
        " SELECT(due_at) SELECT(id) SELECT(label) SELECT(occurred_at) SELECT(received_at) SELECT(replay_id)"
        " SELECT(size) SELECT(source_id) SELECT(state) SELECT(stream) SELECT(tenant_id) SELECT(tries)"
        " SELECT(type) SELECT(verdict)"
    ),
    "deliveries": (
        "SELECT(attempts) SELECT(cause) SELECT(created_at) SELECT(ended_at) SELECT(endpoint_id)"
        " SELECT(endpoint_owner) SELECT(event_id) SELECT(id) SELECT(next_at) SELECT(state) SELECT(tenant_id)"
        " SELECT(tries) SELECT(trigger)"
    ),
    "delivery_attempts": (
        "SELECT(at) SELECT(cause) SELECT(delivery_id) SELECT(number) SELECT(status) SELECT(tenant_id)"
        " SELECT(took_ms) SELECT(trigger)"
    ),
    "endpoint_credentials": "SELECT(certificate_ends) SELECT(endpoint_id) SELECT(tenant_id)",
    "issues": "SELECT",
    "outbound_events": "SELECT(id) SELECT(occurred_at) SELECT(tenant_id) SELECT(type)",
    "readers": "SELECT",
    "replays": (
        "SELECT(connection_id) SELECT(created_at) SELECT(finished_at) SELECT(id) SELECT(queued)"
        " SELECT(started_at) SELECT(state) SELECT(tenant_id) SELECT(total)"
    ),
    "reviews": (
        "SELECT(applied_at) SELECT(connection_id) SELECT(count) SELECT(decided_at) SELECT(id) SELECT(kind)"
        " SELECT(opened_at) SELECT(state) SELECT(stream) SELECT(tenant_id) SELECT(total)"
    ),
    "runs": "SELECT",
    "streams": (
        "SELECT(cause) SELECT(cause_since) SELECT(connection_id) SELECT(created_at) SELECT(failures)"
        " SELECT(freshness_seconds) SELECT(last_success_at) SELECT(late_at) SELECT(next_due_at)"
        " SELECT(paused_at)"
        " SELECT(records) SELECT(run_id) SELECT(schedule_seconds) SELECT(stream) SELECT(tenant_id)"
        " SELECT(told_since) SELECT(waiting_until)"
    ),
    "untold_days": "SELECT",
    "work": (
        "SELECT(attempt) SELECT(cause) SELECT(connection_id) SELECT(due_at) SELECT(id) SELECT(key)"
        " SELECT(kind) SELECT(lease_until) SELECT(leased_by) SELECT(tenant_id) SELECT(tries)"
    ),
    "webhook_endpoints": "SELECT",
}

KEPT = {"audit_entries", "audit_heads", "shreddings"}
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
    ("webhook_endpoints", "operator_endpoints"): (
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
    "trunkline_audit_forward": set(),
    "trunkline_entities_refer": set(),
    "trunkline_keep_keys": set(),
    "trunkline_records_refer": set(),
    "trunkline_take_entities": set(),
    "trunkline_take_records": set(),
    "trunkline_tenant": {"trunkline_app", "trunkline_shred"},
}
"""Every function, with the runtime roles that may call it. None runs with its owner's rights."""

TRIGGERS = {
    ("connections", "trunkline_take_records"): "a connection takes its records along",
    ("data_keys", "trunkline_keep_keys"): "a key that a record needs stays",
    ("entities", "trunkline_entities_refer_insert"): "an entity's recipe is there",
    ("entities", "trunkline_entities_refer_update"): "the same of what it becomes",
    ("recipes", "trunkline_take_entities"): "a recipe takes its entities along",
    ("records", "trunkline_records_refer_insert"): "a record's connection and key are there",
    ("records", "trunkline_records_refer_update"): "the same of what it becomes",
    ("audit_heads", "forward"): "a head of the audit log moves forward only, to an entry that is there",
}
"""(table, name) of every trigger, with what it is for."""
