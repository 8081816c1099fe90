"""Our signatures, judged by the official library."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from trunkline.deliveries.signing import headers, message_id, new_secret

ID = message_id(UUID(int=7))


def seconds() -> int:
    return int(datetime.now(UTC).timestamp())


@given(st.text())
def test_any_body_verifies(text: str) -> None:
    secret, body = new_secret(), text.encode("utf-8", "replace")
    Webhook(secret).verify(body, headers([secret], ID, seconds(), body), json_parse=False)


def test_during_a_rotation_either_secret_verifies() -> None:
    old, new, body = new_secret(), new_secret(), b"{}"
    sent = headers([new, old], ID, seconds(), body)
    assert sent["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        assert Webhook(secret).verify(body, sent) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, sent)


def test_id_time_and_body_are_signed() -> None:
    secret, body, at = new_secret(), b"{}", seconds()
    sent = headers([secret], ID, at, body)
    for changed in ({"webhook-id": "msg_0"}, {"webhook-timestamp": str(at - 1)}):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, sent | changed)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers([secret], ID, at - 400, body))


def test_secrets_are_of_the_length_that_is_asked_for_and_differ() -> None:
    import base64

    made = {new_secret() for _ in range(50)}
    assert len(made) == 50
    assert all(24 <= len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) <= 64 for one in made)
    with pytest.raises(ValueError):
        headers(["whsec_not base64"], ID, 1, b"")
