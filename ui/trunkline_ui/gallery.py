"""`/ui/gallery`: every component in every state, for whoever builds or judges pages. Development only."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from trunkline_ui.rendering import Flash, NavItem, Page, Shell, error_page, page

_NAV = {
    "portal": (
        NavItem("Overview", "/ui/gallery", "home"),
        NavItem("Connections", "/ui/gallery#actions", "plug", count=3),
        NavItem("Recipes", "/ui/gallery#forms", "flow"),
        NavItem("Records", "/ui/gallery#tables", "database"),
        NavItem("Health", "/ui/gallery#status", "health", count=1, tone="danger"),
        NavItem("Members", "/ui/gallery#lists", "users"),
    ),
    "console": (
        NavItem("Tenants", "/ui/gallery", "users", count=1284),
        NavItem("Issues", "/ui/gallery#status", "alert", count=4, tone="danger"),
        NavItem("Runbooks", "/ui/gallery#lists", "book"),
    ),
}
HOSTILE = """<script>alert("x")</script> & 'quotes' "too" {{ 7*7 }}"""


def _shell(area: Literal["portal", "console"]) -> Shell:
    return Shell(
        area=area,
        nav=_NAV[area],
        current="/ui/gallery",
        name="Ada Lovelace",
        detail="ada@acme.example" if area == "portal" else "Support",
        organisation="Acme Analytics" if area == "portal" else "",
        home="/ui/gallery",
    )


def _samples(now: datetime) -> dict[str, Any]:
    people = (
        ("Zoë Åström", "zoe@northwind.example", 48_120, "succeeded", 40),
        (
            "Connor O’Neill-Featherstonehaugh of the Upper Valley Trading Company",
            "c@x.example",
            7,
            "running",
            3,
        ),
        (HOSTILE, "mal@x.example", 0, "failed", 90_000),
        ("山田 太郎", "taro@example.jp", 1_204_331, "waiting", 9_000),
    )
    return {
        "now": now,
        "soon": now + timedelta(minutes=5, seconds=30),
        "long_ago": now - timedelta(days=200),
        "hostile": HOSTILE,
        "people": [
            {"name": n, "email": e, "records": r, "state": s, "at": now - timedelta(seconds=a)}
            for n, e, r, s, a in people
        ],
        "document": {
            "id": "51",
            "properties": {"firstname": "Zoë", "email": None, "note": HOSTILE, "score": 12.5, "vip": True},
            "archived": False,
        },
        "events": [
            {
                "title": "Reconnected",
                "at": now - timedelta(minutes=2),
                "tone": "success",
                "icon": "link",
                "by": "Ada Lovelace",
            },
            {
                "title": "HubSpot refused the saved sign-in",
                "at": now - timedelta(minutes=9),
                "tone": "danger",
                "icon": "unlink",
                "text": "The grant was revoked in HubSpot. Syncing stopped at record 12,345.",
            },
            {
                "title": "First sync finished",
                "at": now - timedelta(hours=20),
                "tone": "info",
                "icon": "check",
                "text": "48,120 contacts in 6 min 12 s.",
                "href": "#lists",
            },
        ],
        "differences": [
            {
                "field": "email",
                "before": "ZOE@Northwind.example",
                "after": "zoe@northwind.example",
                "change": "changed",
            },
            {"field": "full_name", "before": None, "after": "Zoë Åström", "change": "added"},
            {"field": "fax", "before": "+46 8 123 456", "after": None, "change": "removed"},
            {"field": "phone", "before": "+46 8 123 457", "after": "+46 8 123 457", "change": "same"},
        ],
        "steps": [
            {"label": "Pick a stream", "state": "done", "href": "#lists", "hint": "Contacts"},
            {"label": "Map fields", "state": "current", "hint": "9 of 14 mapped"},
            {"label": "Filter", "state": "todo"},
            {"label": "Schedule", "state": "todo"},
            {"label": "Review", "state": "todo"},
        ],
    }


@get("/ui/gallery", include_in_schema=False, sync_to_thread=False, opt={"public": True})
def gallery(request: Request[Any, Any, Any]) -> Page:
    """`?area=console` shows the staff's surroundings; the block `live` renews itself by htmx."""
    area: Literal["portal", "console"] = (
        "console" if request.query_params.get("area") == "console" else "portal"
    )
    context = {
        **_samples(datetime.now(UTC)),
        "shell": _shell(area),
        "csrf_token": "gallery",
        "flashes": [Flash("The recipe was saved as version 4."), Flash(HOSTILE, "warning")],
    }
    return page("gallery/components.html", context, block="live")


@get("/ui/gallery/{layout:str}", include_in_schema=False, sync_to_thread=False, opt={"public": True})
def gallery_layout(layout: FromPath[str]) -> Page:
    """The other layouts, and the error pages by their number."""
    if layout in {"403", "404", "500", "409"}:
        return error_page(int(layout), reference="req_01J9ZQ4T8M", home="/ui/gallery")
    if layout not in {"wizard", "auth", "frame", "popup"}:
        raise NotFoundException(f"There is no layout {layout!r} in the gallery.")
    context = {**_samples(datetime.now(UTC)), "shell": _shell("portal"), "csrf_token": "gallery"}
    return page(f"gallery/{layout}.html", context)


HANDLERS = [gallery, gallery_layout]
