"""Heads of audit logs are signed and kept without anybody having thought of it; every worker process does."""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from trunkline.audit.heads import export
from trunkline.audit.signing import Signer
from trunkline.kernel.db import Database
from trunkline.kernel.settings import Settings
from trunkline.vault.errors import KeyFileError

PERIOD_SECONDS = 3600
"""What can be cut off unnoticed is what was written since; a line of 350 bytes for each tenant that moved."""

log = structlog.get_logger(__name__)


async def export_regularly(settings: Settings, db: Database) -> None:
    """Until cancelled; a failure is told and tried again."""
    while True:
        try:
            await export(db, Signer(settings.audit_key_file), settings.audit_head_file)
        except (SQLAlchemyError, OSError, KeyFileError) as error:
            log.warning("heads of audit logs were not exported", error=type(error).__name__)
        await asyncio.sleep(PERIOD_SECONDS)
