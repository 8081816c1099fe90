"""`/console/runbooks`: the failure table, and what to do about each of its rows."""

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.health import across
from trunkline.kernel.db import Database
from trunkline.kernel.errors import NotFoundError
from trunkline.resilience.failures import failures
from trunkline_ui.console.common import Frame, cause_of
from trunkline_ui.console.runbook_text import runbook_text
from trunkline_ui.rendering import Page, page


class RunbookPages(Controller):
    include_in_schema = False

    @get("/console/runbooks")
    async def table(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
    ) -> Page:
        async with db.console() as session:
            found = {row.cause: row for row in await across.causes(session)}
        causes = sorted((cause_of(code) for code in failures()), key=lambda cause: cause.title.casefold())
        context = framed.counted("/console/runbooks", sum(row.issues for row in found.values()))
        return page("console/runbooks.html", context | {"causes": causes, "found": found})

    @get("/console/runbooks/{code:str}")
    async def runbook(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        code: FromPath[str],
    ) -> Page:
        if code not in failures():
            raise NotFoundError
        async with db.console() as session:
            found = await across.causes(session)
        context = framed.counted("/console/runbooks", sum(row.issues for row in found))
        context |= {
            "cause": cause_of(code),
            "body": runbook_text(code).body,
            "summary": next((row for row in found if row.cause == code), None),
        }
        return page("console/runbook.html", context)
