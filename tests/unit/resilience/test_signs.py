"""A manifest's own signs, and costs."""

from uuid import UUID

import pytest

from trunkline.resilience.backoff import retry_after
from trunkline.resilience.budgets import Caller, budget
from trunkline.resilience.classify import is_success
from trunkline.resilience.failures import classify
from trunkline.runs.moments import parse_moment
from trunkline.sdk.manifest import FailureRule, Manifest, Rate, read_manifest

RULES = """
failures = [
  { status = 403, equals = { "0.errorCode" = "REQUEST_LIMIT_EXCEEDED" }, failure = "daily_limit" },
  { status = 403, headers = { "X-RateLimit-Reset" = "*" }, failure = "rate_limited" },
  { status = 429, text = "per minute", failure = "rate_limited" },
  { status = 410, equals = { success = "true" }, failure = "success" },
  { equals = { "errors.0.code" = "token_revoked" }, failure = "grant_revoked" },
]
name = "x"
label = "X"
version = "1.0.0"
category = "x"
description = "x"
base_url = "https://api.x.example"
hosts = ["api.x.example"]
rates = []
streams = []
auth = { kind = "api_key" }
account = { path = "/me", id = "id", label = "id" }
"""


def manifest() -> Manifest:
    return read_manifest(RULES.encode(), "x")


@pytest.mark.parametrize(
    ("status", "body", "headers", "code"),
    [
        (403, b'[{"errorCode":"REQUEST_LIMIT_EXCEEDED"}]', {}, "daily_limit"),
        (403, b'[{"errorCode":"OTHER"}]', {}, "forbidden"),
        (403, b"{}", {"x-ratelimit-reset": "5"}, "rate_limited"),
        (429, b"Number of allowed API requests per minute exceeded", {}, "rate_limited"),
        (401, b'{"errors":[{"code":"token_revoked"}]}', {}, "grant_revoked"),
        (403, b"", {}, "forbidden"),
    ],
)
def test_signs(status: int, body: bytes, headers: dict[str, str], code: str) -> None:
    assert classify(manifest(), status, body, headers=headers).code == code


def test_a_410_may_be_a_success() -> None:
    assert is_success(manifest(), 410, b'{"success":true}', {})
    assert not is_success(manifest(), 410, b'{"success":false}', {})
    assert classify(manifest(), 410, b"{}").code == "not_found"


def test_a_rule_without_a_sign_fits_nothing() -> None:
    assert not FailureRule(failure="forbidden").signed


def test_another_header_may_say_how_long_to_wait() -> None:
    now = parse_moment("2026-11-26T12:00:00Z")
    assert now is not None
    reset = str(int(now.timestamp()) + 7)
    assert retry_after({"X-RateLimit-Reset": reset}, now, other="X-RateLimit-Reset") == 7
    assert retry_after({"X-RateLimit-Reset": "4"}, now, other="X-RateLimit-Reset") == 4
    assert retry_after({"Retry-After": "3", "X-RateLimit-Reset": reset}, now, other="X-RateLimit-Reset") == 3
    assert retry_after({"Retry-After": reset}, now) is None


def test_costs_are_taken_of_what_counts_costs_alone() -> None:
    who = Caller(tenant_id=UUID(int=1), connection_id=UUID(int=2), host="x@y")
    rates = [
        Rate(bucket="*", requests=1000, seconds=86_400, counts="cost"),
        Rate(bucket="default", requests=80, seconds=2),
    ]
    tenant = Rate(bucket="t", requests=500, seconds=10)
    made = budget(rates, who, "default", tenant_rate=tenant, workers=1, cost=20)
    assert [gate.units for gate in made.gates] == [20, 1, 1]
    assert made.most == 50
    vast = budget(rates, who, "default", tenant_rate=tenant, workers=1, cost=5000)
    assert (vast.gates[0].units, vast.most) == (1000, 1)
