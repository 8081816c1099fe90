"""The rules of the live schema. Each gives the faults it finds, in words; none of them trusts a name."""

from collections import defaultdict
from typing import Any

import asyncpg
from isolation_kit.rights import (
    FUNCTIONS,
    INSTALLATION,
    POLICIES,
    RIGHTS,
    ROLES,
    SCOPE,
    TRIGGERS,
)

FOREIGN = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
"""Namespaces that are not the database's own."""

RELATIONS = f"""
    SELECT c.oid, c.relname::text AS name, n.nspname::text AS space, c.relkind::text AS kind,
           c.relrowsecurity AND c.relforcerowsecurity AS forced
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {FOREIGN}
"""


async def _tables(db: asyncpg.Connection) -> dict[int, str]:
    """Plain and partitioned tables and every partition, by their id."""
    found = await db.fetch(f"{RELATIONS} AND c.relkind IN ('r', 'p')")
    return {row["oid"]: row["name"] for row in found}


async def row_level_security(db: asyncpg.Connection) -> list[str]:
    rows = await db.fetch(f"{RELATIONS} AND c.relkind IN ('r', 'p')")
    return [
        f"{row['name']}: row-level security is not enabled and forced"
        for row in rows
        if not row["forced"] and row["name"] != "alembic_version"
    ]


async def one_schema(db: asyncpg.Connection) -> list[str]:
    """Rules look at every namespace; that there is one keeps them readable."""
    rows = await db.fetch(f"{RELATIONS} AND n.nspname <> 'public'")
    return [f"{row['space']}.{row['name']}: outside of the schema public" for row in rows]


async def tenant_leads_keys(db: asyncpg.Connection) -> list[str]:
    tables, faults, primary = await _tables(db), [], set()
    columns = await db.fetch(
        """SELECT attrelid, attnotnull, atttypid::regtype::text AS type FROM pg_attribute
           WHERE attname = 'tenant_id' AND NOT attisdropped AND attnum > 0"""
    )
    have = {row["attrelid"] for row in columns if row["attnotnull"] and row["type"] == "uuid"}
    rows = await db.fetch(
        """SELECT c.conrelid, c.conname::text AS name, c.contype::text AS kind, a.attname::text AS first,
                  c.confrelid, f.attname::text AS target
           FROM pg_constraint c
           LEFT JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
           LEFT JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = c.confkey[1]
           WHERE c.contype IN ('p', 'u', 'f', 'x')"""
    )
    for row in rows:
        table, goal = tables.get(row["conrelid"]), tables.get(row["confrelid"], "")
        if table is None:
            continue
        if row["kind"] == "f":
            if goal in INSTALLATION:
                continue
            wrong = (row["first"], row["target"]) != ("tenant_id", "tenant_id")
        else:
            wrong = table not in INSTALLATION and row["first"] != "tenant_id"
            if row["kind"] == "p":
                primary.add(row["conrelid"])
        if wrong:
            faults.append(f"{table}.{row['name']}: begins with {row['first']}, not with tenant_id")
    indexes = await db.fetch(
        """SELECT i.indrelid, i.indexrelid::regclass::text AS name, a.attname::text AS first
           FROM pg_index i LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
           WHERE i.indisunique"""
    )
    faults += [
        f"{tables[row['indrelid']]}.{row['name']}: a unique index that begins with {row['first']}"
        for row in indexes
        if tables.get(row["indrelid"], "alembic_version") not in INSTALLATION and row["first"] != "tenant_id"
    ]
    for oid, table in tables.items():
        if table in INSTALLATION:
            continue
        if oid not in have:
            faults.append(f"{table}: no column tenant_id uuid NOT NULL")
        if oid not in primary:
            faults.append(f"{table}: no primary key")
    return faults


async def nothing_steps_around(db: asyncpg.Connection) -> list[str]:
    """Views run as their owner, definers too; rules and triggers act unseen; publications copy everything."""
    faults = [
        f"{row['name']}: a relation of kind {row['kind']!r}"
        for row in await db.fetch(f"{RELATIONS} AND c.relkind NOT IN ('r', 'p', 'i', 'I', 't')")
    ]
    functions = await db.fetch(
        f"""SELECT p.proname::text AS name, p.prosecdef, p.proleakproof, l.lanname::text AS language
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
            WHERE {FOREIGN}"""
    )
    for row in functions:
        if row["name"] not in FUNCTIONS:
            faults.append(f"{row['name']}(): a function that rights.py does not name")
        if row["prosecdef"]:
            faults.append(f"{row['name']}(): SECURITY DEFINER")
        if row["proleakproof"] or row["language"] not in {"sql", "plpgsql"}:
            faults.append(f"{row['name']}(): leakproof, or in {row['language']}")
    found = await db.fetch(
        """SELECT tgrelid::regclass::text AS name, tgname::text AS trigger FROM pg_trigger WHERE NOT tgisinternal"""
    )
    faults += [
        f"{name}.{trigger}: a trigger that rights.py does not name"
        for name, trigger in found
        if (name, trigger) not in TRIGGERS
    ]
    there = {tuple(row) for row in found}
    faults += [
        f"{table}.{trigger}: the trigger is gone"
        for table, trigger in TRIGGERS
        if (table, trigger) not in there
    ]
    off = await db.fetch(
        """SELECT tgrelid::regclass::text AS name, tgname::text AS trigger FROM pg_trigger WHERE tgenabled NOT IN ('O', 'A')"""
    )
    faults += [f"{name}.{trigger}: a trigger that is not on" for name, trigger in off]
    others = await db.fetch(
        """SELECT 'rule ' || rulename FROM pg_rewrite WHERE rulename <> '_RETURN' AND oid >= 16384
           UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
           UNION ALL SELECT 'publication ' || pubname FROM pg_publication
           UNION ALL SELECT 'foreign server ' || srvname FROM pg_foreign_server
           UNION ALL SELECT 'extension ' || extname FROM pg_extension WHERE extname <> 'plpgsql'
           UNION ALL SELECT 'large object ' || oid FROM pg_largeobject_metadata"""
    )
    return faults + [row[0] for row in others]


