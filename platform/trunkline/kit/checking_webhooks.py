"""What can be proven of a manifest's webhooks without a delivery."""

from collections.abc import Iterator

import msgspec

from trunkline.recipes.errors import did_you_mean
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registration import Registration, RegistrationCall
from trunkline.sdk.templates import holes
from trunkline.sdk.webhooks import Webhooks

Problem = tuple[str, str, str]
"""(path in the manifest, what is wrong, what to do)"""


def check_webhooks(manifest: Manifest, values: set[str]) -> Iterator[Problem]:
    """`values`: what stands for placeholders of a connection."""
    hooks = manifest.webhooks
    if hooks is None:
        return
    streams = [one.name for one in manifest.streams]
    for number, event in enumerate(hooks.kinds):
        if event.stream not in streams:
            yield (
                f"webhooks.kinds[{number}]",
                f'{event.type}: there is no stream "{event.stream}".',
                did_you_mean(event.stream, streams),
            )
        if not event.ids:
            yield (
                f"webhooks.kinds[{number}]",
                f"{event.type}: it names no record.",
                "Point to its id in `ids`.",
            )
    buckets = {rate.bucket for rate in manifest.rates}
    for number, fetch in enumerate(hooks.fetches):
        at = f"webhooks.fetches[{number}]"
        if fetch.stream not in streams:
            suggestion = did_you_mean(fetch.stream, streams)
            yield at, f'There is no stream "{fetch.stream}" to fetch.', suggestion
        asked = holes([fetch.path, fetch.query, fetch.body or {}])
        if not asked & {"ids", "id"}:
            yield at, f"{fetch.stream}: it does not say which records.", "Put {ids} or {id} into it."
        if "id" in asked and fetch.batch != 1:
            yield at, f"{fetch.stream}: {{id}} is one record, and batch is {fetch.batch}.", "Write batch = 1."
        known = values | {"ids", "id", "properties"}
        for name in sorted(asked - known):
            yield at, f"{fetch.stream}: {{{name}}} is no value.", did_you_mean(name, known)
        if fetch.bucket not in buckets and "*" not in buckets:
            suggestion = did_you_mean(fetch.bucket, buckets)
            yield at, f'{fetch.stream}: no rate is declared for the bucket "{fetch.bucket}".', suggestion
    if hooks.by_hand is not None and any("{" in step for step in (*hooks.by_hand.steps, hooks.by_hand.test)):
        yield "webhooks.by_hand", "A step is shown as it stands: nothing is filled in.", "Say it in words."
    if hooks.registration is not None:
        yield from _registration(hooks, hooks.registration, values, buckets)


def _registration(
    hooks: Webhooks, how: Registration, values: set[str], buckets: set[str]
) -> Iterator[Problem]:
    place = "webhooks.registration"
    ours = ({"secret"}, {"user", "password"}) if hooks.keyed_by == "us" else ()
    listed, paged = how.listed, {"cursor"} if how.listed.next or how.listed.last_id else set()
    calls: list[tuple[str, RegistrationCall, set[str], set[str]]] = [
        ("create", how.create, {"address"}, {"address", "events", *set().union(*ours)}),
        ("listed", listed.call, paged, {"cursor"}),
        ("remove", how.remove, {"registration"}, {"registration"}),
    ]
    if how.reveal is not None:
        calls.append(("reveal", how.reveal, {"registration"}, {"registration"}))
    for name, call, needed, given in calls:
        at = f"{place}.{name}"
        asked = holes([call.path, call.query, call.body or {}])
        for hole in sorted(asked - values - given):
            yield at, f"{{{hole}}} is no value here.", did_you_mean(hole, values | given)
        for hole in sorted(needed - asked):
            yield at, f"It never says {{{hole}}}.", "Put it into the path, the query or the body."
        if not call.path.startswith("/"):
            yield at, "A path begins with a slash.", ""
        if call.bucket not in buckets and "*" not in buckets:
            yield (
                at,
                f'No rate is declared for the bucket "{call.bucket}".',
                did_you_mean(call.bucket, buckets),
            )
        if name == "create" and ours and not any(one <= asked for one in ours):
            yield at, "The provider is never told our secret.", "Send {secret}, or {user} and {password}."
    for kind in how.events:
        if hooks.kind(kind) is None and not any(
            one.when is not None and msgspec.structs.replace(one, when=None).fits(kind) for one in hooks.kinds
        ):
            suggestion = did_you_mean(kind, [one.type for one in hooks.kinds])
            yield f"{place}.events", f"{kind} is asked for, and no kind reads it.", suggestion
