"""The composition root: the only module that may look upward, and the `trunkline` command.

Every hook imports what it needs when called, so that the command itself starts quickly.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from trunkline.cli import Composition, Doorway, build
from trunkline.kernel.settings import Settings


def connectors() -> Any:
    """The registry of every connector that comes with the product."""
    from trunkline.sdk.registry import Connectors
    from trunkline_connectors.catalogue import contracts, grades, hooks, manifests

    return Connectors(manifests(), grades(), contracts(), hooks())


def packages() -> Any:
    """The folders that the connectors lie in."""
    from pathlib import Path

    import trunkline_connectors
    from trunkline.kit.package import built_in
    from trunkline_connectors.catalogue import hooks

    return built_in(Path(trunkline_connectors.__file__).parent, "trunkline_connectors", hooks())


def web_app(settings: Settings) -> Any:
    """Portal, console, widget and API."""
    from trunkline.access.controllers import ConnectSessionController
    from trunkline.actions.controllers import ActionCallController, ActionController
    from trunkline.connections.controllers import ConnectionController
    from trunkline.deliveries.controllers import DeliveryController, EndpointController
    from trunkline.deliveries.described import SCHEMAS, WEBHOOKS
    from trunkline.readers.controllers import FeedController
    from trunkline.recipes.controllers import ConnectorController, ModelController, RecipeController
    from trunkline.reviews.controllers import ReviewController
    from trunkline.runs.controllers import ChangeController, RecordController, RunController
    from trunkline.runs.controls import RunControlController
    from trunkline.runs.drift_controllers import DriftController
    from trunkline.services import build_services
    from trunkline.web import create_app, database_check
    from trunkline.webhooks.controllers import InboundEventController
    from trunkline.webhooks.described import described
    from trunkline.webhooks.intake import PREFIX
    from trunkline_tenants.account import Account
    from trunkline_tenants.dependencies import DEPENDENCIES
    from trunkline_tenants.directory import Directory
    from trunkline_tenants.guards import AccessGuard
    from trunkline_tenants.logins import Logins
    from trunkline_tenants.middleware import Authentication
    from trunkline_tenants.second_factor import SecondFactors
    from trunkline_tenants.single_sign_on import SingleSignOn
    from trunkline_tenants.throttle import CODE_LIMITS, Throttle
    from trunkline_ui import rendering
    from trunkline_ui.pages import handlers

    services = build_services(settings, connectors(), application="web")
    directory = Directory(services.db)
    logins = Logins(services.db, Throttle(services.valkey))
    sso = SingleSignOn(settings, services.db, directory, logins, services.egress)
    people = {
        "directory": directory,
        "logins": logins,
        "account": Account(services.db, logins),
        "second_factors": SecondFactors(
            services.db, services.vault, Throttle(services.valkey, CODE_LIMITS), directory, logins
        ),
        "sso": sso,
    }
    development = settings.env == "development"
    taken_in, schemas = described(services.connectors)

    @asynccontextmanager
    async def running(_: object) -> AsyncIterator[None]:
        await services.start()
        await services.intake.start()
        try:
            yield
        finally:
            await services.intake.close()
            await sso.close()
            await services.close()

    return create_app(
        settings,
        {**msgspec.structs.asdict(services), **people},
        api=[
            ConnectSessionController,
            ConnectionController,
            RunController,
            RunControlController,
            DriftController,
            ReviewController,
            ActionController,
            ActionCallController,
            RecordController,
            ChangeController,
            FeedController,
            EndpointController,
            DeliveryController,
            ModelController,
            ConnectorController,
            InboundEventController,
            RecipeController,
        ],
        pages=handlers(development=development),
        error_page=rendering.error_page,
        guards=[AccessGuard(settings, directory)],
        middleware=[Authentication(settings, directory, logins)],
        dependencies=DEPENDENCIES,
        checks={"database": database_check(services.db), "valkey": services.valkey.ping},
        template_config=rendering.template_config(reload=development),
        mounts={PREFIX: services.intake},
        lifespan=[running],
        webhooks={**WEBHOOKS, **taken_in},
        schemas={**SCHEMAS, **schemas},
    )


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Syncs and other background work until `stop`."""
    from trunkline.audit.housekeeping import export_regularly
    from trunkline.services import Lane, build_services
    from trunkline.webhooks.jobs import begin_sweeping
    from trunkline.work.worker import run_worker as work

    services = build_services(settings, connectors(), application="worker")
    await services.start()
    await begin_sweeping(services.db, services.work)
    exporting = asyncio.create_task(export_regularly(settings, services.db))
    lanes = services.lanes()
    kinds = [kind for lane in lanes for kind in lane.handlers]

    async def run(lane: Lane) -> None:
        try:
            await work(
                settings,
                services.db,
                lane.handlers,
                stop=stop,
                caps=lane.caps,
                slots=lane.slots,
                known=kinds,
            )
        finally:
            stop.set()  # one that fails ends the other

    try:
        ended = await asyncio.gather(*(run(lane) for lane in lanes), return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException):
                raise error
    finally:
        exporting.cancel()
        await asyncio.wait({exporting})
        await services.close()


