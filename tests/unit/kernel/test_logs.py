import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from trunkline.kernel import logs
from trunkline.kernel.settings import Settings

NEEDLE = "s3cr3t-n33dl3"


@pytest.fixture
def _json_logs() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
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
