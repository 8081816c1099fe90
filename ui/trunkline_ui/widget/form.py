"""`/connect/{connector}`: where the customer's account is, or the key that gives access to it."""

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect

from trunkline.connections.cookies import digest, spent_cookie
from trunkline.connections.errors import FlowRefusedError
from trunkline.connections.schemas import Finished, FormView
from trunkline.connections.service import ConnectionService
from trunkline.kernel.errors import BadInputError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import OAuth2
from trunkline.sdk.registry import Connectors
from trunkline_ui.rendering import Page, page
from trunkline_ui.widget.endings import finished, label_for, refused

AnyRequest = Request[Any, Any, Any]
LONGEST = 600
"""Characters of a field; a key has at most 500."""
_OPT = {"public": True, "session": True, "popup": True}


class FormPages(Controller):
    path = "/connect/{connector:str}"
    include_in_schema = False

    @get(opt=_OPT)
    async def show(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        endpoints: NamedDependency[Endpoints],
        connector: FromPath[str],
    ) -> Page:
        state = str(request.query_params.get("state", ""))[:100]
        principal = _signed_in(request)
        try:
            view = await connections.form(connector, state, request.cookies, principal)
        except FlowRefusedError as error:
            spent = spent_cookie(digest(state), secure=settings.secure)
            return refused(label_for(connectors, connector), error, spent, principal)
        return _form(settings, endpoints, view, state, {}, None)

    @post(status_code=303, opt=_OPT)
    async def send(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        endpoints: NamedDependency[Endpoints],
        connector: FromPath[str],
    ) -> Page | Response[None] | Redirect:
        label = label_for(connectors, connector)
        sent = await request.form()
        given = {name: value[:LONGEST] for name, value in sent.items() if isinstance(value, str)}
        state, way = given.get("state", "")[:100], given.get("way", "")
        spent = spent_cookie(digest(state), secure=settings.secure)
        principal = _signed_in(request)
        # each way has fields of its own: two ways may ask for the same thing under one name
        typed = {
            name.removeprefix(f"{way}."): value for name, value in given.items() if name.startswith(f"{way}.")
        }
        try:
            done = await connections.submit(connector, state, request.cookies, principal, way, typed)
        except FlowRefusedError as error:
            return refused(label, error, spent, principal)
        except BadInputError as error:
            try:
                view = await connections.form(connector, state, request.cookies, principal)
            except FlowRefusedError as ended:
                return refused(label, ended, spent, principal)
            return _form(settings, endpoints, view, state, {**typed, "way": way}, error)
        if isinstance(done, Finished):
            label = (await connectors.find(done.connector)).label
            return finished(settings, label, done, spent)
        return Redirect(
            done,
            status_code=303,
            headers={"cache-control": "no-store", "referrer-policy": "no-referrer"},
        )


def _form(
    settings: Settings,
    endpoints: Endpoints,
    view: FormView,
    state: str,
    typed: dict[str, str],
    error: BadInputError | None,
) -> Page:
    """Secrets that were typed are not written back."""
    secret = {one.name for way in view.ways for one in way.secrets}
    # The site's own policy of referrers stays: without any, a browser names no origin when it sends the form.
    simulated = settings.env == "development" and settings.sandbox_url
    return page(
        "widget/form.html",
        {
            "view": view,
            "state": state,
            "typed": {name: value for name, value in typed.items() if name not in secret},
            "chosen": typed.get("way", view.ways[0].key if view.ways else ""),
            "problem": error.message if error else "",
            "field": error.field if error else "",
            "pairs": lambda one: [(option.value, option.label) for option in one.options],
            "simulated": f"{settings.sandbox_url}/{view.manifest.name}/_control" if simulated else "",
            "signs_in": {way.key for way in view.ways if isinstance(way, OAuth2)},
        },
        status=200 if error is None else 422,
        form_targets=sorted(endpoints.sign_in_origins(view.manifest)),
    )


def _signed_in(request: AnyRequest) -> Principal | None:
    found = request.scope.get("user")
    return found if isinstance(found, Principal) else None
