"""What can be proven of `webhooks.json`: it can be used, and says all that the manifest reads."""

from collections.abc import Iterator

from trunkline.sdk.contracts import Contract, Problem, problems
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.webhooks import Webhooks


def check_contract(manifest: Manifest | None, document: dict[str, object]) -> Iterator[Problem]:
    """`manifest` None: it cannot be used itself, which its own finding says."""
    found = list(problems(document))
    yield from found
    if found or manifest is None:
        return
    if manifest.webhooks is None:
        yield (), "The manifest has no [webhooks].", "Drop the file, or say how they are delivered."
        return
    contract, hooks = Contract(document), manifest.webhooks
    for kind in hooks.kinds:
        entry = contract.entry(kind.type)
        if entry is None:
            yield ("events",), f"{kind.type} is read, and has no schema.", "Add it."
            continue
        always = {*hooks.types, *([hooks.account] if hooks.account else [])}
        if len(kind.ids) == 1:  # of several, one is enough
            always |= set(kind.ids)
        if kind.document:
            always.add(kind.document)
        for pointer in sorted(always | _read(hooks) | set(kind.ids)):
            schema, required = contract.described(contract.schema(entry), pointer)
            at = ("events", entry)
            if schema is None:
                yield at, f"{pointer} is read of {kind.type}, and not described.", "Say of what type it is."
            elif pointer in always and not required:
                yield at, f"{kind.type} is nothing without {pointer}.", "Name it in `required`, all its path."
    for number, entry in enumerate(contract.events):
        if not any(contract.entry(kind.type) == entry for kind in hooks.kinds):
            yield (
                ("events", entry),
                "The manifest has no kind of event that this is for.",
                "Drop it, or move it before what fits first." if number else "Drop it.",
            )


def _read(hooks: Webhooks) -> set[str]:
    return {*hooks.id, *([hooks.at] if hooks.at else [])}
