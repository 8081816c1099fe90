"""Webhook endpoints and deliveries over the API, below /v1.

A key of the whole installation that names no tenant acts on the installation's own endpoints, which get every
tenant's events; with a tenant it acts on that tenant's.
"""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries import repository
from trunkline.deliveries.schemas import (
    DeedIn,
    DeliveryDetail,
    DeliveryList,
    DeliveryView,
    EndpointChange,
    EndpointCreated,
    EndpointIn,
    EndpointList,
    EndpointOut,
    Queued,
    RecoverIn,
    RotationIn,
    SecretOut,
    State,
    TestOut,
)
from trunkline.deliveries.service import DeliveryService
from trunkline.deliveries.signing import message_id
from trunkline.idempotency.service import ONCE, Once
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.lists import Cursor, Limit, given, parted
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs


def scope_of(principal: Principal) -> UUID:
    return principal.tenant_id or OPERATOR


class EndpointController(Controller):
    path = "/v1/webhook-endpoints"
    tags = ("Webhooks",)
    dependencies = ONCE

    @get(**needs("webhooks:read"), summary="Webhook endpoints", operation_id="listWebhookEndpoints")
    async def list_endpoints(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
    ) -> EndpointList:
        """Of the tenant that is named, or the installation's own; oldest first."""
        owner = scope_of(principal)
        async with db.tenant(owner) as session:
            found = await deliveries.endpoints(session, owner)
            counts = await repository.counts(session, owner)
        return EndpointList([EndpointOut.of(one, counts.get(one.id)) for one in found])

    @post(
        status_code=201,
        **needs("webhooks:write"),
        summary="Register an endpoint",
        operation_id="createWebhookEndpoint",
    )
    async def create(
        self,
        once: NamedDependency[Once],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        data: JSONBody[EndpointIn],
    ) -> Response[EndpointCreated]:
        """It gets what happens from now on, signed as Standard Webhooks has it. The secret is shown once.

        Without a tenant: an endpoint for the events of every tenant.
        """
        owner = scope_of(principal)

        async def deed(session: AsyncSession) -> EndpointCreated:
            view, secret = await deliveries.create(session, owner, principal, data)
            return EndpointCreated.made(view, secret)

        return await once(owner, deed)

    @get(
        "/{endpoint_id:uuid}",
        **needs("webhooks:read"),
        summary="One endpoint",
        operation_id="getWebhookEndpoint",
    )
    async def get_endpoint(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
    ) -> EndpointOut:
        owner = scope_of(principal)
        async with db.tenant(owner) as session:
            found = await deliveries.endpoint(session, owner, endpoint_id)
            return EndpointOut.of(found, (await repository.counts(session, owner)).get(endpoint_id))

    @patch(
        "/{endpoint_id:uuid}",
        **needs("webhooks:write"),
        summary="Change an endpoint",
        operation_id="changeWebhookEndpoint",
    )
    async def change(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
        data: JSONBody[EndpointChange],
    ) -> EndpointOut:
        """What was failed while it was disabled is not sent by itself: see recover."""
        owner = scope_of(principal)
        async with db.tenant(owner) as session:
            found = await deliveries.change(session, owner, endpoint_id, principal, data)
            return EndpointOut.of(found, (await repository.counts(session, owner)).get(endpoint_id))

    @delete(
        "/{endpoint_id:uuid}",
        **needs("webhooks:write"),
        summary="Remove an endpoint",
        operation_id="deleteWebhookEndpoint",
    )
    async def remove(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
    ) -> None:
        """Nothing is sent there any more; its secrets are forgotten."""
        owner = scope_of(principal)
        async with db.tenant(owner) as session:
            await deliveries.remove(session, owner, endpoint_id, principal)

    @post(
        "/{endpoint_id:uuid}/rotate-secret",
        status_code=200,
        **needs("webhooks:write"),
        summary="Change the secret for a new one",
        operation_id="rotateWebhookSecret",
    )
    async def rotate(
        self,
        once: NamedDependency[Once],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
        data: JSONBody[RotationIn],
    ) -> Response[SecretOut]:
        """During the overlap requests carry a signature by each; the libraries take either."""
        owner = scope_of(principal)

        async def deed(session: AsyncSession) -> SecretOut:
            made = await deliveries.rotate(session, owner, endpoint_id, principal, data.overlap_hours)
            return SecretOut(*made)

        return await once(owner, deed)

    @post(
        "/{endpoint_id:uuid}/test",
        status_code=202,
        **needs("webhooks:write"),
        summary="Send a test event",
        operation_id="testWebhookEndpoint",
    )
    async def test(
        self,
        once: NamedDependency[Once],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
        data: JSONBody[DeedIn],
    ) -> Response[TestOut]:
        """A `webhook.test`, whatever types the endpoint asks for."""
        del data  # names the tenant, if anything
        owner = scope_of(principal)

        async def deed(session: AsyncSession) -> TestOut:
            made = await deliveries.test(session, owner, endpoint_id, principal)
            return TestOut(made, message_id(made))

        return await once(owner, deed)

    @post(
        "/{endpoint_id:uuid}/recover",
        status_code=202,
        **needs("webhooks:write"),
        summary="Send again what failed since a time",
        operation_id="recoverWebhookEndpoint",
    )
    async def recover(
        self,
        once: NamedDependency[Once],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
        data: JSONBody[RecoverIn],
    ) -> Response[Queued]:
        """Under the same ids, so what was taken after all is known to the receiver. An endpoint of the
        installation: without a tenant, for every tenant; with one, for that one.
        """
        owner = scope_of(principal)

        async def deed(session: AsyncSession) -> Queued:
            return Queued(
                await deliveries.recover(
                    session, owner, endpoint_id, principal, data.since, missing=data.missing
                )
            )

        return await once(owner, deed)


