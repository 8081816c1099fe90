"""What an address may look like, and which hosts a list of them admits."""

import re
from collections.abc import Collection
from typing import Final

import httpx2

from trunkline.kernel.egress.errors import EgressRefusedError

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# At least two labels, the last begun by a letter: so no number, in whatever base, is a name.
_NAME: Final = re.compile(rf"(?=.{{4,253}}\Z)(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_PORT: Final = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_ENTRY: Final = re.compile(rf"(?:\{{[a-z_]+\}}\.(?P<suffix>[^:{{}}]+)|(?P<name>[^:{{}}]+)){_PORT}")
# What a customer may be called at a provider: one label, and none in punycode, so no confusable letters.
_OWN: Final = re.compile(rf"(?!xn--){_LABEL}")


def vet(url: httpx2.URL) -> str:
    """host[:port] of an address that could be called at all. Raises EgressRefusedError."""
    if url.userinfo:
        raise EgressRefusedError("An address with a user name or a password in it is never called.")
    name = url.raw_host.decode("ascii")
    if url.scheme != "https":
        raise EgressRefusedError(f"{name[:100]} may only be called over https.")
    if not _NAME.fullmatch(name):
        raise EgressRefusedError(
            f"{name[:100]!r} is not the full name of a host, and only names are called, never numbers."
        )
    return url.netloc.decode("ascii")


def host_of(address: str) -> str:
    """host[:port] to call for an address that a customer or a provider gave. Raises EgressRefusedError."""
    try:
        return vet(httpx2.URL(address))
    except (httpx2.InvalidURL, TypeError, ValueError) as error:
        raise EgressRefusedError("This is not an address that can be called.") from error


def check_hosts(entries: Collection[str]) -> None:
    """ValueError naming an entry that is neither host[:port] nor {placeholder}.host[:port]."""
    for entry in entries:
        found = _ENTRY.fullmatch(entry)
        named = found is not None and _NAME.fullmatch(found["suffix"] or found["name"])
        if found is None or not named or int(found["port"] or 1) > 65535:
            raise ValueError(
                f"{entry!r} is no host: write api.example.com or {{subdomain}}.example.com, without a scheme"
            )


class Hosts:
    """Entries are host[:port], or {placeholder}.host[:port], where one plain label stands in for it."""

    def __init__(self, entries: Collection[str]) -> None:
        lower = [entry.lower() for entry in entries]
        self._exact = frozenset(entry for entry in lower if not entry.startswith("{"))
        self._suffixes = frozenset(entry.partition("}")[2] for entry in lower if entry.startswith("{"))

    def admits(self, host: str) -> bool:
        """`host`: as `vet` returns it."""
        if host in self._exact:
            return True
        own, dot, rest = host.partition(".")
        return dot + rest in self._suffixes and _OWN.fullmatch(own) is not None


def admits(entries: Collection[str], host: str) -> bool:
    """Whether a list of hosts admits `host`, as `host_of` returns it."""
    return Hosts(entries).admits(host)
