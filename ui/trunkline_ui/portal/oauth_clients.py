"""`/portal/oauth-clients`: the organisation's own app registrations at providers. Owners only."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body

from trunkline.connections.clients import callback_path
from trunkline.connections.schemas import OwnClient
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.manifest import Manifest, OAuth2
from trunkline.sdk.registry import Connectors
from trunkline.webhooks.service import EndpointService, PastedSecret
from trunkline_ui.portal.common import Frame, label_of, see_other, told
from trunkline_ui.rendering import Page, page

HOME = "/portal/oauth-clients"


class ClientForm(msgspec.Struct):
    connector: str = ""
    client_id: str = ""
    secret: str = ""
    hook_secret: str = ""


class Registration(msgspec.Struct, frozen=True):
    """A connector, and how the organisation is registered there."""

    manifest: Manifest
    own: OwnClient | None
    redirect_uri: str
    """To be entered at the provider, to the letter."""
    client_id: str
    errors: dict[str, str]
    pasted: PastedSecret | None
    """Of an address for webhooks with a secret of its own."""


class OAuthClientPages(Controller):
    include_in_schema = False
    path = HOME
    opt = {"can": "oauth_clients.manage"}  # noqa: RUF012  Litestar's way

    @get()
    async def show(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        hooks: NamedDependency[EndpointService],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            context = await framed(session, "/portal")
            own = await connections.clients.own(session, tenant_id)
            context["addresses"] = await hooks.of_own_clients(session, tenant_id)
            pasted = await hooks.pasted_of_own_clients(session, tenant_id)
        listed = _registrations(settings, connectors, tenant_id, own, pasted, ClientForm(), {})
        return page("portal/oauth_clients.html", context | {"registrations": listed, "errors": []})

    @post(status_code=303)
    async def keep(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        hooks: NamedDependency[EndpointService],
        data: Annotated[ClientForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None] | Page:
        """The secret goes in and never comes out, not even into this form again."""
        await connectors.refresh()
        manifest = connectors.offer(tenant_id, data.connector[:100])
        try:
            async with db.tenant(tenant_id) as session:
                await hooks.keep_client_secret(session, tenant_id, manifest.name)
                await connections.clients.bring(
                    session,
                    tenant_id,
                    principal,
                    manifest.name,
                    client_id=data.client_id,
                    secret=data.secret,
                )
        except (BadInputError, ConflictError) as error:
            errors = {error.field or "client_id": error.message}
        else:
            text = f"New {manifest.label} accounts are connected through your own app from now on."
            return see_other(settings, HOME, text)
        async with db.tenant(tenant_id) as session:
            context = await framed(session, "/portal")
            own = await connections.clients.own(session, tenant_id)
            context["addresses"] = await hooks.of_own_clients(session, tenant_id)
            pasted = await hooks.pasted_of_own_clients(session, tenant_id)
        listed = _registrations(settings, connectors, tenant_id, own, pasted, data, errors)
        summary = [(f"{manifest.name}-{field}", sentence) for field, sentence in errors.items()]
        context |= {"registrations": listed, "errors": summary}
        return page("portal/oauth_clients.html", context, status=422)

    @post(
        "/webhook-secret",
        status_code=303,
        exception_handlers={error: told(HOME) for error in (BadInputError, ConflictError, NotFoundError)},
    )
    async def paste(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connectors: NamedDependency[Connectors],
        hooks: NamedDependency[EndpointService],
        data: Annotated[ClientForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        """What the app's own pages show for the address that the provider delivers to."""
        name = data.connector[:100]
        async with db.tenant(tenant_id) as session:
            await hooks.paste_for_client(session, tenant_id, name, principal, data.hook_secret)
        text = f"Messages of {label_of(connectors, name)} are proven by this secret from now on."
        return see_other(settings, HOME, text)

    @post(
        "/remove",
        status_code=303,
        exception_handlers={ConflictError: told(HOME), NotFoundError: told(HOME)},
    )
    async def remove(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        data: Annotated[ClientForm, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        name = data.connector[:100]
        async with db.tenant(tenant_id) as session:
            await connections.clients.remove(session, tenant_id, principal, name)
        text = f"Your own app for {label_of(connectors, name)} is forgotten. New accounts use ours again."
        return see_other(settings, HOME, text)


def _registrations(
    settings: Settings,
    connectors: Connectors,
    tenant_id: UUID,
    own: Mapping[str, OwnClient],
    pasted: Mapping[str, PastedSecret],
    form: ClientForm,
    errors: dict[str, str],
) -> list[Registration]:
    found = []
    for manifest in sorted(connectors.offered(tenant_id), key=lambda one: one.label.casefold()):
        if not any(isinstance(way, OAuth2) for way in manifest.ways):
            continue  # there is no app to register
        mine, held = form.connector == manifest.name, own.get(manifest.name)
        found.append(
            Registration(
                manifest,
                held,
                settings.origin + callback_path(manifest.name, tenant_id),
                form.client_id if mine else (held.client_id if held else ""),
                errors if mine else {},
                pasted.get(manifest.name),
            )
        )
    return found
