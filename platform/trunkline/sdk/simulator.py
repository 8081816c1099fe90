"""The base of every simulated provider: OAuth, data, ledger, limits and trouble, in memory.

A provider's simulator subclasses `Simulator`, gives its routes, and is mounted by its `name` in the
sandbox host. State is deterministic by `seed` and `now`; tokens are not: they are random like real ones.
"""

from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import msgspec
from litestar import Litestar, MediaType, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, ControllerRouterHandler

from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_consent import consent_handlers
from trunkline.sdk.simulator_faults import Faults
from trunkline.sdk.simulator_gate import AnyRequest, Gate, Reply
from trunkline.sdk.simulator_hooks import Address, Teller, Webhook, WebhookBook
from trunkline.sdk.simulator_log import RequestLog
from trunkline.sdk.simulator_oauth import OAuthClient, OAuthServer, OAuthState
from trunkline.sdk.simulator_store import LedgerEntry, SimulatedObject, Store


class Account(msgspec.Struct, frozen=True):
    """A customer's account at the provider (portal, org, workspace)."""

    id: str
    name: str
    detail: str
    host: str = ""
    """Of an account that has one of its own ("acme.provider.example")."""


class ObjectType(msgspec.Struct, frozen=True):
    name: str
    """As in the provider's paths."""
    singular: str
    plural: str


class Setting(msgspec.Struct, frozen=True):
    """A knob of a simulator that the control page shows; unit in the label."""

    name: str
    label: str
    value: int | bool


class KeptState(msgspec.Struct):
    """What a sandbox keeps on disk between two starts."""

    seed: int
    oauth: OAuthState
    ledger: list[LedgerEntry]
    webhooks: list[Webhook] = []


