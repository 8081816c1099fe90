"""Origins of pages that may hold the widget."""

import re
from urllib.parse import urlsplit

from trunkline.kernel.errors import BadInputError

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\]")
_DEFAULT_PORTS = {"https": 443, "http": 80}


def checked_origin(value: str) -> str:
    """As a browser serialises it: scheme, host, port unless it is the scheme's own. BadInputError.

    https, or http on a loopback host. International names in their ASCII form, as browsers report them.
    """
    wrong = BadInputError(
        "origin must be scheme, host and port of the page that opens the widget, such as "
        "https://app.example.com: nothing before, between or after; http only on this machine.",
        field="origin",
    )
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        raise wrong from error
    scheme, host = parts.scheme, parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    if scheme not in _DEFAULT_PORTS or not _HOST.fullmatch(shown) or len(host) > 253 or port == 0:
        raise wrong
    if scheme == "http" and not is_loopback(host):
        raise wrong
    written = f"{scheme}://{shown}" + ("" if port is None else f":{port}")
    if value.lower() != written:
        raise wrong
    return f"{scheme}://{shown}" + ("" if port in {None, _DEFAULT_PORTS[scheme]} else f":{port}")


def is_loopback(host: str) -> bool:
    return host in {"localhost", "127.0.0.1", "::1"} or host.endswith(".localhost")
