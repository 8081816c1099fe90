"""How a trip to a provider, or over our own form, ends in the browser."""

from litestar import Response
from litestar.datastructures import Cookie

from trunkline.connections.errors import FlowRefusedError
from trunkline.connections.schemas import Finished
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline_tenants.cookies import flash_cookie
from trunkline_ui.rendering import Page
from trunkline_ui.widget.pages import popup


def label_for(connectors: Connectors, name: str) -> str:
    """Before it is known whose trip it is: no address tells which partners' connectors there are."""
    return next((one.label for one in connectors.own() if one.name == name), "The account")


def refused(label: str, error: FlowRefusedError, spent: Cookie, principal: Principal | None) -> Page:
    """A trip that nobody knows any more began in the portal where a member asks: they are led back there."""
    lost = not error.via and principal is not None and principal.kind == "member"
    answer = popup(
        f"{label} was not connected",
        error.message,
        status=error.status,
        nonce=error.nonce,
        code=error.code,
        back=error.back if error.via == "portal" else "/portal/connect" if lost else "",
    )
    if error.via:
        answer.cookies.append(spent)
    return answer


def finished(settings: Settings, label: str, done: Finished, spent: Cookie) -> Page | Response[None]:
    if done.via == "portal":
        verb = "reconnected" if done.purpose == "reconnect" else "connected"
        flash = flash_cookie(settings, f"{label} is {verb}.")
        target = f"/portal/connections/{done.connection_id}"
        return Response(None, status_code=303, headers={"location": target}, cookies=[spent, flash])
    answer = popup(
        f"{label} is connected",
        f"Access was given for the account {done.account_label}.",
        ok=True,
        nonce=done.nonce,
        code=done.code,
        connection_id=str(done.connection_id),
        account=done.account_label,
    )
    answer.cookies.append(spent)
    return answer
