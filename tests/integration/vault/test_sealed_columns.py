"""Where personal data and secrets lie: each column that could hold some is sealed, or named with its reason."""

import re

import asyncpg

from trunkline.vault.sealed import SEALED

CLEAR = {
    "action_calls.results": "ids at the provider, names of inputs, codes; never a value",
    "api_keys.key_hash": "SHA-256 of a random key",
    "api_keys.previous_hash": "SHA-256 of a random key",
    "audit_entries.after": "what a deed changed; never a secret, personal data kept out by its callers",
    "audit_entries.before": "what a deed changed; never a secret, personal data kept out by its callers",
    "audit_entries.detail": "names and ids of what was done",
    "audit_entries.hash": "chain of the log",
    "audit_entries.previous": "chain of the log",
    "audit_heads.hash": "chain of the log",
    "authorizations.browser_hash": "SHA-256 of a random value",
    "authorizations.state_hash": "SHA-256 of a random value",
    "changes.data": "PERSONAL, in clear: the product reads and filters it; mapped fields only",
    "connect_sessions.code_hash": "SHA-256 of a random value",
    "connect_sessions.frame_key_hash": "SHA-256 of a random value",
    "connect_sessions.token_hash": "SHA-256 of a random value",
    "connections.config": "choices made when connecting",
    "connector_packages.archive": "a partner's connector: its manifest, pages, tests and invented fixtures",
    "connector_packages.findings": "what the check says of it, by file and line",
    "connector_packages.graded": "its grade, rule by rule",
    "data_keys.wrapped": "encrypted twice: by the tenant's own key and by the key provider",
    "declared_models.definition": "a schema",
    "outbound_events.data": "ids, names of connections, causes, counts; records are read from `changes`",
    "entities.data": "PERSONAL, in clear: the product reads and filters it; mapped fields only",
    "entities.fingerprint": "BLAKE2b of the mapped fields",
    "hook_endpoints.key_hash": "SHA-256 of a random key",
    "hook_refusals.sample": "size, address, digest and header names of what was refused, never what it said",
    "idempotent_answers.key_hash": "SHA-256",
    "idempotent_answers.request_hash": "salted SHA-256",
    "inbound_events.identity": "BLAKE2b of the provider's own event id",
    "issues.detail": "codes and counts; a provider's field names, never values",
    "known_browsers.id_hash": "SHA-256 of a random value",
    "login_challenges.id_hash": "SHA-256 of a random value",
    "login_sessions.id_hash": "SHA-256 of a random value",
    "passes.checkpoint": "the provider's cursor",
    "quarantine.errors": "names of fields and rules; messages never carry the record's values",
    "recipe_versions.definition": "expressions and names of fields",
    "replays.filter": "types, states and times by which events were chosen",
    "records.fingerprint": "BLAKE2b keyed by the tenant's key",
    "recovery_codes.code_hash": "a password hash",
    "runs.expected": "a count",
    "shreddings.removed": "counts",
    "streams.cause_detail": "codes and counts",
    "streams.checkpoint": "the provider's cursor",
    "streams.drift": "names, kinds and choices of a provider's fields, never what a record holds",
    "streams.known_fields": "the same",
    "streams.settled": "names of fields, versions",
    "work.args": "ids only",
}


TELLING = re.compile(r"token|secret|passw|verifier|payload|body|document|cookie|csrf|email|phone|key")
CLEAR_TEXTS = {
    "data_keys.wrapping_key": "the key provider's name of a key",
    "issues.key": "what a problem is about: stream and cause",
    "login_sessions.csrf": "good with the session's cookie only, of which a hash is kept",
    "outbound_events.record_keys": "half of each record's own random id, for the order",
    "users.email": "PERSONAL, in clear: who signs in is looked up by it",
    "users.password_hash": "argon2id",
    "webhook_endpoints.order_key": "which order it asks for: record, connection or tenant",
    "work.key": "an id, or the name of a stream",
}


async def test_each_text_with_a_telling_name_is_explained(database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    rows = await owner.fetch(
        """SELECT table_name || '.' || column_name AS name, column_name::text AS short
           FROM information_schema.columns
           WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'ARRAY')"""
    )
    await owner.close()
    live = {row["name"] for row in rows if TELLING.search(row["short"])}
    assert live - set(CLEAR_TEXTS) == set(), "seal it (vault/sealed.py), or name it here with the reason"
    assert set(CLEAR_TEXTS) <= live


async def test_each_column_that_could_hide_something_is_sealed_or_explained(database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    rows = await owner.fetch(
        """SELECT table_name || '.' || column_name AS name FROM information_schema.columns
           WHERE table_schema = 'public' AND data_type IN ('bytea', 'jsonb', 'json')"""
    )
    await owner.close()
    live = {row["name"] for row in rows}
    sealed = {f"{one.table}.{field}" for one in SEALED for field in one.fields}
    assert sealed <= live
    assert live - sealed - set(CLEAR) == set(), "seal it (vault/sealed.py), or name it here with the reason"
    assert sealed & set(CLEAR) == set()
