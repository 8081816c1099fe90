"""`trunkline connector check`, of what a manifest leaves to code."""

from collections.abc import Iterator

from trunkline.recipes.errors import did_you_mean
from trunkline.sdk.manifest import Manifest


def check_hooks(manifest: Manifest, hooks: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """`hooks`: that the connector has; none of a package, which gets no code into our process."""
    for number, spec in enumerate(manifest.streams):
        at = f"streams[{number}]"
        for kind, reads in (("incremental", spec.incrementals), ("deletions", spec.deletions)):
            if any(read.large is not None for read in reads):
                yield f"{at}.{kind}.large", f"{spec.name}: `large` is for lists only.", ""
        for read in spec.lists:
            if read.large is None:
                continue
            at_large = f"{at}.list.large"
            if not hooks:
                message = f"{spec.name}: only connectors that come with the product have hooks."
                yield f"{at_large}.hook", message, "Leave `large` out: the list is read page by page."
            elif read.large.hook not in hooks:
                message = f"{spec.name}: there is no hook {read.large.hook}."
                yield f"{at_large}.hook", message, did_you_mean(read.large.hook, hooks)
            if read.total is None:
                yield at_large, f"{spec.name}: nothing says how long the list is.", "Name its `total`."
            if spec.parent is not None:
                yield at_large, f"{spec.name}: it is read for each record of another.", "Leave `large` out."
