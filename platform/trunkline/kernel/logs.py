"""Logging, configured once a process: structlog for us and for every library that logs.

Nothing secret or personal is written. Values under telling names are replaced; texts are searched for
addresses with passwords, codes and tokens in queries, bearer headers, emails; of exceptions and of what other
libraries say, only the words that stand in code are kept (`tracebacks`), whatever the level.
"""

import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Any
from uuid import UUID

import structlog

from trunkline.kernel.settings import Settings
from trunkline.kernel.tracebacks import HIDDEN, masked, render_info

__all__ = ["HIDDEN", "configure", "redact"]

_OURS = ("trunkline", "trunkline_")
_TALKATIVE = "uvicorn.error"
"""Says where it listens: the one other logger whose plain information and values are kept."""
_PLAIN = UUID | date | timedelta | Decimal | Enum | PurePath
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
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Sequence | set | frozenset):
        return [_clean("", item) for item in value]
    # an object's text shows its fields
    return _clean("", str(value)) if isinstance(value, _PLAIN) else f"[{type(value).__name__}]"


def _is_secret(key: str) -> bool:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower().replace("-", "_")
    return name in _SECRET_NAMES or not _SECRET_WORDS.isdisjoint(name.split("_"))


def _foreign(record: logging.LogRecord) -> bool:
    """Whether another library's line is wanted; takes the values out of those that are.

    Information and debugging of theirs is about values: queries, frames, jobs.
    """
    if record.name.startswith(_OURS):
        return True
    if record.name == _TALKATIVE:
        return record.levelno >= logging.INFO
    template = str(record.msg)
    if record.name == "asyncio":  # its message is made of several functions' parts and the objects concerned
        words = re.match(r"[A-Za-z ,']*", template)
        record.msg = (words[0].strip() if words else "") or HIDDEN
    else:
        record.msg = _spared(template, record.args) if record.args else masked(template, _caller(record))
    record.args = None
    return record.levelno >= logging.WARNING


def _spared(template: str, args: Any) -> str:
    hide = {name: _number(value) for name, value in args.items()} if isinstance(args, Mapping) else None
    try:
        return template % (hide if hide is not None else tuple(_number(value) for value in args))
    except (TypeError, ValueError, KeyError):
        return template


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) else HIDDEN


def _caller(record: logging.LogRecord) -> CodeType | None:
    """The function that called the logger; it is still on the stack."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - as the standard library's logging does it
    while frame is not None:
        if frame.f_code.co_filename == record.pathname and frame.f_lineno == record.lineno:
            return frame.f_code
        frame = frame.f_back
    return None


def _catch_all() -> None:
    """What nobody caught goes into the log like the rest, not to standard error as it is."""
    log = structlog.get_logger("trunkline.uncaught")

    def uncaught(kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, KeyboardInterrupt):
            return
        log.critical("uncaught", exc_info=(kind, error, trace))

    sys.excepthook = uncaught
    threading.excepthook = lambda given: uncaught(given.exc_type, given.exc_value, given.exc_traceback)
    sys.unraisablehook = lambda given: uncaught(given.exc_type, given.exc_value, given.exc_traceback)


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
    handler.addFilter(_foreign)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(render_info),
                redact,
                renderer,
            ],
        )
    )
    logging.raiseExceptions = False  # a line that cannot be formatted is not printed with its values
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    _catch_all()
