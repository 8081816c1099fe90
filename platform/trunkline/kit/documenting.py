"""`trunkline connector docs`: a connector's page, made of its manifest and nothing else."""

from collections.abc import Iterable, Iterator

from trunkline.sdk.authentication import ApiKey, Auth, Basic, ClientCredentials
from trunkline.sdk.manifest import Action, Manifest, StreamSpec
from trunkline.sdk.webhooks import Webhooks


def document(manifest: Manifest) -> str:
    """Markdown."""
    return "\n".join(_lines(manifest)).rstrip() + "\n"


def _lines(manifest: Manifest) -> Iterator[str]:
    yield f"# {manifest.label}"
    yield ""
    yield f"{manifest.description} Version {manifest.version}; made of `manifest.toml` by"
    yield "`trunkline connector docs`, so do not edit it."
    yield ""
    if manifest.api is not None:
        ends = f", which ends on {manifest.api.ends}" if manifest.api.ends else ""
        yield f"It speaks version `{manifest.api.version}` of the API{ends}."
        yield ""
    yield "## How access is given"
    yield ""
    for way in manifest.ways:
        yield from _way(way)
    yield f"Calls go to {_and(f'`{host}`' for host in manifest.hosts)}, and nowhere else."
    yield ""
    yield "## What is read"
    yield ""
    yield "| stream | what | fields | changes | deletions | fresh within |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for spec in manifest.streams:
        yield _stream(spec)
    yield ""
    long = {(one.list.large.above, one.list.large.hook) for one in manifest.streams if one.list.large}
    for above, hook in sorted(long):
        yield f"A list of more than {above:,} records is read by the hook `{hook}`, not by its pages."
        yield ""
    if manifest.actions:
        yield "## What can be written"
        yield ""
        yield "| action | what | input (needed first) | permissions | a lost answer |"
        yield "| --- | --- | --- | --- | --- |"
        for action in manifest.actions:
            yield _action(action)
        yield ""
    yield "## Limits"
    yield ""
    for rate in manifest.rates:
        what = "tokens" if rate.counts == "cost" else "requests"
        whole = "every call" if rate.bucket == "*" else f"calls of the kind `{rate.bucket}`"
        yield f"- {rate.requests:,} {what} in {rate.seconds:g} s for {whole}, shared by the {rate.scope}."
    yield ""
    if manifest.webhooks is not None:
        yield "## Events"
        yield ""
        yield "Deliveries are taken in and proven; what they say is fetched or taken over at once."
        yield ""
        yield _addressed(manifest.webhooks)
        yield ""
        yield from _by_hand(manifest.webhooks)
    if manifest.recipes:
        yield "## Suggested recipes"
        yield ""
        for recipe in manifest.recipes:
            yield f"- **{recipe.name}**: {recipe.description} `{recipe.stream}` becomes `{recipe.model}`."
        yield ""


def _addressed(hooks: Webhooks) -> str:
    """Who makes the provider deliver."""
    pasted = hooks.by_hand.secret if hooks.by_hand is not None and hooks.keyed_by == "pasted" else ""
    if hooks.owner == "client" and pasted:
        return (
            "The provider delivers to one address of the app. Whoever keeps the app enters it in the app's "
            f"settings, and pastes the {pasted.lower()} that stands there beside the app's client ID."
        )
    if pasted:
        return (
            "An administrator of the account enters the address that the connection's page shows, and pastes "
            f"the provider's {pasted.lower()} there."
        )
    if hooks.owner == "client":
        return (
            "The provider delivers to one address of the app, which its developer enters in the app's "
            "settings: `trunkline hooks address` shows it."
        )
    if hooks.registration is None:
        return "An administrator of the account enters the address that the connection's page shows."
    scopes = ", ".join(f"`{scope}`" for scope in hooks.registration.scopes)
    return (
        "The address is registered when an account is connected, looked at each day, made anew where it "
        f"is gone, and removed with the connection. It needs {scopes or 'no permission of its own'}."
    )


def _by_hand(hooks: Webhooks) -> Iterator[str]:
    how = hooks.by_hand
    if how is None:
        return
    for number, step in enumerate(how.steps, 1):
        yield f"{number}. {step}"
    if how.test:
        yield f"{len(how.steps) + 1}. For a trial: {how.test}"
    yield ""


def _way(way: Auth) -> Iterator[str]:
    if isinstance(way, ApiKey | Basic):
        how = "The customer pastes a key."
    elif isinstance(way, ClientCredentials):
        how = "The customer pastes a client id and a secret, which are exchanged for tokens."
    else:
        how = "The customer signs in at the provider (OAuth 2.0)."
    yield f"**{way.label}**: {how}" if way.label else how
    typed = [one.label for one in way.inputs]
    if typed:
        yield f"Asked for in our form: {_and(typed)}."
    yield ""
    for word in way.words:
        yield f"- {word}"
    yield ""


def _stream(spec: StreamSpec) -> str:
    if spec.parent is not None:
        changes = f"of each of `{spec.parent.stream}` that changed"
    elif spec.incremental is None:
        changes = "by reading all"
    elif spec.incremental.events is not None:
        changes = "by events"
    else:
        back = spec.incremental.overlap_seconds
        changes = f"since the last run, {back} s back" if back else "since the last run"
    gone = [
        "flagged" if spec.deleted else "",
        "listed" if spec.deletions else "",
        "told by events" if spec.incremental and spec.incremental.events else "",
    ]
    if spec.parent is not None:
        gone.append(f"by their absence from the list of one of `{spec.parent.stream}`, or with it")
    told = _and(one for one in gone if one) or "by their absence from a complete pass"
    fields = f"{len(spec.fields)}{' and the own ones' if spec.discovery else ''}"
    return (
        f"| `{spec.name}` | {spec.description or spec.label} | {fields} | {changes} | {told} "
        f"| {spec.freshness_seconds // 60} min |"
    )


_REPEATS = {
    "same": "is asked for again: twice is as once",
    "key": "is asked for again under the same key",
    "find": "is looked up, and sent again only if nothing is there",
    "never": "is decided by a person",
}


def _action(action: Action) -> str:
    given = sorted(action.input, key=lambda one: not one.required)
    inputs = ", ".join(f"**`{one.name}`**" if one.required else f"`{one.name}`" for one in given)
    scopes = ", ".join(f"`{scope}`" for scope in action.scopes) or "none of their own"
    what = f"{action.title}. {action.description}".strip().rstrip(".")
    return f"| `{action.name}` | {what}. | {inputs} | {scopes} | {_REPEATS[action.repeat]} |"


def _and(parts: Iterable[str]) -> str:
    listed = list(parts)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
