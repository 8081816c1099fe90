"""Logging, configured once a process: structlog for us and for every library that logs.

Nothing secret or personal is written: values under telling names are replaced, and texts (exceptions
included) are searched for addresses with passwords, codes and tokens in queries, bearer headers, emails.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import structlog

from trunkline.kernel.settings import Settings

HIDDEN = "[hidden]"
_SECRET_WORDS = {
    *("token", "tokens", "secret", "secrets", "password", "passwords", "passwd", "authorization"),
    *("email", "emails", "cookie", "cookies", "credential", "credentials", "verifier", "apikey"),
}
_SECRET_NAMES = {
    "api_key",
    "code",
    "auth_code",
    "authorization_code",
    "completion_code",
    "wrapping_key",
    "data_key",
}
_TEXT = (
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^/\s:@]*):[^@\s/]+@"), rf"\1:{HIDDEN}@"),
    (
        re.compile(
            r"(?i)([?&](?:code|state|token|access_token|refresh_token|client_secret|signature)=)[^&\s\"']+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), HIDDEN),
)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor; comes after exceptions have become text."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value if not _is_secret(key) or value is None else HIDDEN
    if key and _is_secret(key):
        return HIDDEN
    if isinstance(value, str):
        for pattern, replacement in _TEXT:
            value = pattern.sub(replacement, value)
        return value
    if isinstance(value, Mapping):
        return {name: _clean(str(name), item) for name, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [_clean("", item) for item in value]
    return _clean("", str(value))


def _is_secret(key: str) -> bool:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower().replace("-", "_")
    return name in _SECRET_NAMES or not _SECRET_WORDS.isdisjoint(name.split("_"))


def configure(settings: Settings, process: str) -> None:
    """Lines go to standard output, `process` (web, worker, ...) on each."""

    def name_process(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    shared: list[Any] = [
        name_process,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for quiet in ("httpx", "httpx2", "httpcore", "httpcore2", "hpack", "asyncio", "alembic"):
        logging.getLogger(quiet).setLevel(max(logging.WARNING, root.level))
