"""The work that this slice does, by kind."""

from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.recipes.mapper import RecipeMapper
from trunkline.runs.check import CheckHandler
from trunkline.runs.provider import ProviderClient
from trunkline.runs.service import CHECK, SYNC
from trunkline.runs.sync import Grants, SyncHandler
from trunkline.sdk.registry import Connectors
from trunkline.vault.service import Vault
from trunkline.work.lease import Handler


def handlers(
    *,
    settings: Settings,
    db: Database,
    vault: Vault,
    connectors: Connectors,
    connections: Grants,
    mapper: RecipeMapper,
    provider: ProviderClient,
) -> dict[str, Handler]:
    """For `run_worker`. The mapper's evaluator must have been started."""
    return {
        SYNC: SyncHandler(
            db=db,
            vault=vault,
            connectors=connectors,
            connections=connections,
            mapper=mapper,
            provider=provider,
        ),
        CHECK: CheckHandler(
            db=db, connections=connections, provider=provider, check_seconds=settings.check_seconds
        ),
    }
