"""Our own form on the way to a connection: where the customer's account is, or the key that gives access.

It belongs to an authorization like a trip to the provider does: one browser, one person, ten minutes, one
use. What is typed is proven at the provider before the authorization is used, so a mistake can be mended on
the spot; nothing typed as a secret is ever shown again, and nobody may try for ever.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, cast

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections import repository
from trunkline.connections.clients import OAuthClients, no_client
from trunkline.connections.cookies import digest, nonce_of
from trunkline.connections.errors import FlowRefusedError, GrantRevokedError, ProviderFailedError
from trunkline.connections.flow import UNKNOWN, AuthorizationFlow
from trunkline.connections.inputs import Typed, check
from trunkline.connections.keeping import GrantKeeper, NotKeptError
from trunkline.connections.models import Authorization, Connection
from trunkline.connections.provider import ProviderOAuth
from trunkline.connections.schemas import Account, Finished, FormView, Purpose, Tokens, Via
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.egress import EgressRefusedError
from trunkline.kernel.errors import BadInputError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.credentials import VALUES, WAY, values_of, way_of
from trunkline.sdk.manifest import Auth, ClientCredentials, Manifest, OAuth2
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault

TRIES: Final = 10
"""Of one authorization, in one process."""
_KEPT: Final = 10_000


class _Open(msgspec.Struct, frozen=True):
    """An authorization that waits for its form."""

    found: Authorization
    connection: Connection
    manifest: Manifest
    nonce: str


class FormFlow:
    def __init__(
        self,
        settings: Settings,
        db: Database,
        connectors: Connectors,
        vault: Vault,
        clients: OAuthClients,
        provider: ProviderOAuth,
        flow: AuthorizationFlow,
        keeper: GrantKeeper,
    ) -> None:
        self._settings = settings
        self._db = db
        self._connectors = connectors
        self._vault = vault
        self._clients = clients
        self._provider = provider
        self._flow = flow
        self._keeper = keeper
        self._tries: OrderedDict[bytes, int] = OrderedDict()

    async def view(
        self, connector: str, state: str, cookies: Mapping[str, str], principal: Principal | None
    ) -> FormView:
        """See `ConnectionService.form`."""
        opened = await self._open(connector, state, cookies, principal)
        found, manifest = opened.found, opened.manifest
        ways = manifest.ways
        if found.purpose == "reconnect":
            ways = (way_of(manifest, opened.connection.config),)
        elif no_client(found.tenant_id, connector).id == found.oauth_client_id:
            ways = tuple(way for way in ways if not isinstance(way, OAuth2))
        return FormView(
            manifest=manifest,
            ways=ways,
            purpose=cast("Purpose", found.purpose),
            via=cast("Via", found.via),
            known=self._known(opened),
            account_label=opened.connection.account_label,
            nonce=opened.nonce,
            back=f"/portal/connections/{found.connection_id}"
            if found.purpose == "reconnect"
            else "/portal/connect",
        )

    async def submit(
        self,
        connector: str,
        state: str,
        cookies: Mapping[str, str],
        principal: Principal | None,
        way_key: str,
        given: Mapping[str, str],
    ) -> str | Finished:
        """See `ConnectionService.submit`."""
        opened = await self._open(connector, state, cookies, principal)
        view = await self.view(connector, state, cookies, principal)
        way = next((way for way in view.ways if way.key == way_key), None)
        if way is None:
            raise BadInputError("Choose how to give access.", field="way")
        typed = check(way, given, known=view.known)
        values = {**values_of(opened.manifest, {}), **typed.values}
        if isinstance(way, OAuth2):
            return await self._set_out(opened, way, values, state)
        self._count(opened.found.state_hash)
        tokens, account = await self._proven(opened.manifest, way, values, typed)
        used = await self._flow.spend(
            connector,
            opened.found.redirect_uri.removeprefix(self._settings.origin),
            state,
            cookies,
            principal,
        )
        try:
            client = no_client(used.tenant_id, connector)
            values |= tokens.values
            return await self._keeper.keep(
                used, opened.manifest, way, client, tokens, account, values, opened.nonce
            )
        except NotKeptError as error:
            refused = FlowRefusedError(str(error), code=error.code)
            refused.via, refused.nonce, refused.back = used.via, opened.nonce, view.back
            await self._flow.note(used, refused.code)
            raise refused from error

    # -- inside -----------------------------------------------------------------------------

    async def _open(
        self, connector: str, state: str, cookies: Mapping[str, str], principal: Principal | None
    ) -> _Open:
        """Raises FlowRefusedError, the same for a wrong, used, old or foreign one."""
        found, flow = await self._flow.find(state, cookies, principal)
        async with self._db.tenant(found.tenant_id) as session:
            connection = await repository.get(session, found.tenant_id, found.connection_id)
        usable = (
            found.browser_hash == digest(flow)
            and found.connector == connector
            and found.used_at is None
            and found.expires_at > now()
        )
        if not usable or connection is None:
            raise FlowRefusedError(UNKNOWN)
        manifest = await self._connectors.find(connection.spoken)
        return _Open(found, connection, manifest, nonce_of(flow))

    @staticmethod
    def _known(opened: _Open) -> Mapping[str, str]:
        """Of a reconnect: it cannot move to another account."""
        kept = opened.connection.config.get(VALUES, {}) if opened.found.purpose == "reconnect" else {}
        return dict(kept)

    async def _set_out(self, opened: _Open, way: OAuth2, values: Mapping[str, str], state: str) -> str:
        """Keeps where the account is; the address of the provider's sign-in."""
        found, manifest = opened.found, opened.manifest
        client = await self._clients.exactly(
            found.tenant_id, found.connector, owner=found.oauth_client_tenant, row=found.oauth_client_id
        )
        if client is None:
            raise BadInputError(f"{manifest.label} cannot be signed in to here just now.", field="way")
        async with self._db.tenant(found.tenant_id) as session:
            box = await self._vault.box(session, found.tenant_id)
            verifier = box.open(found.verifier, found.key_version, f"authorizations/{found.id}/verifier")
            try:
                url = self._provider.authorize_url(
                    manifest,
                    way,
                    client,
                    values,
                    redirect_uri=found.redirect_uri,
                    state=state,
                    verifier=verifier.decode(),
                    more=found.scopes,
                )
            except EgressRefusedError as error:
                raise BadInputError(str(error), field="way") from error
            await self._place(session, found, way, values)
        return url

    @staticmethod
    async def _place(
        session: AsyncSession, found: Authorization, way: Auth, values: Mapping[str, str]
    ) -> None:
        connection = await repository.lock(session, found.tenant_id, found.connection_id)
        if connection is None or connection.state != "pending":
            raise FlowRefusedError(UNKNOWN)
        kept = {name: value for name, value in values.items() if name != "api_version"}
        connection.config = {**connection.config, VALUES: kept, WAY: way.key}
        await session.flush()

    def _count(self, state_hash: bytes) -> None:
        tries = self._tries.get(state_hash, 0) + 1
        self._tries[state_hash] = tries
        if len(self._tries) > _KEPT:
            self._tries.popitem(last=False)
        if tries > TRIES:
            raise FlowRefusedError(
                "That was tried too often. Close this window and start again.", code="provider_failed"
            )

    async def _proven(
        self, manifest: Manifest, way: Auth, values: dict[str, str], typed: Typed
    ) -> tuple[Tokens, Account]:
        """What was typed, accepted by the provider. BadInputError where it is not."""
        packed = msgspec.json.encode(typed.secrets).decode()
        try:
            if isinstance(way, ClientCredentials):
                tokens = await self._provider.client_credentials(manifest, way, values, typed.secrets)
                values |= tokens.values
                tokens = msgspec.structs.replace(tokens, refresh_token=packed)
            else:
                tokens = Tokens(access_token=packed, refresh_token=None, expires_at=None, scopes=None)
            account = await self._provider.account(manifest, way, tokens.access_token, values, tokens.answer)
        except GrantRevokedError as error:
            raise BadInputError(_refused(manifest, way), field=_field(way)) from error
        except ProviderFailedError as error:
            if error.http_status is not None and 400 <= error.http_status < 500 and error.http_status != 429:
                raise BadInputError(_refused(manifest, way), field=_field(way)) from error
            raise BadInputError(
                f"{manifest.label} could not be reached. Try again in a few minutes.", field="way"
            ) from error
        return tokens, account


def _field(way: Auth) -> str:
    return way.secrets[0].name if way.secrets else "way"


def _refused(manifest: Manifest, way: Auth) -> str:
    words = " and ".join(one.label for one in way.inputs) or "this"
    return f"{manifest.label} did not accept it. Check {words} and try again."
