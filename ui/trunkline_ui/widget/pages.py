"""What the widget's pages are made of."""

from collections.abc import Sequence

import msgspec
from litestar import Response

from trunkline.kernel.settings import Settings
from trunkline.resilience.failures import failures
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline_ui.rendering import Page, page
from trunkline_ui.widget.assets import widget_asset

SPENT = "This window has expired. Close it and open it again."
FAILED = "The account could not be connected. Try again in a moment."


class Card(msgspec.Struct, frozen=True):
    """A connector to choose."""

    name: str
    label: str
    description: str
    words: Sequence[str]
    """What it will be able to do in the account."""

    @classmethod
    def of(cls, manifest: Manifest) -> "Card":
        return cls(manifest.name, manifest.label, manifest.description, manifest.auth.words)


class Refusal(msgspec.Struct, frozen=True):
    """The frame's own form of an error."""

    code: str
    message: str


def refusal(code: str, message: str, status: int = 400) -> Response[Refusal]:
    return Response(Refusal(code, message), status_code=status, headers={"cache-control": "no-store"})


def words(code: str) -> str:
    """For the customer, of a failure code that the frame only hears of by its name."""
    known = failures().get(code)
    return known.customer if known else FAILED


def form_targets(settings: Settings, endpoints: Endpoints, connectors: Connectors) -> list[str]:
    """Where a form that starts a trip to a provider may end.

    Providers redirect between their regions' hosts, and Chromium holds each of those against form-action: so
    any https, unless everything is the sandbox's.
    """
    if not settings.sandbox_url:
        return ["https:"]
    return sorted({one for manifest in connectors.all() for one in endpoints.sign_in_origins(manifest)})


def popup(
    title: str,
    message: str,
    *,
    status: int = 200,
    ok: bool = False,
    nonce: str = "",
    code: str = "",
    connection_id: str = "",
    account: str = "",
    back: str = "",
) -> Page:
    """The last page of a trip. Its script tells the opener of this origin, if there is one and a nonce."""
    return page(
        "widget/popup.html",
        {
            "title": title,
            "message": message,
            "ok": ok,
            "trip_nonce": nonce,
            "code": code,
            "connection_id": connection_id,
            "account": account,
            "back": back,
            "widget_asset": widget_asset,
        },
        status=status,
    )