class RefusedError(Exception):
    """A route's way to answer with an error in the provider's own form."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


class Simulator(ABC):
    """One simulated provider. Subclasses set the class attributes and the abstract parts."""

    name: str
    title: str
    authorize_path: str = "/oauth/authorize"
    """Empty: there is no consent page; accounts are reached with API keys."""
    scopes: Mapping[str, str]
    """Scope -> what it allows, in words for the consent page."""
    object_types: tuple[ObjectType, ...]
    keys: bool = False
    """Whether a person of the account can make API keys, on the control page."""
    field_types: ClassVar[tuple[str, ...]] = ()
    """What an administrator may make of a field, in the provider's words; empty: fields stay as they are."""
    kept_types: ClassVar[frozenset[str]] = frozenset()
    """Types of which every account has some (its own users)."""
    belongs: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Type -> the type that its objects belong to, and the value that holds the store's id of the one."""
    targets: ClassVar[Mapping[str, str]] = {}
    """Label -> path prefix: what a fault can be limited to."""

    def __init__(self, *, clients: Sequence[OAuthClient] = (), seed: int = 1, now: Now = wall_now) -> None:
        self.seed = seed
        self.now = now
        self.store = Store(now, belongs=self.belongs)
        self.faults = Faults(now)
        self.log = RequestLog(now)
        self.webhooks = WebhookBook()
        self.oauth = self.make_oauth()
        for client in clients:
            self.oauth.register(client)

    # -- what a provider gives --------------------------------------------------------------

    @property
    @abstractmethod
    def accounts(self) -> tuple[Account, ...]: ...

    @abstractmethod
    def make_oauth(self) -> OAuthServer: ...

    @abstractmethod
    def routes(self) -> Sequence[HTTPRouteHandler]: ...

    @abstractmethod
    def error_reply(self, status: int, message: str) -> Reply:
        """An error that no route foresaw (404, 405, a crash), in the provider's form."""

    @abstractmethod
    def fault_reply(self, kind: str) -> Reply:
        """The provider's answer for a "429", "500" or "error_body" (an error under status 200) fault."""

    @abstractmethod
    def sample(self, object_type: str, number: int) -> dict[str, Any]:
        """Values of a new object for the control page; the same for the same number."""

    @abstractmethod
    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, Any]:
        """Values that differ from the object's present ones, as if somebody had edited it."""

    @abstractmethod
    def label(self, object_type: str, item: SimulatedObject) -> str:
        """What a person would call the object."""

    def fields(self, object_type: str) -> frozenset[str]:
        """Names that records of this type can hold; empty: any."""
        del object_type
        return frozenset()

    def change_field(self, object_type: str, name: str, to: str) -> None:
        """Of all accounts. `to`: one of `field_types`, or empty and it goes; one that had gone comes back
        with its values. Raises LookupError where there is no such field.
        """
        raise LookupError(f"{object_type}.{name} stays as it is: {to!r}")

    def public_id(self, object_type: str, object_id: str) -> str:
        """The id as the API and people know it; the store's own are numbers that ascend."""
        del object_type
        return object_id

    def own_id(self, object_type: str, public_id: str) -> str:
        """The store's id behind a public one; of anything else, something that no object has."""
        del object_type
        return public_id

    def truth(self, account: str, stream: str) -> frozenset[str] | None:
        """Ids of the live records that a stream of that name must give; None: it is no type of ours."""
        if stream not in {kind.name for kind in self.object_types}:
            return None
        return frozenset(self.public_id(stream, one.id) for one in self.store.walk(account, stream))

    def teller(self, secret: str, address: Address) -> Teller | None:
        """How it delivers webhooks; None: not at all. `secret` and `address` are of Trunkline's app there."""
        del secret, address
        return None

    @property
    def takes_addresses(self) -> bool:
        """Whether a person of the account can enter where its webhooks go, on the control page."""
        return False

    def make_secret(self) -> str | None:
        """The provider's own secret for an address that a person enters; None: the person gives one."""
        return None

    def redact(self, path: str) -> str:
        """The path as it may be shown and kept; overridden where a provider puts secrets in paths."""
        return path

    def settings(self) -> list[Setting]:
        return [
            Setting(
                "access_seconds",
                "Lifetime of an access token, in seconds (0: for ever)",
                self.oauth.access_seconds,
            ),
            Setting("rotate_refresh", "A refresh returns a new refresh token", self.oauth.rotate_refresh),
        ]

    def change_setting(self, name: str, value: int) -> None:
        """Raises KeyError on an unknown name, ValueError with a sentence on a bad value."""
        if name == "access_seconds":
            if not 0 <= value <= 86_400:
                raise ValueError("access_seconds must be between 0 and 86,400.")
            self.oauth.access_seconds = value
        elif name == "rotate_refresh":
            self.oauth.rotate_refresh = bool(value)
        else:
            raise KeyError(name)

    # -- what every provider has ------------------------------------------------------------

    def is_page(self, path: str) -> bool:
        """Pages for people, which no fault strikes and no counter counts."""
        return path == self.authorize_path or path.startswith(("/_static", "/_control"))

    def handlers(self) -> list[HTTPRouteHandler]:
        """All routes of the simulator itself; the sandbox host adds its control routes."""
        return [*consent_handlers(self), *self.routes()]

    def asgi(self, extra: Sequence[ControllerRouterHandler] = ()) -> ASGIApp:
        """The mountable app, with the host's extra routes."""
        app = Litestar(
            route_handlers=[*self.handlers(), *extra],
            openapi_config=None,
            exception_handlers={
                RefusedError: lambda _, error: _respond(error.reply),
                HTTPException: lambda _, error: self._unforeseen(error),
            },
            request_max_body_size=1024 * 1024,
        )
        return Gate(app, self)

    @cached_property
    def app(self) -> ASGIApp:
        return self.asgi()

    @property
    def revision(self) -> tuple[int, int, int]:
        """Differs whenever there is something new to keep."""
        return len(self.store.ledger), self.oauth.revision, self.webhooks.revision

    def keep(self) -> KeptState:
        return KeptState(self.seed, self.oauth.dump(), list(self.store.ledger), self.webhooks.dump())

    def take_up(self, kept: KeptState) -> bool:
        """False, and nothing taken, if the state grew on another seed or this one has moved on."""
        if kept.seed != self.seed or self.store.ledger:
            return False
        self.oauth.load(kept.oauth)
        self.webhooks.load(kept.webhooks)
        self.store.replay(kept.ledger)
        return True

    def _unforeseen(self, error: HTTPException) -> Response[Any]:
        return _respond(self.error_reply(error.status_code, error.detail))


def _respond(reply: Reply) -> Response[Any]:
    media = MediaType.TEXT if reply.body is None or isinstance(reply.body, str) else MediaType.JSON
    return Response(
        "" if reply.body is None else reply.body,
        status_code=reply.status,
        headers=reply.headers,
        media_type=media,
    )


def query_without(request: AnyRequest, name: str) -> list[tuple[str, str]]:
    """What an address asks for besides `name`, in its own order (which `multi_items` does not keep)."""
    asked = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return [(key, value) for key, value in asked if key != name]


def bearer(request: AnyRequest) -> str:
    """The token of an Authorization header, or the empty string."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def basic(request: AnyRequest) -> tuple[str, str]:
    """User and password of an Authorization header, empty without one that can be read."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = b64decode(given.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return user, password


async def token_form(request: AnyRequest) -> dict[str, str]:
    """A token request's fields, sent as a form or as JSON; the client's own by HTTP Basic or among them."""
    if request.headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        try:
            given = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except msgspec.DecodeError:
            given = {}
    else:
        given = dict(await request.form())
    form = {name: str(value) for name, value in given.items()}
    user, password = basic(request)
    return {**form, "client_id": user, "client_secret": password} if user else form
