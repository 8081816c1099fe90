"""`/portal/systems`: a customer's own systems: address and secret, the first event, how what comes is read.

A secret stands in the answer to the form that made it and nowhere else: no redirect could carry it.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, TrunklineError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.recipes.service import RecipeService
from trunkline.webhooks.own_systems import Heard, OwnSystem, OwnSystems, trial
from trunkline.webhooks.suggesting import pointers, suggest
from trunkline_ui.portal.common import Frame, see_other, told, usable
from trunkline_ui.portal.sending import ways
from trunkline_ui.portal.system_reading import ReadingForm
from trunkline_ui.rendering import Page, page

HOME = "/portal/systems"


class Named(msgspec.Struct):
    name: str = ""


Form = Annotated[Named, Body(media_type=RequestEncodingType.URL_ENCODED)]
Chosen = Annotated[ReadingForm, Body(media_type=RequestEncodingType.URL_ENCODED)]


class SystemPages(Controller):
    include_in_schema = False
    path = HOME
    opt = {"can": "connections.manage"}  # noqa: RUF012  Litestar's way
    exception_handlers = {ConflictError: told(HOME)}  # noqa: RUF012

    @get()
    async def browse(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        systems: NamedDependency[OwnSystems],
    ) -> Page:
        return await _list(db, tenant_id, framed, systems)

    @post(status_code=200)
    async def make(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        systems: NamedDependency[OwnSystems],
        data: Form,
    ) -> Page:
        try:
            async with db.tenant(tenant_id) as session:
                name = data.name if usable(data.name) else ""
                one, secret = await systems.make(session, tenant_id, name, principal)
                context = await framed(session, HOME)
        except BadInputError as error:
            return await _list(db, tenant_id, framed, systems, data.name, error.message)
        context |= {
            "one": one,
            "secret": secret,
            "text": "The address is made.",
            "next": "Send a first event",
        }
        return page("portal/system_secret.html", context)

    @get("/{system_id:uuid}")
    async def show(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        systems: NamedDependency[OwnSystems],
        recipes: NamedDependency[RecipeService],
        system_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            one = await systems.get(session, tenant_id, system_id)
            heard = await systems.heard(session, tenant_id, system_id)
            made = await recipes.of_connection(session, tenant_id, system_id)
            context = await framed(session, HOME)
        context |= {
            "one": one,
            "heard": heard,
            "home": f"{HOME}/{system_id}",
            "connection": f"/portal/connections/{system_id}",
            "ways": ways(one.url) if one.url else [],
            "recipes": made,
            "steps": _steps(one, bool(heard), bool(made)),
        }
        return page("portal/system.html", context, block="live")

    @get("/{system_id:uuid}/reading")
    async def ask_reading(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        systems: NamedDependency[OwnSystems],
        system_id: FromPath[UUID],
    ) -> Page:
        """As it is read or, before that was chosen, as the newest event suggests."""
        async with db.tenant(tenant_id) as session:
            one = await systems.get(session, tenant_id, system_id)
            heard = await systems.heard(session, tenant_id, system_id)
            context = await framed(session, HOME)
        suggested = next((found for each in heard if (found := suggest(each.document))), None)
        return _reading(context, one, heard, ReadingForm.of(one.reading or suggested), {})

    @post("/{system_id:uuid}/reading", status_code=200)
    async def choose_reading(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        systems: NamedDependency[OwnSystems],
        system_id: FromPath[UUID],
        data: Chosen,
    ) -> Response[None] | Page:
        """Tried on what came or, with `go` "save", chosen."""
        async with db.tenant(tenant_id) as session:
            one = await systems.get(session, tenant_id, system_id)
            heard = await systems.heard(session, tenant_id, system_id)
            context = await framed(session, HOME)
        try:
            reading = data.reading()
            if data.go != "save":
                return _reading(context, one, heard, data, {})
            async with db.tenant(tenant_id) as session:
                await systems.read_as(session, tenant_id, system_id, reading, principal)
        except (BadInputError, ConflictError) as error:
            return _reading(context, one, heard, data, _errors(error))
        text = (
            "What came is becoming records." if one.reading is None else "What comes is read like this now."
        )
        return see_other(settings, f"{HOME}/{system_id}", text)

    @post("/{system_id:uuid}/rotate", status_code=200)
    async def rotate(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        systems: NamedDependency[OwnSystems],
        system_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            secret = await systems.rotate(session, tenant_id, system_id, principal)
            one = await systems.get(session, tenant_id, system_id)
            context = await framed(session, HOME)
        text = "The secret is changed. What the one before signs counts for a day more."
        context |= {"one": one, "secret": secret, "text": text, "next": "Back to the system"}
        return page("portal/system_secret.html", context)

    @get("/{system_id:uuid}/remove")
    async def ask_remove(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        systems: NamedDependency[OwnSystems],
        system_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            one = await systems.get(session, tenant_id, system_id)
            context = await framed(session, HOME)
        return page("portal/system_remove.html", context | {"one": one, "home": f"{HOME}/{system_id}"})

    @post("/{system_id:uuid}/remove", status_code=303)
    async def remove(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        systems: NamedDependency[OwnSystems],
        connections: NamedDependency[ConnectionService],
        system_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await systems.get(session, tenant_id, system_id)
            await connections.disconnect(session, tenant_id, system_id, principal)
        return see_other(settings, HOME, "It is disconnected; nothing is taken at its address any more.")


async def _list(
    db: Database,
    tenant_id: UUID,
    framed: Frame,
    systems: OwnSystems,
    name: str = "",
    error: str = "",
) -> Page:
    async with db.tenant(tenant_id) as session:
        found = await systems.of_tenant(session, tenant_id)
        context = await framed(session, HOME)
    given = name if usable(name) else ""
    context |= {"systems": found, "name": given, "error": error}
    return page("portal/systems.html", context, status=422 if error else 200)


def _reading(
    context: dict[str, Any],
    one: OwnSystem,
    heard: Sequence[Heard],
    form: ReadingForm,
    errors: dict[str, str],
) -> Page:
    """With what the form makes of the newest events; htmx takes that part alone."""
    tried, trouble = [], ""
    try:
        tried = trial(form.reading(), heard) if form.key or errors else []
    except BadInputError as error:
        trouble = error.message
    places: dict[str, None] = {}
    for each in heard:
        places |= dict.fromkeys(pointers(each.document))
    context |= {
        "one": one,
        "home": f"{HOME}/{one.id}",
        "form": form,
        "errors": errors,
        "tried": tried,
        "trouble": trouble,
        "places": list(places),
        "newest": heard[0].raw.decode("utf-8", "replace") if heard else "",
    }
    return page("portal/system_reading.html", context, block="trial", status=422 if errors else 200)


def _errors(error: TrunklineError) -> dict[str, str]:
    return {error.field or "key": error.message}


def _steps(one: OwnSystem, heard: bool, mapped: bool) -> list[dict[str, str]]:
    """Of setting it up; empty once it is."""
    if mapped or one.state not in {"setup", "active"}:
        return []
    done = [heard or one.reading is not None, one.reading is not None, mapped]
    names = ("Send an event", "Choose how it is read", "Set up a recipe")
    at = done.index(False)
    return [
        {"label": name, "state": "done" if done[i] else "current" if i == at else "todo"}
        for i, name in enumerate(names)
    ]
