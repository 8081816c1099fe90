"""What inbound webhooks tell, over the API: of partners' connectors too, which one document cannot hold."""

from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.kernel.db import OPERATOR
from trunkline.kernel.errors import NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs
from trunkline.sdk.own import CUSTOM, own_manifest
from trunkline.sdk.registry import Connectors, spoken
from trunkline.webhooks.described import description


class InboundEventController(Controller):
    path = "/v1/connectors/{connector:str}/events"
    tags = ("Connectors",)

    @get(**needs("recipes:read"), summary="Events of a connector", operation_id="describeConnectorEvents")
    async def describe_events(
        self,
        connectors: NamedDependency[Connectors],
        principal: NamedDependency[Principal],
        connector: FromPath[str],
    ) -> dict[str, Any]:
        """Which webhooks are taken in from its provider: OpenAPI 3.1, `webhooks` with their schemas.

        Of a tenant that is named, for any connector that it may connect, a partner's too, in the version
        that a new connection would speak; else for those that every tenant may connect.
        """
        if connector == CUSTOM:
            return description(own_manifest(None), None)
        await connectors.refresh()
        manifest = connectors.offer(principal.tenant_id or OPERATOR, connector)
        if manifest.webhooks is None:
            raise NotFoundError(
                f"{manifest.label} tells of nothing by webhooks: it is polled.", field="connector"
            )
        contract = connectors.contract(spoken(manifest.name, connectors.version_of(manifest)))
        return description(manifest, contract)
