"""Batches of the simulated HubSpot that create what is new and change what is there, each input by itself."""

from collections.abc import Mapping
from typing import Any

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import iso
from trunkline_connectors.hubspot.simulator_crm import BATCH_LIMIT, Body, Crm
from trunkline_connectors.hubspot.simulator_errors import invalid
from trunkline_connectors.hubspot.simulator_schema import CONTACTS

UNIQUE = {CONTACTS: frozenset({"email"})}
"""Properties whose values are unique; without `idProperty` the id itself tells."""


def upsert_all(crm: Crm, account: str, kind: str, body: Mapping[str, Any]) -> tuple[int, Body]:
    """(200 or 207, body): refused inputs come as errors beside the results, each with its trace id."""
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(one, dict) for one in inputs):
        invalid("inputs is required and must be a list of objects", "REQUIRED_FIELD", "inputs")
    if len(inputs) > BATCH_LIMIT:
        invalid(f"inputs may have at most {BATCH_LIMIT} entries", "TOO_MANY_INPUTS", "inputs")
    for one in inputs:
        name = str(one.get("idProperty") or "")
        if name and name not in UNIQUE.get(kind, ()):
            invalid(f"{name[:100]} is not a unique property of {kind}", "INVALID_ID_PROPERTY", "idProperty")
    started, results, errors = crm.now(), [], []
    for one in inputs:
        trace = {"objectWriteTraceId": one["objectWriteTraceId"]} if one.get("objectWriteTraceId") else {}
        try:
            results.append({**_upserted(crm, account, kind, one), **trace})
        except RefusedError as error:
            given: Body = error.reply.body
            context = {"objectWriteTraceId": list(trace.values())} if trace else {}
            errors.append({**given, "context": {**given.get("context", {}), **context}, "links": {}})
    answer: Body = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": iso(started),
        "completedAt": iso(crm.now()),
    }
    if not errors:
        return 200, answer
    return 207, {**answer, "numErrors": len(errors), "errors": errors}


def _upserted(crm: Crm, account: str, kind: str, one: Mapping[str, Any]) -> Body:
    name, value = str(one.get("idProperty") or ""), str(one.get("id") or "")
    try:
        item = crm.find(account, kind, value, name, archived=False)
    except RefusedError as error:
        if error.reply.status != 404 or not name:
            raise
        properties = one.get("properties")
        given = {name: value, **(properties if isinstance(properties, dict) else {})}
        return {**crm.create(account, kind, {"properties": given}), "new": True}
    return {**crm.update(account, kind, item, one), "new": False}
