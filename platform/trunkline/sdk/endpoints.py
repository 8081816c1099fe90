"""Where a connector's calls really go: to the provider, or on a development machine to its simulator."""

from urllib.parse import urlsplit

from trunkline.kernel.settings import Settings
from trunkline.sdk.manifest import Manifest


class Endpoints:
    """With a sandbox configured, https://api.hubapi.com/x becomes <sandbox>/hubspot/x."""

    def __init__(self, settings: Settings) -> None:
        self._sandbox = settings.sandbox_url.rstrip("/")

    def url(self, manifest: Manifest, address: str) -> str:
        """`address`: a full URL out of the manifest, or a path on its base URL. No query."""
        url = address if address.startswith("https://") else manifest.base_url + address
        return f"{self._sandbox}/{manifest.name}{urlsplit(url).path}" if self._sandbox else url

    def hosts(self, manifest: Manifest) -> frozenset[str]:
        """host[:port] that the connector may call: the manifest's, or the sandbox's alone."""
        return frozenset({urlsplit(self._sandbox).netloc}) if self._sandbox else frozenset(manifest.hosts)
