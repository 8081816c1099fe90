"""Records and entities refer to their connection, key and recipe by one check a statement instead of one a row.

A foreign key asks for each row by a query of its own, a quarter of what PostgreSQL did for a page, though a page
names one connection, one key and a recipe or two. These triggers hold the same: what is referred to is there and
stays until the transaction ends (FOR KEY SHARE), it takes its rows with it when it goes, and a key that a record
needs does not go. The rows that a writer may name are those that row-level security shows it.
"""

from alembic import op

revision = "0009"
down_revision = "0005"

_CHECK = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    wanted bigint;
    found bigint;
BEGIN
    {checks}
    RETURN NULL;
END $$
"""
_EACH = """
    SELECT count(*) INTO wanted FROM (SELECT DISTINCT tenant_id, {column} FROM written) AS named;
    IF wanted > 0 THEN
        PERFORM FROM {target} t
            WHERE (t.tenant_id, t.{key}) IN (SELECT DISTINCT w.tenant_id, w.{column} FROM written w)
            FOR KEY SHARE OF t;
        GET DIAGNOSTICS found = ROW_COUNT;
        IF found < wanted THEN
            RAISE foreign_key_violation USING CONSTRAINT = '{constraint}',
                MESSAGE = 'insert or update on table "{table}" violates foreign key constraint "{constraint}"';
        END IF;
    END IF;
"""
_WATCH = """
CREATE TRIGGER {name}_{event} AFTER {event} ON {table}
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION {name}()
"""
_TAKE_ALONG = """
CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {table} r WHERE r.tenant_id = OLD.tenant_id AND r.{column} = OLD.id;
    RETURN OLD;
END $$
"""
_KEEP = """
CREATE FUNCTION trunkline_keep_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM records r WHERE r.tenant_id = OLD.tenant_id AND r.key_version = OLD.version) THEN
        RAISE foreign_key_violation USING CONSTRAINT = 'fk_records_data_keys', MESSAGE =
            'delete on table "data_keys" violates foreign key constraint "fk_records_data_keys" on table "records"';
    END IF;
    RETURN OLD;
END $$
"""
_BEFORE = "CREATE TRIGGER {name} BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"


def upgrade() -> None:
    records = [
        {"table": "records", "target": "connections", "key": "id", "column": "connection_id"},
        {"table": "records", "target": "data_keys", "key": "version", "column": "key_version"},
    ]
    entities = [{"table": "entities", "target": "recipes", "key": "id", "column": "recipe_id"}]
    for references in (records, entities):
        table = references[0]["table"]
        for one in references:
            one["constraint"] = f"fk_{table}_{one['target']}"
            op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {one['constraint']}")
        name = f"trunkline_{table}_refer"
        op.execute(_CHECK.format(name=name, checks="".join(_EACH.format(**one) for one in references)))
        for event in ("insert", "update"):
            op.execute(_WATCH.format(name=name, event=event, table=table))
    for name, referred, table, column in (
        ("trunkline_take_records", "connections", "records", "connection_id"),
        ("trunkline_take_entities", "recipes", "entities", "recipe_id"),
    ):
        op.execute(_TAKE_ALONG.format(name=name, table=table, column=column))
        op.execute(_BEFORE.format(name=name, table=referred))
    op.execute(_KEEP)
    op.execute(_BEFORE.format(name="trunkline_keep_keys", table="data_keys"))
    for name in ("records_refer", "entities_refer", "take_records", "take_entities", "keep_keys"):
        op.execute(f"REVOKE ALL ON FUNCTION trunkline_{name}() FROM PUBLIC")  # triggers need no leave


def downgrade() -> None:
    raise NotImplementedError("migrations go forward; restore a backup to go back")
