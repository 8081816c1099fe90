"""What pages of partners' connectors show: versions side by side, and what one asks for beyond another."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from trunkline.kernel.db import OPERATOR
from trunkline.packages.claims import addresses
from trunkline.packages.compatibility import Change, changes, compatible
from trunkline.packages.repository import InUse, Kept
from trunkline.packages.shelf import manifest_of
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import version_key
from trunkline_tenants.schemas import TenantInfo
from trunkline_ui.rendering import Tone


class Asked(msgspec.Struct, frozen=True):
    """A host or a scope. `new`: the version compared with does not ask for it."""

    name: str
    words: str
    new: bool


class VersionLine(msgspec.Struct, frozen=True, kw_only=True):
    kept: Kept
    state: str
    tone: Tone
    connections: int
    whom: str


def state_of(kept: Kept, approved: bool) -> tuple[str, Tone]:
    if kept.withdrawn_at is not None:
        return ("Withdrawn, connections paused" if kept.pausing else "Withdrawn"), "warning"
    if not kept.examined:
        return "Being examined", "info"
    if not kept.sound:
        return "Has findings", "danger"
    return ("Approved", "success") if approved else ("Waits for approval", "neutral")


def whom(approved: Iterable[UUID]) -> str:
    given = set(approved)
    if OPERATOR in given:
        return "Every tenant"
    if not given:
        return "Nobody"
    return "1 tenant" if len(given) == 1 else f"{len(given)} tenants"


def line(kept: Kept, approved: Sequence[UUID], used: Sequence[InUse]) -> VersionLine:
    state, tone = state_of(kept, bool(approved))
    count = sum(
        one.count
        for one in used
        if (one.connector, one.version) == (kept.connector, kept.version) and not one.ended
    )
    return VersionLine(kept=kept, state=state, tone=tone, connections=count, whom=whom(approved))


def before(kept: Kept, everything: Sequence[Kept], approved: set[UUID]) -> Kept | None:
    """What it is compared with: the newest other version that somebody may connect, else the one before."""
    others = [one for one in everything if one.connector == kept.connector and one.id != kept.id]
    older = [one for one in others if version_key(one.version) < version_key(kept.version)]
    in_force = [one for one in older if one.id in approved and one.withdrawn_at is None]
    return max(in_force or older, key=lambda one: version_key(one.version), default=None)


def hosts(manifest: Manifest, old: Manifest | None) -> list[Asked]:
    known = addresses(old) if old else frozenset()
    called = {host.partition(":")[0].lower() for host in manifest.hosts}
    found = [
        Asked(
            host, "called" if host in called else "browsers are sent there", bool(old) and host not in known
        )
        for host in sorted(addresses(manifest))
    ]
    before = _linked(old) if old else frozenset()
    linked = sorted(_linked(manifest) - addresses(manifest))
    return found + [
        Asked(host, "a link for customers leads there", bool(old) and host not in before) for host in linked
    ]


def _linked(manifest: Manifest) -> frozenset[str]:
    """Hosts of help pages, which customers are shown and which are never called."""
    return frozenset(urlsplit(way.help_url).netloc.lower() for way in manifest.ways if way.help_url)


def scopes(manifest: Manifest, old: Manifest | None) -> list[Asked]:
    known = _asked(old) if old else {}
    found = _asked(manifest)
    return [Asked(name, words, bool(old) and name not in known) for name, words in sorted(found.items())]


def _asked(manifest: Manifest) -> dict[str, str]:
    """Scope -> what it lets one do. What actions need is asked for where somebody wants them."""
    found = {
        scope: f"For the action {one.title}, where somebody wants it"
        for one in manifest.actions
        for scope in one.scopes
    }
    return found | {scope: way.scope_words.get(scope, "") for way in manifest.ways for scope in way.scopes}


def context_of(kept: Kept, everything: Sequence[Kept], approved: set[UUID]) -> dict[str, Any]:
    manifest, other = manifest_of(kept), before(kept, everything, approved)
    old = manifest_of(other) if other else None
    told: list[Change] = changes(old, manifest) if old and manifest else []
    ways = {
        "oauth2": "sign-in",
        "client_credentials": "client id and secret",
        "api_key": "key",
        "basic": "password",
    }
    return {
        "kept": kept,
        "manifest": manifest,
        "hosts": hosts(manifest, old) if manifest else [],
        "scopes": scopes(manifest, old) if manifest else [],
        "access": sorted({ways[str(one.__struct_config__.tag)] for one in manifest.ways}) if manifest else [],
        "reads": [words for way in manifest.ways for words in way.words] if manifest else [],
        "other": other,
        "changes": told,
        "moves": bool(old and manifest and compatible(old, manifest)),
    }


def named(tenants: Iterable[UUID], known: dict[UUID, TenantInfo]) -> list[tuple[str, str]]:
    """(slug, name) of each; of the installation ("all", "Every tenant")."""
    found = [(known[one].slug, known[one].name) for one in tenants if one in known]
    whole = [("all", "Every tenant")] if OPERATOR in set(tenants) else []
    return whole + sorted(found, key=lambda pair: pair[1].casefold())
