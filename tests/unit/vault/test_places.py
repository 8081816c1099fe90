"""What each caller seals under is what a rotation finds again from the row alone."""

from uuid import UUID

from trunkline.actions.running import sealed_place as action_place
from trunkline.connections import clients, tokens, unconfirmed
from trunkline.deliveries import keyring
from trunkline.idempotency import repository as idempotency_repository
from trunkline.idempotency import service as idempotency
from trunkline.runs.service import document_context
from trunkline.vault.sealed import SEALED, place
from trunkline_tenants import second_factor

ID, OTHER = UUID(int=5), UUID(int=6)


def test_callers_and_rotation_name_the_same_place():
    answer = idempotency_repository.Place(ID, OTHER, b"\x00/hash")
    said = {
        "action_calls": (action_place(ID), (ID,), "input"),
        "credentials": (tokens._context(ID, "access_token"), (ID,), "access_token"),
        "delivery_attempts": (keyring.exchange_place(ID, 3), (ID, 3), "answer"),
        "endpoint_secrets": (keyring.secret_place(ID, OTHER), (ID, OTHER), "secret"),
        "idempotent_answers": (idempotency._context(answer), (OTHER, b"\x00/hash"), "body"),
        "oauth_clients": (clients._context("hubspot"), ("hubspot",), "secret"),
        "records": (document_context(ID, "contacts", "a/b"), (ID, "contacts", "a/b"), "document"),
        "second_factors": (second_factor._context(ID), (ID,), "secret"),
        "unconfirmed_credentials": (unconfirmed._context(ID, "refresh_token"), (ID,), "refresh_token"),
    }
    for table, (context, row, field) in said.items():
        assert context == place(table, *row, field=field)
    # authorizations: spelt where it is sealed, and opened again within ten minutes or never
    # the others: spelt by `place` itself
    plain = {"authorizations", "endpoint_credentials", "hook_endpoints", "inbound_events"}
    assert said.keys() | plain == {one.table for one in SEALED}