def sandbox_app(settings: Settings) -> Any:
    """Every provider that can be simulated."""
    from trunkline.sandbox.app import create_sandbox
    from trunkline.sandbox.demo import CLIENT_ID, demo_secrets
    from trunkline.sandbox.hook_sender import HookSender
    from trunkline.sdk.simulator_oauth import OAuthClient
    from trunkline_connectors.catalogue import simulators

    secret = demo_secrets(settings).client_secret

    def clients(name: str) -> list[OAuthClient]:
        return [OAuthClient(CLIENT_ID, secret, (f"{settings.origin}/oauth/callback/{name}",), "Trunkline")]

    def address(name: str) -> str:
        return demo_secrets(settings).hooks.get(name, "")

    made = [*simulators(clients), *_of_partners(settings, clients)]
    tellers = [(one, one.teller(secret, functools.partial(address, one.name))) for one in made]
    senders = [HookSender(teller, one.store) for one, teller in tellers if teller is not None]
    return create_sandbox(made, state_dir=settings.data / "sandbox", senders=senders)


def _of_partners(settings: Settings, clients: Callable[[str], list[Any]]) -> list[Any]:
    """Simulators out of the folders that the settings name: in this process, never in the platform's."""
    from trunkline.kit.package import open_package
    from trunkline.sdk.simulator_clock import wall_now

    packages = [open_package(folder) for folder in settings.sandbox_folders]
    return [one.simulator()(clients=clients(one.manifest.name), now=wall_now) for one in packages]


def _simulated(settings: Settings) -> list[Any]:
    """Manifests of those folders, as data."""
    from trunkline.sdk.manifest import load_manifest

    return [load_manifest(folder / "manifest.toml") for folder in settings.sandbox_folders]


def product_app(settings: Settings) -> Any:
    """The demo product that embeds Trunkline."""
    from trunkline.sandbox.demo import demo_secrets
    from trunkline.sandbox.product import create_product

    origin = settings.product_url or f"http://{settings.host}:{settings.product_port}"
    return create_product(settings.origin, demo_secrets(settings).api_key, origin=origin)


async def seed_demo(settings: Settings) -> Sequence[Doorway]:
    """Tenants, people, an API key, Trunkline's registrations at the sandbox. Makes what is missing."""
    from trunkline.kernel.db import OPERATOR
    from trunkline.sandbox.demo import CLIENT_ID, demo_secrets, keep
    from trunkline.sdk.manifest import OAuth2
    from trunkline.services import build_services
    from trunkline_tenants.directory import Directory
    from trunkline_tenants.seed import seed_people

    secret = demo_secrets(settings)
    services = build_services(settings, connectors(), application="seed")
    try:
        directory = Directory(services.db)
        await seed_people(
            directory, member_password=secret.member_password, staff_password=secret.staff_password
        )
        if await directory.authenticate_key(secret.api_key) is None:
            secret.api_key, _ = await directory.create_api_key("Acme Desk (demo product)")
            keep(settings, secret)
        async with services.db.tenant(OPERATOR) as session:
            for manifest in (*services.connectors.all(), *_simulated(settings)):
                if any(isinstance(way, OAuth2) for way in manifest.ways):
                    await services.connections.clients.register(
                        session, OPERATOR, manifest.name, client_id=CLIENT_ID, secret=secret.client_secret
                    )
            addresses = await services.hooks.of_own_clients(session, OPERATOR)
        if secret.hooks != addresses:
            secret.hooks = addresses
            keep(settings, secret)
    finally:
        await services.close()
    sandbox = settings.sandbox_url or f"http://{settings.host}:{settings.sandbox_port}"
    product = settings.product_url or f"http://{settings.host}:{settings.product_port}"
    return [
        Doorway(
            audience="Your product",
            address=product,
            first='Press "Connect HubSpot": the connect widget, as your customers meet it.',
        ),
        Doorway(
            audience="End customer",
            address=f"{settings.origin}/portal",
            login="ada@globex.example",
            password=secret.member_password,
            first="Connect an account, or open the one that the product connected, and watch it sync.",
        ),
        Doorway(
            audience="Support",
            address=f"{settings.origin}/console",
            login="support@trunkline.example",
            password=secret.staff_password,
            first="See which tenant needs help, and why.",
        ),
        Doorway(
            audience="Staff admin",
            address=f"{settings.origin}/console/keys",
            login="chief@trunkline.example",
            password=secret.staff_password,
            first="Make an API key.",
        ),
        Doorway(
            audience="Partner",
            address=f"{sandbox}/",
            first="Every provider on this machine: change records, make keys, revoke a grant, make one fail.",
        ),
        Doorway(
            audience="API",
            address=f"{settings.origin}/schema",
            password=secret.api_key,
            first="Read what synced; the password column holds a demo API key.",
        ),
    ]


cli = build(
    Composition(
        web_app=web_app,
        run_worker=run_worker,
        sandbox_app=sandbox_app,
        product_app=product_app,
        seed_demo=seed_demo,
        connectors=connectors,
        packages=packages,
    )
)

if __name__ == "__main__":
    cli()
