"""`trunkline doctor`: a row for each thing that has to be right, in words."""

import asyncio
import os
import shutil
import socket
import stat
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

import asyncpg
import click
import msgspec

from trunkline.cli.failures import Failure
from trunkline.cli.probes import connect_database, place, valkey_version
from trunkline.cli.table import columns
from trunkline.kernel import migrate
from trunkline.kernel.db import APP_ROLE, SYSTEM_ROLE
from trunkline.kernel.embedded import EmbeddedError, EmbeddedServers
from trunkline.kernel.embedded.binaries import POSTGRES_MAJOR, postgres_binary, valkey_binary
from trunkline.kernel.settings import Settings, variable

LOW_DISK, NO_DISK = 2 * 1024**3, 256 * 1024**2
"""Bytes free: below the first a warning, below the second PostgreSQL may stop at its next checkpoint."""

MARKS = {
    "good": ("ok", "green"),
    "note": ("note", "blue"),
    "careful": ("look", "yellow"),
    "wrong": ("WRONG", "red"),
}


class Finding(msgspec.Struct, frozen=True):
    state: Literal["good", "note", "careful", "wrong"]
    topic: str
    sentence: str


def examine(settings: Settings) -> list[Finding]:
    """Changes nothing; starts embedded servers that have data but do not run, for as long as it takes."""
    findings = [_python(), *_configured(settings), *_folder(settings), _wrapping_keys(settings)]
    with ExitStack() as stack:
        findings += _servers(settings, stack)
    return [*findings, *_ports(settings)]


def report(findings: Sequence[Finding]) -> str:
    rows = [(MARKS[finding.state][0], finding.topic, finding.sentence) for finding in findings]
    heading, *lines = columns(rows, ("", "What", "Finding"))
    styled = [
        click.style(line[:5], fg=MARKS[finding.state][1], bold=finding.state == "wrong") + line[5:]
        for finding, line in zip(findings, lines, strict=True)
    ]
    wrong = sum(finding.state == "wrong" for finding in findings)
    verdict = (
        "Nothing is wrong." if not wrong else f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong."
    )
    return "\n".join([heading, *styled, "", click.style(verdict, bold=True)])


def _python() -> Finding:
    return Finding("good", "Python", f"{sys.version.split()[0]} in {sys.prefix}")


def _configured(settings: Settings) -> list[Finding]:
    """What differs from the defaults; addresses without their passwords."""
    default = Settings()
    changed = []
    for field in Settings.__struct_fields__:
        value = getattr(settings, field)
        if value != getattr(default, field):
            shown = place(value) if field in {"database_url", "valkey_url"} else value
            shown = "(hidden)" if field in {"wrapping_keys", "oidc_client_secret"} else shown
            changed.append(f"{variable(field)} = {shown}")
    findings = [Finding("note", "settings", "; ".join(changed) or "all at their defaults")]
    findings += [
        Finding("wrong", "settings", f"{name} is not a setting: correct its spelling or remove it.")
        for name in Settings.unknown()
    ]
    if settings.env == "production" and not settings.secure:
        findings.append(
            Finding(
                "wrong",
                "settings",
                "production needs TRUNKLINE_PUBLIC_URL with https://, or cookies are not safe.",
            )
        )
    return findings


def _folder(settings: Settings) -> list[Finding]:
    folder = settings.data.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        sentence = f"{existing} cannot be written: make it writable, or choose another with TRUNKLINE_DATA."
        return [Finding("wrong", "data folder", sentence)]
    findings = [
        Finding("good", "data folder", str(folder) + ("" if existing == folder else " (made at first start)"))
    ]
    free = shutil.disk_usage(existing).free
    state: Literal["good", "careful", "wrong"] = (
        "wrong" if free < NO_DISK else "careful" if free < LOW_DISK else "good"
    )
    advice = "" if state == "good" else ": make room before PostgreSQL has to stop"
    findings.append(Finding(state, "disk", f"{free / 1024**3:.1f} GiB free{advice}"))
    return findings


def _wrapping_keys(settings: Settings) -> Finding:
    if settings.key_provider == "local-file":
        return _key_file(settings)
    from trunkline.vault.errors import VaultError
    from trunkline.vault.providers import key_provider

    try:
        current = asyncio.run(key_provider(settings).current())
    except VaultError as error:
        return Finding("wrong", "wrapping key", str(error))
    return Finding("good", "wrapping key", f"{current}, held by {settings.key_provider}")


def _key_file(settings: Settings) -> Finding:
    path = settings.wrapping_key_file
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        if settings.key_file:
            sentence = f"{path} does not exist: put the key there, or correct TRUNKLINE_KEY_FILE."
            return Finding("wrong", "wrapping key", sentence)
        return Finding(
            "note", "wrapping key", f"{path} is made at first use; back it up apart from the database."
        )
    except OSError as error:
        return Finding(
            "wrong", "wrapping key", f"{path} cannot be read ({error.strerror}): correct its rights."
        )
    if mode & 0o077:
        sentence = f"{path} can be read by others (mode {mode:o}): run chmod 600 {path}."
        return Finding("wrong", "wrapping key", sentence)
    return Finding("good", "wrapping key", f"{path}, readable by its owner only")


