"""`/console/connectors`: what can be connected, how good each connector is, and what shows it."""

from datetime import UTC, datetime

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.health import across
from trunkline.kernel.db import Database
from trunkline.sdk.registry import Connectors
from trunkline_ui.console.common import Frame
from trunkline_ui.rendering import Page, page

HOME = "/console/connectors"


class ConnectorPages(Controller):
    include_in_schema = False

    @get(HOME)
    async def table(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        connectors: NamedDependency[Connectors],
    ) -> Page:
        async with db.console() as session:
            issues = sum(row.issues for row in await across.causes(session))
        await connectors.refresh()
        today = datetime.now(UTC).date()
        rows = [
            {
                "manifest": one,
                "graded": connectors.grade(one.name),
                "days": (one.api.ends - today).days if one.api and one.api.ends else None,
            }
            for one in sorted(connectors.all(), key=lambda one: one.label.casefold())
        ]
        return page("console/connectors.html", framed.counted(HOME, issues) | {"rows": rows})

    @get("/console/connectors/{name:str}")
    async def show(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        connectors: NamedDependency[Connectors],
        name: FromPath[str],
    ) -> Page:
        manifest = connectors.get(name)
        async with db.console() as session:
            issues = sum(row.issues for row in await across.causes(session))
        context = framed.counted(HOME, issues)
        context |= {"manifest": manifest, "graded": connectors.grade(name)}
        return page("console/connector.html", context)
