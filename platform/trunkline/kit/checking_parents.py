"""Of streams that are read for each record of another: does what they name fit together?"""

import re
from collections.abc import Iterator
from typing import Final

from trunkline.recipes.errors import did_you_mean
from trunkline.sdk.manifest import Manifest, StreamSpec
from trunkline.sdk.templates import holes

_FIELD: Final = re.compile(r"[a-z][a-z0-9_]*")


def check_parents(manifest: Manifest, known: set[str]) -> Iterator[tuple[str, str, str]]:
    """(path in the manifest, what is wrong, what to do). `known`: names that already stand for something."""
    for number, spec in enumerate(manifest.streams):
        if spec.parent is None:
            continue
        at = f"streams[{number}]"
        yield from _stream(manifest, at, spec)
        field = spec.parent.field
        if not _FIELD.fullmatch(field):
            yield f"{at}.parent", f'{spec.name}: "{field}" is no name.', "Small letters and underscores."
        elif field in known:
            yield (
                f"{at}.parent",
                f"{spec.name}: {{{field}}} stands for something else already.",
                f"Call the parent's id otherwise: {field}_of_parent.",
            )
        read = spec.list
        if field not in holes([read.path, read.query, read.body or {}]):
            yield (
                f"{at}.list",
                f"{spec.name}: it does not say of which of {spec.parent.stream}.",
                f"Put {{{field}}} into the path, the query or the body.",
            )
        for kind, given in (
            ("also", spec.also),
            ("incremental", spec.incrementals),
            ("deletions", spec.deletions),
        ):
            if given:
                yield (
                    f"{at}.{kind}",
                    f"{spec.name}: `{kind}` is not used where a stream has a parent.",
                    "Drop it: parents that changed are asked again, and what is not listed any more is gone.",
                )


def _stream(manifest: Manifest, at: str, spec: StreamSpec) -> Iterator[tuple[str, str, str]]:
    assert spec.parent is not None
    others = [one.name for one in manifest.streams if one.name != spec.name]
    if spec.parent.stream not in {*others, spec.name}:
        suggestion = did_you_mean(spec.parent.stream, others)
        yield f"{at}.parent", f'{spec.name}: There is no stream "{spec.parent.stream}".', suggestion
        return
    lineage = manifest.lineage(spec.name)
    last = manifest.stream(lineage[-1])
    if last is not None and last.parent is not None and last.parent.stream in lineage:
        way = " of ".join((*lineage, last.parent.stream))
        yield f"{at}.parent", f"{spec.name}: {way} leads in a circle.", "Some stream must have no parent."