def _servers(settings: Settings, stack: ExitStack) -> list[Finding]:
    embedded = EmbeddedServers(
        settings.data, with_postgres=not settings.database_url, with_valkey=not settings.valkey_url
    )
    findings = []
    database_url, valkey_url = settings.database_url, settings.valkey_url
    if not (database_url and valkey_url):
        running = (bool(database_url) or embedded.postgres.answers()) and (
            bool(valkey_url) or embedded.valkey.answers()
        )
        try:
            postgres_binary("postgres"), valkey_binary()
            if not running and not database_url and not embedded.postgres.initialised:
                sentence = "not started yet: `trunkline up` makes the database"
                return [Finding("note", "embedded", sentence)]
            if not running:
                stack.enter_context(embedded)
        except EmbeddedError as error:
            return [Finding("wrong", "embedded", str(error))]
        how = "running" if running else "at rest (started for this examination)"
        findings.append(Finding("good", "embedded", f"servers in {settings.data.absolute()}, {how}"))
        database_url = database_url or embedded.database_url
        valkey_url = valkey_url or embedded.valkey_url
    return [*findings, *asyncio.run(_database(database_url)), asyncio.run(_valkey(valkey_url))]


async def _database(url: str) -> list[Finding]:
    try:
        connection = await connect_database(url)
    except Failure as failure:
        return [Finding("wrong", "database", failure.message)]
    try:
        shown = f"PostgreSQL {await connection.fetchval('show server_version')} at {place(url)}"
        if connection.get_server_version().major < int(POSTGRES_MAJOR):
            sentence = f"{shown} is too old: Trunkline needs {POSTGRES_MAJOR} or newer."
            return [Finding("wrong", "database", sentence)]
        schema = await _schema(connection)
        return [
            Finding("good", "database", shown),
            schema,
            *(await _roles(connection, schema.state == "good")),
        ]
    finally:
        await connection.close()


async def _schema(connection: "asyncpg.Connection") -> Finding:
    newest = migrate.head()
    current = None
    if await connection.fetchval("select to_regclass('alembic_version')"):
        current = await connection.fetchval("select version_num from alembic_version")
    if current == newest:
        return Finding("good", "schema", f"at {newest}, the newest")
    if current is None:
        return Finding("wrong", "schema", "not migrated: run `trunkline migrate`.")
    return Finding(
        "wrong", "schema", f"at {current}, and this version needs {newest}: run `trunkline migrate`."
    )


async def _roles(connection: "asyncpg.Connection", migrated: bool) -> list[Finding]:
    rows = await connection.fetch(
        "select rolname, rolsuper, rolbypassrls, pg_has_role(current_user, oid, 'SET') as usable, "
        "(select count(*) from pg_class where relowner = pg_roles.oid) as owned "
        "from pg_roles where rolname = any($1::text[])",
        [APP_ROLE, SYSTEM_ROLE],
    )
    found = {row["rolname"]: row for row in rows}
    findings = []
    for role in (APP_ROLE, SYSTEM_ROLE):
        row = found.get(role)
        if row is None:
            if migrated:
                findings.append(Finding("wrong", "roles", f"{role} does not exist: run `trunkline migrate`."))
            continue
        faults = [
            fault
            for fault, present in {
                "is a superuser (alter role ... nosuperuser)": row["rolsuper"],
                "bypasses row-level security (alter role ... nobypassrls)": row["rolbypassrls"],
                f"owns {row['owned']} tables or indexes (reassign them to the login that migrates)": row[
                    "owned"
                ],
                "cannot be assumed by this login (grant it)": not row["usable"],
            }.items()
            if present
        ]
        if faults:
            findings.append(Finding("wrong", "roles", f"{role} {', and '.join(faults)}."))
        else:
            sentence = f"{role} owns nothing and bypasses nothing"
            findings.append(Finding("good", "roles", sentence))
    return findings


async def _valkey(url: str) -> Finding:
    try:
        version = await valkey_version(url)
    except Failure as failure:
        return Finding("wrong", "Valkey", failure.message)
    return Finding("good", "Valkey", f"{version} at {place(url)}")


def _ports(settings: Settings) -> list[Finding]:
    found = []
    for name, port, field in (
        ("web", settings.port, "port"),
        ("sandbox", settings.sandbox_port, "sandbox_port"),
        ("product page", settings.product_port, "product_port"),
    ):
        used = _in_use(settings.host, port)
        sentence = f"{port} for {name} is " + (
            f"in use: fine if Trunkline runs, else choose another with {variable(field)}" if used else "free"
        )
        found.append(Finding("note" if used else "good", "port", sentence))
    return found


def _in_use(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False
