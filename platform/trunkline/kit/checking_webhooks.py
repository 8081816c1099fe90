"""What can be proven of a manifest's webhooks without a delivery."""

from collections.abc import Iterator

from trunkline.recipes.errors import did_you_mean
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.templates import holes

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
