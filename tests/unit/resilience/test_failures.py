"""The table is whole, and every kind of answer and error finds its row."""

import json
from pathlib import Path

import asyncpg
import httpx2
import msgspec
import pytest
import sqlalchemy.exc
from hypothesis import given
from hypothesis import strategies as st

import trunkline.resilience
from trunkline.kernel.strictjson import JSONLimitError
from trunkline.resilience.failures import classify, failure, failures, runbook
from trunkline.sdk.manifest import load_manifest
from trunkline.work.errors import LeaseLostError

ROOT = Path(__file__).parents[3]
HUBSPOT = load_manifest(ROOT / "connectors/trunkline_connectors/hubspot/manifest.toml")
CONTRACT = {
    *("rate_limited", "daily_limit", "provider_error", "provider_unreachable", "provider_timeout"),
    *("malformed_answer", "token_expired", "token_rejected", "grant_revoked", "missing_scope"),
    *("account_mismatch", "authorization_denied", "authorization_expired", "not_found", "bad_request"),
    *("mapping_failed", "schema_drift", "lease_lost", "paused_by_member", "disconnected_by_member"),
    *("unclassified", "internal_error", "circuit_open"),
}
JARGON = ("429", "401", "403", "5xx", "OAuth", "JSON", "token", "GCRA", "scope", "manifest")


def test_every_code_others_rely_on_is_there() -> None:
    assert set(failures()) >= CONTRACT


@pytest.mark.parametrize("code", sorted(failures()))
def test_a_row_is_whole(code: str) -> None:
    row = failures()[code]
    for sentence in (row.customer, row.support):
        assert len(sentence) > 40
        assert sentence[0].isupper() or sentence[0].isdigit()
        assert sentence.endswith(".")
    assert not [word for word in JARGON if word in row.customer], "a customer need not know this word"
    text = runbook(code)
    for part in (
        "# ",
        "**What it means.**",
        "**How to confirm**",
        "**What to do**",
        "**When it resolves itself.**",
    ):
        assert part in text


def test_no_runbook_without_a_row() -> None:
    folder = Path(trunkline.resilience.__file__).parent / "runbooks"
    assert {path.stem for path in folder.glob("*.md")} == set(failures())


def test_what_a_newer_version_wrote_is_unclassified_here() -> None:
    assert failure("invented_tomorrow").code == "unclassified"
    assert runbook("invented_tomorrow") == runbook("unclassified")


@pytest.mark.parametrize("rule", HUBSPOT.failures, ids=lambda rule: rule.failure)
def test_the_manifest_names_codes_of_the_table(rule) -> None:
    assert rule.failure in failures()


def body(**values: object) -> bytes:
    return json.dumps({"status": "error", "message": "x", "correlationId": "c", **values}).encode()


@pytest.mark.parametrize(
    ("status", "content", "code"),
    [
        (200, b'{"results": [', "malformed_answer"),
        (200, body(category="INTERNAL"), "provider_error"),
        (200, b'{"status": "COMPLETE"}', "malformed_answer"),
        (204, b"", "malformed_answer"),
        (302, b"", "malformed_answer"),
        (400, body(), "bad_request"),
        (400, b'{"error": "invalid_grant"}', "grant_revoked"),
        (400, body(status="BAD_REFRESH_TOKEN"), "grant_revoked"),
        (401, body(category="EXPIRED_AUTHENTICATION"), "token_expired"),
        (401, body(category="INVALID_AUTHENTICATION"), "token_rejected"),
        (401, b"<html>", "token_rejected"),
        (402, b"", "forbidden"),
        (403, body(category="MISSING_SCOPES"), "missing_scope"),
        (403, body(category="OTHER"), "forbidden"),
        (404, b"", "not_found"),
        (408, b"", "provider_timeout"),
        (409, b"", "bad_request"),
        (410, b"", "not_found"),
        (422, b"", "bad_request"),
        (429, body(policyName="DAILY"), "daily_limit"),
        (429, body(policyName="TEN_SECONDLY_ROLLING"), "rate_limited"),
        (429, b"Number of allowed API requests per minute exceeded", "rate_limited"),
        (429, None, "rate_limited"),
        (500, body(), "provider_error"),
        (502, b"<html>Bad gateway</html>", "provider_error"),
        (503, None, "provider_error"),
        (599, None, "provider_error"),
        (101, None, "unclassified"),
        (777, None, "unclassified"),
    ],
)
def test_answers(status: int, content: bytes | None, code: str) -> None:
    assert classify(HUBSPOT, status, content, None).code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx2.ConnectError("refused"), "provider_unreachable"),
        (httpx2.ConnectTimeout("slow"), "provider_unreachable"),
        (httpx2.ReadError("reset"), "provider_unreachable"),
        (httpx2.ProxyError("no"), "provider_unreachable"),
        (httpx2.ReadTimeout("slow"), "provider_timeout"),
        (httpx2.WriteTimeout("slow"), "provider_timeout"),
        (httpx2.PoolTimeout("slow"), "provider_timeout"),
        (httpx2.RemoteProtocolError("peer closed"), "malformed_answer"),
        (httpx2.DecodingError("gzip"), "malformed_answer"),
        (httpx2.UnsupportedProtocol("ftp"), "egress_refused"),
        (JSONLimitError("deep"), "malformed_answer"),
        (msgspec.DecodeError("truncated"), "malformed_answer"),
        (sqlalchemy.exc.OperationalError("select", {}, Exception()), "database_unavailable"),
        (asyncpg.CannotConnectNowError("starting up"), "database_unavailable"),
        (asyncpg.InternalClientError("another operation is in progress"), "database_unavailable"),
        (ConnectionRefusedError(), "database_unavailable"),
        (TimeoutError(), "database_unavailable"),  # of a connect that nobody answered
        (LeaseLostError(), "lease_lost"),
        (KeyError("x"), "internal_error"),
    ],
)
def test_errors(error: BaseException, code: str) -> None:
    assert classify(HUBSPOT, None, None, error).code == code


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("53100", "database_unavailable"),  # disk full
        ("53200", "database_unavailable"),  # out of memory
        ("53300", "database_unavailable"),  # too many connections
        ("57P01", "database_unavailable"),  # shut down by the administrator
        ("57P02", "database_unavailable"),  # crashed
        ("57P03", "database_unavailable"),  # starting up
        ("57014", "database_unavailable"),  # statement timeout
        ("55P03", "database_unavailable"),  # lock timeout
        ("40P01", "database_unavailable"),  # deadlock
        ("25P03", "database_unavailable"),  # idle in transaction for too long
        ("58030", "database_unavailable"),  # input or output failed
        ("08006", "database_unavailable"),
        ("23505", "internal_error"),
        ("42703", "internal_error"),
    ],
)
def test_what_postgres_says_of_itself(state: str, code: str) -> None:
    """As SQLAlchemy wraps it: for most of these with no class of its own."""
    said = asyncpg.PostgresError("no")
    said.sqlstate = state
    wrapped = sqlalchemy.exc.DBAPIError("select", {}, said)
    assert classify(HUBSPOT, None, None, wrapped).code == code
    assert classify(HUBSPOT, None, None, said).code == code


def test_an_error_may_know_its_own_code() -> None:
    class QuotaError(Exception):
        failure_code = "daily_limit"

    assert classify(None, error=QuotaError()).code == "daily_limit"


@given(status=st.integers(0, 999), content=st.none() | st.binary(max_size=200))
def test_nothing_makes_it_fail(status: int, content: bytes | None) -> None:
    assert classify(HUBSPOT, status, content, None).code in failures()
    assert classify(None, status, content, None).code in failures()
