"""The failure table: what happened -> what is done, who can end it, and the words for it.

The rows lie in `failures.toml`, a runbook for each in `runbooks/{code}.md`.
"""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from trunkline.resilience.classify import classify_code
from trunkline.sdk.manifest import Manifest

Action = Literal["retry", "wait", "refresh", "reconnect", "quarantine", "pause", "fail", "note"]
Owner = Literal["us", "customer", "provider"]

_FOLDER = Path(__file__).parent
UNCLASSIFIED = "unclassified"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A row. `customer` and `support` are whole sentences that may be shown as they are."""

    code: str
    action: Action
    owner: Owner
    customer: str
    support: str

    @property
    def runbook(self) -> str:
        """Key of the runbook; see `runbook()`."""
        return self.code


@functools.cache
def failures() -> dict[str, Failure]:
    """Every row by its code."""
    rows = tomllib.loads((_FOLDER / "failures.toml").read_text("utf-8"))
    return {code: msgspec.convert({**row, "code": code}, Failure) for code, row in rows.items()}


def failure(code: str) -> Failure:
    """The row of a code; `unclassified` for one that the table does not have (written by a newer version)."""
    return failures().get(code) or failures()[UNCLASSIFIED]


@functools.cache
def _runbook(code: str) -> str:
    return (_FOLDER / "runbooks" / f"{code}.md").read_text("utf-8")


def runbook(code: str) -> str:
    """Markdown for support, of `unclassified` where the code is unknown."""
    return _runbook(failure(code).code)


def classify(
    manifest: Manifest | None,
    status: int | None = None,
    body: bytes | None = None,
    error: BaseException | None = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Failure:
    """What an answer or an error means: the manifest's rules first, then the general ones.

    To be asked only when something is wrong: a 2xx status here means that its body was not what it should be.
    `headers`: find a name in lower case.
    """
    return failure(classify_code(manifest, status, body, error, headers))