class DeliveryController(Controller):
    path = "/v1/webhook-deliveries"
    tags = ("Webhooks",)
    dependencies = ONCE

    @get(**needs("webhooks:read"), summary="Deliveries, newest first", operation_id="listWebhookDeliveries")
    async def list_deliveries(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        limit: Limit = 50,
        cursor: Cursor = None,
        endpoint: Annotated[UUID | None, QueryParameter(description="Only to this endpoint.")] = None,
        standing: Annotated[
            State | None, QueryParameter(description="Only those that stand like this.")
        ] = None,
    ) -> DeliveryList:
        """A tenant's, to its own endpoints and to the installation's; without a tenant those that are about
        the installation itself.
        """
        owner = scope_of(principal)
        async with db.tenant(owner) as session:
            last = given(await repository.delivery(session, owner, cursor)) if cursor else None
            before = (last.created_at, last.id) if last else None
            found = await deliveries.deliveries(
                session, owner, endpoint_id=endpoint, state=standing, before=before, limit=limit + 1
            )
        return DeliveryList(*parted(found, limit))

    @get(
        "/{delivery_id:uuid}",
        **needs("webhooks:read"),
        summary="One delivery with its body and attempts",
        operation_id="getWebhookDelivery",
    )
    async def get_delivery(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        delivery_id: FromPath[UUID],
    ) -> DeliveryDetail:
        owner = scope_of(principal)
        async with db.tenant(owner) as session:
            return await deliveries.delivery(session, owner, delivery_id)

    @post(
        "/{delivery_id:uuid}/resend",
        status_code=202,
        **needs("webhooks:write"),
        summary="Send it again",
        operation_id="resendWebhookDelivery",
    )
    async def resend(
        self,
        once: NamedDependency[Once],
        deliveries: NamedDependency[DeliveryService],
        principal: NamedDependency[Principal],
        delivery_id: FromPath[UUID],
        data: JSONBody[DeedIn],
    ) -> Response[DeliveryView]:
        """Whatever became of it before; under the same id."""
        del data  # names the tenant, if anything
        owner = scope_of(principal)

        async def deed(session: AsyncSession) -> DeliveryView:
            return await deliveries.resend(session, owner, delivery_id, principal)

        return await once(owner, deed)
