"""What a partner's connector may not take: names, labels and hosts that are another's."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from trunkline.kernel.errors import BadInputError
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.templates import holes

NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,39}")
RESERVED: Final = frozenset({"custom", "healthz", "trunkline"})
"""Names that addresses and webhooks of other kinds have."""


class Claimed(msgspec.Struct, frozen=True):
    """A connector that is here. `partner` None: it comes with the product."""

    manifest: Manifest
    partner: str | None


def check_claims(manifest: Manifest, partner: str, others: Iterable[Claimed]) -> None:
    """Raises BadInputError for a name, a label or a host that is somebody else's."""
    if not NAME.fullmatch(manifest.name) or manifest.name in RESERVED:
        raise BadInputError(
            f'"{manifest.name[:60]}" is no name for a connector: small letters, digits and underscores, at '
            "most 40, and none that Trunkline uses itself.",
            field="archive",
        )
    mine = addresses(manifest)
    for other in others:
        whose = other.manifest.label
        if other.manifest.name == manifest.name:
            if other.partner is None:
                raise BadInputError(f'"{manifest.name}" is a connector of ours.', field="archive")
            check_holder(manifest.name, partner, [(other.manifest.name, other.partner)])
            continue
        if _plain(other.manifest.label) == _plain(manifest.label):
            raise BadInputError(f'It calls itself "{manifest.label}", as {whose} does.', field="archive")
        if other.partner is not None and _plain(other.partner) == _plain(partner):
            continue
        for host in sorted(mine):
            if any(_meet(host, theirs) for theirs in addresses(other.manifest)):
                raise BadInputError(f"It names {host}, which belongs to {whose}.", field="archive")


def check_holder(name: str, partner: str, holders: Iterable[tuple[str, str]]) -> None:
    """Raises BadInputError where `holders`, (connector, partner), have the name as another's."""
    for connector, holder in holders:
        if connector == name and _plain(holder) != _plain(partner):
            raise BadInputError(
                f'"{name}" is {holder}\'s: a further version comes from them only.', field="partner"
            )


def addresses(manifest: Manifest) -> frozenset[str]:
    """Hosts that it calls or sends browsers to, as the manifest writes them, without a port."""
    urls = [manifest.base_url]
    for way in manifest.ways:
        urls += [
            url
            for name in ("authorize_url", "token_url", "revoke_url", "introspect_url")
            if (url := getattr(way, name, None))
        ]
    hosts = {*manifest.hosts, *(urlsplit(url).netloc for url in urls if not url.startswith("{"))}
    return frozenset(host.partition("@")[0].partition(":")[0].lower() for host in hosts if host)


def _meet(one: str, other: str) -> bool:
    """Whether some host could be meant by both. A placeholder stands for one label."""
    first, second = one.split("."), other.split(".")
    return len(first) == len(second) and all(
        a == b or bool(holes(a)) or bool(holes(b)) for a, b in zip(first, second, strict=True)
    )


def _plain(text: str) -> str:
    """Without case, accents, blanks and signs, by which two labels would look the same."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(sign for sign in folded if sign.isalnum())
