"""Where a connector's calls really go: to the provider, or on a development machine to its simulator."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx2

from trunkline.kernel.egress import EgressRefusedError, admits, host_of
from trunkline.kernel.settings import Settings
from trunkline.sdk.manifest import Manifest, OAuth2
from trunkline.sdk.templates import fill_path, fill_text, holes

_NONE: Final[Mapping[str, str]] = MappingProxyType({})


class Endpoints:
    """With a sandbox configured, https://api.hubapi.com/x becomes <sandbox>/hubspot/x; on a host that a
    connection's values name, <sandbox>/zendesk/~acme.zendesk.com/x.

    `values`: a connection's, which stand for the placeholders of addresses. Whatever they are, an address is
    only ever on a host that the manifest admits; else EgressRefusedError.
    """

    def __init__(self, settings: Settings) -> None:
        self._sandbox = settings.sandbox_url.rstrip("/")

    def url(self, manifest: Manifest, address: str, values: Mapping[str, str] = _NONE) -> str:
        """`address`: a full URL out of the manifest, or a path on its base URL. No query."""
        if address.startswith("https://"):
            url = fill_text(address, values)
            if url is None:
                raise EgressRefusedError(f"{manifest.label}: a part of this address is not known yet.")
            if url != address:
                _admit(manifest.label, manifest.hosts, url)
            return self._routed(manifest, url, own=bool(holes(urlsplit(address).netloc)))
        path = fill_path(address, values)
        if path is None or not path.startswith("/"):
            raise EgressRefusedError(f"{manifest.label}: a part of this address is not known yet.")
        return self._routed(manifest, self.base(manifest, values) + path, own=bool(holes(manifest.base_url)))

    def join(self, manifest: Manifest, path: str, values: Mapping[str, str] = _NONE) -> str:
        """`path`: with its query, as `within` returned it."""
        own, mark, query = path.partition("?")
        placed = bool(holes(manifest.base_url))
        return self._routed(manifest, self.base(manifest, values) + own, own=placed) + mark + query

    def _routed(self, manifest: Manifest, url: str, *, own: bool) -> str:
        if not self._sandbox or url.startswith(f"{self._sandbox}/"):
            return url
        parts = urlsplit(url)
        host = f"/~{parts.netloc}" if own else ""
        return f"{self._sandbox}/{manifest.name}{host}{parts.path}"

    def base(self, manifest: Manifest, values: Mapping[str, str] = _NONE) -> str:
        """Origin of the connection's calls at the provider (or what a simulator named as such)."""
        filled = fill_text(manifest.base_url, values)
        if filled is None:
            raise EgressRefusedError(f"{manifest.label}: it is not known where this account's data is.")
        base = filled.rstrip("/")
        own = f"{self._sandbox}/{manifest.name}"
        if self._sandbox and (base == own or base.startswith(f"{own}/~")):
            return base
        if urlsplit(base).path:
            raise EgressRefusedError(f"{manifest.label} named {base[:100]!r}, which is no origin.")
        _admit(manifest.label, manifest.hosts, base)
        return base

    def within(self, manifest: Manifest, address: str, here: str, values: Mapping[str, str]) -> str | None:
        """Path and query of an address that an answer names, if it is on the connection's own host.

        `here`: the path it was found at, from which relative ones are counted.
        """
        if len(address) > 8192 or not address.isprintable() or "\\" in address:
            return None
        base = self.base(manifest, values)
        try:
            found = urlsplit(urljoin(f"{base}{here}", address.strip()))
        except ValueError:
            return None
        path = found.path
        origin = f"{found.scheme}://{found.netloc}"
        own = f"{self._sandbox}/{manifest.name}"
        if self._sandbox and f"{origin}{path}".startswith(f"{own}/"):
            path = f"{origin}{path}"[len(own) :]
            if path.startswith("/~"):
                host, slash, rest = path[2:].partition("/")
                if f"https://{host}" != base.lower():
                    return None
                path = slash + rest
        elif origin.lower() != base.lower():
            return None
        return f"{path}?{found.query}" if found.query else path

    def sign_in_origins(self, manifest: Manifest) -> set[str]:
        """Where browsers are sent to sign in, as sources of a Content-Security-Policy."""
        made = set()
        for way in manifest.ways:
            if isinstance(way, OAuth2):
                own, dot, rest = urlsplit(way.authorize_url).netloc.partition(".")
                if self._sandbox:
                    made.add("{0.scheme}://{0.netloc}".format(urlsplit(self._sandbox)))
                elif not holes(own + dot + rest):
                    made.add(f"https://{own}{dot}{rest}")
                else:
                    made.add(f"https://*.{rest}" if rest and not holes(rest) else "https:")
        return made

    def hosts(self, manifest: Manifest, values: Mapping[str, str] = _NONE) -> frozenset[str]:
        """host[:port] that the connector may call: the manifest's, or the sandbox's alone.

        Of an account on a host of its own that one, and those that are everybody's.
        """
        if self._sandbox:
            return frozenset({urlsplit(self._sandbox).netloc})
        entries = set(manifest.hosts)
        if values:
            fixed = {entry for entry in entries if not entry.startswith("{")}
            return frozenset({*fixed, httpx2.URL(self.base(manifest, values)).netloc.decode("ascii")})
        return frozenset(entries)


@lru_cache(maxsize=4096)
def _admit(label: str, hosts: tuple[str, ...], url: str) -> None:
    """What values made of an address is a plain one on a host of the manifest's."""
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.query or parts.fragment:
        raise EgressRefusedError(f"{label} named {url[:100]!r}, which is no plain https address.")
    host = host_of(url)
    if not admits(hosts, host):
        raise EgressRefusedError(f"{host} is not among the hosts of {label}.")