async def roles_are_humble(db: asyncpg.Connection) -> list[str]:
    rows = await db.fetch(
        """SELECT r.rolname::text AS name,
               r.rolsuper OR r.rolbypassrls OR r.rolcreatedb OR r.rolcreaterole OR r.rolcanlogin
                   OR r.rolreplication AS mighty,
               EXISTS (SELECT FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass
                       AND d.refobjid = r.oid AND d.deptype = 'o') AS owns,
               EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid) AS inherits,
               EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setrole = r.oid) AS has_settings
           FROM pg_roles r WHERE r.rolname LIKE 'trunkline\\_%'"""
    )
    faults = (
        [] if {row["name"] for row in rows} == set(ROLES) else [f"the roles are {[row[0] for row in rows]}"]
    )
    for row in rows:
        found = (fault for fault in ("mighty", "owns", "inherits", "has_settings") if row[fault])
        faults += [f"{row['name']}: {fault}" for fault in found]
    return faults


async def grants_are_exact(db: asyncpg.Connection) -> list[str]:
    rows = await db.fetch(
        f"""SELECT coalesce(r.rolname, 'PUBLIC')::text AS role, x.name, x.right, x.grantable FROM (
              SELECT c.relname::text AS name, a.grantee, a.privilege_type AS right, a.is_grantable AS grantable,
                     c.relowner AS owner
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a WHERE {FOREIGN}
              UNION ALL
              SELECT c.relname, a.grantee, a.privilege_type || '(' || t.attname || ')', a.is_grantable, c.relowner
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a WHERE {FOREIGN}
            ) x LEFT JOIN pg_roles r ON r.oid = x.grantee WHERE x.grantee <> x.owner"""
    )
    live: dict[tuple[str, str], set[str]] = defaultdict(set)
    faults = []
    for row in rows:
        live[(row["role"], row["name"])].add(row["right"])
        if row["grantable"]:
            faults.append(f"{row['name']}: {row['role']} may pass on {row['right']}")
    wanted = {
        (role, table): set(rights.split()) for role, of in RIGHTS.items() for table, rights in of.items()
    }
    for role, table in sorted(live.keys() | wanted.keys()):
        more = live[(role, table)] - wanted.get((role, table), set())
        less = wanted.get((role, table), set()) - live[(role, table)]
        if more:
            faults.append(f"{table}: {role} may also {' '.join(sorted(more))}")
        if less:
            faults.append(f"{table}: {role} may not {' '.join(sorted(less))}")
    return faults


async def nothing_else_is_granted(db: asyncpg.Connection) -> list[str]:
    """Schemas, functions, types and what is made later: PUBLIC has nothing, runtime roles what is named."""
    rows = await db.fetch(
        f"""SELECT 'schema ' || n.nspname AS what, coalesce(r.rolname, 'PUBLIC')::text AS role, a.privilege_type
            FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
            LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE {FOREIGN} AND a.grantee <> n.nspowner
            UNION ALL
            SELECT 'function ' || p.proname, coalesce(r.rolname, 'PUBLIC'), a.privilege_type
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace,
                 aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
            LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE {FOREIGN} AND a.grantee <> p.proowner
            UNION ALL
            SELECT 'default ' || d.defaclobjtype::text, coalesce(r.rolname, 'PUBLIC'), a.privilege_type
            FROM pg_default_acl d, aclexplode(d.defaclacl) a
            LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE a.grantee <> d.defaclrole"""
    )
    allowed = {("schema public", role, "USAGE") for role in ROLES}
    allowed |= {(f"function {name}", role, "EXECUTE") for name, roles in FUNCTIONS.items() for role in roles}
    return [f"{what}: {role} has {right}" for what, role, right in rows if (what, role, right) not in allowed]


async def policies_are_ours(db: asyncpg.Connection) -> list[str]:
    rows = await db.fetch(
        """SELECT tablename::text, policyname::text, permissive, roles::text[], cmd, qual, with_check
           FROM pg_policies"""
    )
    live: dict[Any, Any] = {}
    for table, name, permissive, roles, command, using, check in rows:
        live[(table, name)] = (command, " ".join(roles), using and " ".join(using.split()), check)
        if permissive != "PERMISSIVE":
            live[(table, name)] += (permissive,)
    wanted: dict[Any, Any] = {}
    for table in (await _tables(db)).values():
        if table not in INSTALLATION:
            wanted[(table, "tenant_scope")] = ("ALL", "trunkline_app", SCOPE, SCOPE)
        if table in RIGHTS["trunkline_system"]:
            wanted[(table, "system")] = ("ALL", "trunkline_system", "true", "true")
        if table in RIGHTS["trunkline_console"]:
            wanted[(table, "console")] = ("SELECT", "trunkline_console", "true", None)
    wanted |= POLICIES
    return [
        f"{table}: policy {name} is {live.get((table, name))}, not {wanted.get((table, name))}"
        for table, name in sorted(live.keys() | wanted.keys())
        if live.get((table, name)) != wanted.get((table, name))
    ]


RULES = {
    rule.__name__: rule
    for rule in (
        row_level_security,
        one_schema,
        tenant_leads_keys,
        nothing_steps_around,
        roles_are_humble,
        grants_are_exact,
        nothing_else_is_granted,
        policies_are_ours,
    )
}
