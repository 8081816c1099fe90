"""What stands around every page of the portal and of the console: navigation, who is signed in."""

from typing import Any

from litestar import Request

from trunkline.kernel.principal import Principal, Role
from trunkline_tenants.permissions import can
from trunkline_tenants.schemas import Login
from trunkline_ui.rendering import NavItem, Shell

ROLES: dict[Role, str] = {
    "owner": "Owner",
    "admin": "Administrator",
    "viewer": "Viewer",
    "support": "Support",
    "staff_admin": "Staff administrator",
}


def portal_shell(
    request: Request[Any, Any, Any],
    principal: Principal,
    current: str,
    tenant_name: str = "",
    *,
    open_issues: int | None = None,
    open_reviews: int | None = None,
) -> Shell:
    """`current`: href of a nav item (/portal, /portal/records, /portal/issues, /portal/reviews,
    /portal/webhooks, /portal/activity).

    `tenant_name`: by default that of the browser's session.
    """
    login = request.scope.get("auth")
    if not tenant_name and isinstance(login, Login) and login.tenant is not None:
        tenant_name = login.tenant.name
    return Shell(
        area="portal",
        nav=(
            NavItem("Connections", "/portal", "plug"),
            NavItem("Records", "/portal/records", "database"),
            NavItem("Issues", "/portal/issues", "health", count=open_issues, tone="danger"),
            NavItem("Reviews", "/portal/reviews", "eye", count=open_reviews, tone="danger"),
            *(
                (NavItem("Webhooks", "/portal/webhooks", "bolt"),)
                if can(principal, "webhooks.manage")
                else ()
            ),
            NavItem("Activity", "/portal/activity", "clock"),
        ),
        current=current,
        name=principal.label,
        detail=ROLES.get(principal.role, ""),
        organisation=tenant_name,
        switch="/switch-tenant" if isinstance(login, Login) and login.several else "",
        home="/portal",
    )


def console_shell(
    request: Request[Any, Any, Any],
    principal: Principal,
    current: str,
    *,
    open_issues: int | None = None,
) -> Shell:
    """`current`: href of a nav item (/console, /console/issues, /console/runbooks, /console/connectors,
    /console/webhooks, /console/keys, /console/audit).
    """
    del request
    acting = (
        NavItem("Webhooks", "/console/webhooks", "bolt"),
        NavItem("API keys", "/console/keys", "key"),
    )
    return Shell(
        area="console",
        nav=(
            NavItem("Tenants", "/console", "users"),
            NavItem("Issues", "/console/issues", "alert", count=open_issues, tone="danger"),
            NavItem("Runbooks", "/console/runbooks", "book"),
            NavItem("Connectors", "/console/connectors", "plug"),
            *(acting if can(principal, "console.act") else ()),
            NavItem("Audit log", "/console/audit", "shield"),
        ),
        current=current,
        name=principal.label,
        detail=ROLES.get(principal.role, ""),
        home="/console",
    )
