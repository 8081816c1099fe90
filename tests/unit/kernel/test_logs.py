import json
import logging
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel import logs, tracebacks
from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.settings import Settings

NEEDLE = "s3cr3t-n33dl3"


@pytest.fixture
def _json_logs() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    raising = logging.raiseExceptions
    yield
    logging.raiseExceptions = raising
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "clientSecret",
        "PASSWORD",
        "Authorization",
        "code",
        "email",
        "owner-email",
        "api_key",
    ],
)
def test_values_under_telling_names_are_hidden(name: str) -> None:
    assert logs.redact(None, "info", {name: NEEDLE}) == {name: logs.HIDDEN}


@pytest.mark.parametrize("name", ["status_code", "error_code", "event", "encoded", "tokenised"])
def test_harmless_names_stay_readable(name: str) -> None:
    assert logs.redact(None, "info", {name: "plain"}) == {name: "plain"}


@pytest.mark.parametrize(
    "text",
    [
        f"GET /oauth/callback/hubspot?state=x&code={NEEDLE} 200",
        f"connecting to postgresql://app:{NEEDLE}@db:5432/x",
        f"header Bearer {NEEDLE}",
        f"Key (email)=({NEEDLE}@example.org) already exists",
    ],
)
def test_texts_are_searched(text: str) -> None:
    assert NEEDLE not in json.dumps(logs.redact(None, "info", {"event": text}))


nested = st.recursive(
    st.just(NEEDLE) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(nested)
def test_nothing_below_a_telling_name_remains(value: object) -> None:
    assert NEEDLE not in json.dumps(logs.redact(None, "info", {"outer": [{"refresh_token": value}]}))


@pytest.mark.usefixtures("_json_logs")
def test_lines_are_json_and_exceptions_are_searched_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"), "worker")
    try:
        int(f"{NEEDLE}@example.org")
    except ValueError:
        logging.getLogger("some.library").exception("failed", extra={"token": NEEDLE})
    line = json.loads(capsys.readouterr().out)
    assert line["process"] == "worker"
    assert line["level"] == "error"
    assert "ValueError" in line["exception"]
    assert NEEDLE not in json.dumps(line)


SECRETS = ("hunter-two-2", "maya.chen@globex.example", "+49 151 0000", "Maya Chen", "s3cr3t-n33dl3")


class Struct:
    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Struct({self.value})"


def raises(kind: type[BaseException], value: str) -> None:
    raise kind(f"the value {value} cannot be used")


def raised(value: str) -> Iterator[BaseException]:
    """Exceptions that hold `value`, as code of any make raises them."""
    known = {"one": 1}
    makers = [
        lambda: int(value),
        lambda: known[value],
        lambda: getattr(known, value),
        lambda: json.loads("{" + value),
        lambda: Path("/nowhere", value).read_text(),
        lambda: msgspec.convert(value, int),
        lambda: [].remove(value),
        lambda: uuid.UUID(value),
        *(
            lambda kind=kind: raises(kind, value)
            for kind in (ValueError, TypeError, RuntimeError, TrunklineError)
        ),
    ]
    for make in makers:
        try:
            make()
        except Exception as error:  # noqa: BLE001 - of every kind
            yield error
            try:
                raise RuntimeError("one " + value) from error  # noqa: TRY301 - raised to be caught
            except RuntimeError as chained:
                yield chained
            yield ExceptionGroup(value, [error])


@pytest.mark.parametrize("value", SECRETS)
@pytest.mark.parametrize("shape", ["json", "console"])
@pytest.mark.usefixtures("_json_logs")
def test_no_text_of_an_exception_shows_what_it_met(
    value: str, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure(Settings(log_format=shape, log_level="debug"), "web")
    errors = list(raised(value))
    for error in errors:
        logging.getLogger("library").error("failed", exc_info=error)
        structlog.get_logger("trunkline.x").error("failed", exc_info=error)
    out = capsys.readouterr().out
    assert len(errors) == 36
    assert "ValueError" in out
    assert value not in out


def test_of_an_exceptions_words_those_of_the_code_remain() -> None:
    try:
        raises(ValueError, "hunter-two-2")
    except ValueError as error:
        text = tracebacks.render(error)
    assert text.endswith("builtins.ValueError: the value [hidden] cannot be used")
    assert "in raises" in text


def test_facts_of_system_and_database_remain() -> None:
    assert tracebacks.render(ConnectionRefusedError(111, "maya")).endswith("(errno 111, Connection refused)")
    error = asyncpg.UniqueViolationError("Key (email)=(maya) already exists")
    error.constraint_name = "uq_users_email"
    assert tracebacks.render(error).endswith("(sqlstate 23505, constraint_name uq_users_email)")


@pytest.mark.parametrize("value", SECRETS)
@pytest.mark.usefixtures("_json_logs")
def test_other_libraries_say_no_values(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json", log_level="debug"), "web")
    library = logging.getLogger("some.library")
    library.warning("cannot use %s after %d tries", value, 3)
    library.warning(f"cannot use {value} at all")
    library.warning("cannot use " + value)
    library.warning("named %(it)s", {"it": value})
    library.error("broken %d", value)
    library.error("extra", extra={"row": value})
    library.info("query %s", value)
    library.debug(value)
    told = "Task exception was never retrieved\nfuture: <Task " + repr(value)
    logging.getLogger("asyncio").error(told)
    out = capsys.readouterr().out
    assert value not in out
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert events[:4] == [
        "cannot use [hidden] after 3 tries",
        "cannot use [hidden] at all",
        "cannot use [hidden]",
        "named [hidden]",
    ]
    assert events[-1] == "Task exception was never retrieved"
    assert len(events) == 7


@pytest.mark.parametrize("value", SECRETS)
def test_an_object_is_named_by_its_type(value: str) -> None:
    event = {"a": Struct(value), "b": value.encode(), "c": ValueError(value), "d": [Struct(value)]}
    line = json.dumps(logs.redact(None, "info", event))
    assert value not in line
    assert "[Struct]" in line


@pytest.mark.usefixtures("_json_logs")
def test_what_nobody_caught_is_logged_like_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(Settings(log_format="json"), "web")
    thread = threading.Thread(target=lambda: int(NEEDLE))
    thread.start()
    thread.join()
    try:
        int(NEEDLE)
    except ValueError:
        sys.excepthook(*sys.exc_info())
    out, err = capsys.readouterr()
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["uncaught", "uncaught"]
    assert NEEDLE not in out + err
