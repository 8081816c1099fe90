"""`/console/oauth-clients`: the installation's own apps at providers, for tenants that bring none.

Partners' connectors stand beside ours: an approval says who may connect one, this says through which app.
"""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.enums import RequestEncodingType
from litestar.params import Body

from trunkline.connections.clients import callback_path
from trunkline.connections.schemas import OwnClient
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.manifest import Manifest, OAuth2
from trunkline.sdk.registry import Connectors
from trunkline.webhooks.service import EndpointService, PastedSecret
from trunkline_ui.console.actions import unfit
from trunkline_ui.console.common import ACT, Frame
from trunkline_ui.portal.common import label_of, see_other
from trunkline_ui.rendering import Page, page

HOME = "/console/oauth-clients"


class ClientForm(msgspec.Struct):
    connector: str = ""
    client_id: str = ""
    secret: str = ""
    reason: str = ""
    hook_secret: str = ""


Form = Annotated[ClientForm, Body(media_type=RequestEncodingType.URL_ENCODED)]


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A connector, and how the installation is registered at its provider."""

    manifest: Manifest
    partner: bool
    held: OwnClient | None
    redirect_uri: str
    address: str
    """For webhooks; empty where its provider delivers to none of the app's."""
    pasted: PastedSecret | None
    """Of an address for webhooks with a secret of its own."""
    sent_to: list[str]
    """Hosts that the secret goes to."""
    form: ClientForm
    errors: dict[str, str]


class Apps(msgspec.Struct, frozen=True, kw_only=True):
    """What the page and each of its forms take."""

    framed: Frame
    db: Database
    settings: Settings
    principal: Principal
    connections: ConnectionService
    connectors: Connectors
    hooks: EndpointService

    async def shown(self, form: ClientForm, errors: dict[str, str]) -> Page:
        await self.connectors.refresh()
        async with self.db.console() as session:
            context = await self.framed(session, "/console/connectors")
        async with self.db.tenant(OPERATOR) as session:
            held = await self.connections.clients.own(session, OPERATOR)
            addresses = await self.hooks.of_own_clients(session, OPERATOR)
            pasted = await self.hooks.pasted_of_own_clients(session, OPERATOR)
        context |= {
            "registrations": registrations(
                self.settings, self.connectors, held, addresses, pasted, form, errors
            ),
            "errors": [(f"{_name(form)}-{field}", sentence) for field, sentence in errors.items()],
        }
        return page("console/oauth_clients.html", context, status=422 if errors else 200)


def provide_apps(
    framed: NamedDependency[Frame],
    db: NamedDependency[Database],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
    connections: NamedDependency[ConnectionService],
    connectors: NamedDependency[Connectors],
    hooks: NamedDependency[EndpointService],
) -> Apps:
    return Apps(
        framed=framed,
        db=db,
        settings=settings,
        principal=principal,
        connections=connections,
        connectors=connectors,
        hooks=hooks,
    )


class OperatorClientPages(Controller):
    include_in_schema = False
    path = HOME
    opt = ACT
    dependencies = {"apps": Provide(provide_apps, sync_to_thread=False)}  # noqa: RUF012  Litestar's way

    @get()
    async def show(self, apps: NamedDependency[Apps]) -> Page:
        return await apps.shown(ClientForm(), {})

    @post(status_code=303)
    async def keep(self, apps: NamedDependency[Apps], data: Form) -> Response[None] | Page:
        """The secret goes in and never comes out, not even into this form again."""
        manifest = await apps.connectors.find(_name(data))
        errors, reason = {}, data.reason.strip()
        if words := unfit(reason):
            errors["reason"] = words
        else:
            try:
                async with apps.db.tenant(OPERATOR) as session:
                    await apps.hooks.keep_client_secret(session, OPERATOR, manifest.name)
                    await apps.connections.clients.bring(
                        session,
                        OPERATOR,
                        apps.principal,
                        manifest.name,
                        client_id=data.client_id,
                        secret=data.secret,
                        reason=reason,
                    )
            except (BadInputError, ConflictError) as error:
                errors[error.field or "client_id"] = error.message
            else:
                text = f"{manifest.label} is connected through this app from now on."
                return see_other(apps.settings, HOME, text)
        return await apps.shown(data, errors)

    @post("/webhook-secret", status_code=303)
    async def paste(self, apps: NamedDependency[Apps], data: Form) -> Response[None] | Page:
        """What the app's own pages show for the address that the provider delivers to."""
        name, reason = _name(data), data.reason.strip()
        errors = {"pasting": words} if (words := unfit(reason)) else {}
        if not errors:
            try:
                async with apps.db.tenant(OPERATOR) as session:
                    await apps.hooks.paste_for_client(
                        session, OPERATOR, name, apps.principal, data.hook_secret, reason
                    )
            except (BadInputError, ConflictError) as error:
                errors["hook_secret"] = error.message
            else:
                text = f"Messages of {label_of(apps.connectors, name)} are proven by this secret from now on."
                return see_other(apps.settings, HOME, text)
        return await apps.shown(data, errors)

    @post("/remove", status_code=303)
    async def remove(self, apps: NamedDependency[Apps], data: Form) -> Response[None] | Page:
        name, reason = _name(data), data.reason.strip()
        words = unfit(reason)
        if not words:
            try:
                async with apps.db.tenant(OPERATOR) as session:
                    await apps.connections.clients.remove(session, OPERATOR, apps.principal, name, reason)
            except (ConflictError, NotFoundError) as error:
                words = error.message
            else:
                label = label_of(apps.connectors, name)
                text = f"The app at {label} is forgotten. Nobody signs in through it now."
                return see_other(apps.settings, HOME, text)
        return await apps.shown(data, {"removal": words})


def _name(data: ClientForm) -> str:
    return data.connector.partition("@")[0][:100]


def registrations(
    settings: Settings,
    connectors: Connectors,
    held: Mapping[str, OwnClient],
    addresses: Mapping[str, str],
    pasted: Mapping[str, PastedSecret],
    form: ClientForm,
    errors: dict[str, str],
) -> list[Registration]:
    """Of every connector that is signed in to, those without an app first."""
    found = []
    for manifest in connectors.all():
        hosts = {urlsplit(way.token_url).netloc for way in manifest.ways if isinstance(way, OAuth2)}
        if not hosts:
            continue  # there is no app to register
        mine, own = _name(form) == manifest.name, held.get(manifest.name)
        found.append(
            Registration(
                manifest=manifest,
                partner=connectors.is_partners(manifest.name),
                held=own,
                redirect_uri=settings.origin + callback_path(manifest.name, OPERATOR),
                address=addresses.get(manifest.name, ""),
                pasted=pasted.get(manifest.name),
                sent_to=sorted(hosts),
                form=form if mine else ClientForm(client_id=own.client_id if own else ""),
                errors=errors if mine else {},
            )
        )
    return sorted(found, key=lambda one: (one.held is not None, one.manifest.label.casefold()))
