"""The work that this slice does, by kind."""

from typing import TypedDict

from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.recipes.mapper import RecipeMapper
from trunkline.runs.aside import AsideHandler
from trunkline.runs.asking import CHECK, SYNC
from trunkline.runs.check import CheckHandler
from trunkline.runs.grants import Grants
from trunkline.runs.passes import BACKFILL, REMAP, RETRY
from trunkline.runs.provider import ProviderClient
from trunkline.runs.sync import SyncHandler
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.lease import Handler
from trunkline.work.queue import WorkQueue


class Parts(TypedDict):
    """What every handler of a pass is made of."""

    db: Database
    vault: Vault
    connectors: Connectors
    connections: Grants
    mapper: RecipeMapper
    provider: ProviderClient
    work: WorkQueue


def handlers(
    *,
    settings: Settings,
    db: Database,
    vault: Vault,
    connectors: Connectors,
    connections: Grants,
    mapper: RecipeMapper,
    provider: ProviderClient,
    work: WorkQueue,
) -> dict[str, Handler]:
    """For `run_worker`. The mapper's evaluator must have been started."""
    parts: Parts = {
        "db": db,
        "vault": vault,
        "connectors": connectors,
        "connections": connections,
        "mapper": mapper,
        "provider": provider,
        "work": work,
    }
    return {
        SYNC: SyncHandler(**parts),
        BACKFILL: AsideHandler(BACKFILL, **parts),
        REMAP: AsideHandler(REMAP, **parts),
        RETRY: AsideHandler(RETRY, **parts),
        CHECK: CheckHandler(
            db=db, connections=connections, provider=provider, check_seconds=settings.check_seconds
        ),
    }
