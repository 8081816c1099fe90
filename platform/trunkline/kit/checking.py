"""`trunkline connector check`: what can be proven of a manifest without a call."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from trunkline.kernel.egress import EgressRefusedError, admits, host_of
from trunkline.kit.checking_actions import check_actions
from trunkline.kit.checking_contract import check_contract
from trunkline.kit.checking_hooks import check_hooks
from trunkline.kit.checking_parents import check_parents
from trunkline.kit.checking_webhooks import check_webhooks
from trunkline.kit.places import line_in_json, line_of
from trunkline.kit.schema import choices_of, members_of
from trunkline.recipes.definition import SourceField, validate
from trunkline.recipes.errors import did_you_mean
from trunkline.recipes.service import definition_of
from trunkline.recipes.target import built_in_models
from trunkline.resilience.classify import SUCCESS
from trunkline.resilience.failures import failures
from trunkline.sdk.contracts import FILE, LIMIT, ContractError, decoded
from trunkline.sdk.manifest import Auth, Incremental, Manifest, ManifestError, Read, load_manifest
from trunkline.sdk.streams import Cursor, LastId, Locator, Numbered, Offset
from trunkline.sdk.templates import holes

NAME: Final = re.compile(r"[a-z][a-z0-9_]{1,39}")
VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
SOON: Final = timedelta(days=90)
FEW: Final = 24
"""Names that a finding lists."""
_READING: Final = frozenset(
    {"page_size", "cursor", "offset", "page", "properties"}
    | {f"{name}_{form}" for name in ("since", "now") for form in ("iso", "ms", "s", "date")}
)
_SINCE: Final = frozenset({"since_iso", "since_ms", "since_s", "since_date"})
ALWAYS: Final = frozenset({"id", "createdAt", "updatedAt", "archived"})


class Finding(msgspec.Struct, frozen=True):
    """What is wrong where, and what to do."""

    path: Path
    line: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        more = f" {self.suggestion.strip()}" if self.suggestion else ""
        return f"{self.path}:{self.line}: {self.message}{more}"


def check(folder: Path, today: date | None = None, hooks: frozenset[str] = frozenset()) -> list[Finding]:
    """Of the manifest and of the contract of its events, in the order of each file. `hooks`: that it has."""
    path = folder / "manifest.toml"
    try:
        manifest = load_manifest(path)
    except ManifestError as error:
        return [_unreadable(path, str(error)), *_contract(folder, None)]
    text = path.read_text("utf-8")
    found = [
        Finding(path, line_of(text, at), message, suggestion)
        for at, message, suggestion in (
            *_all(manifest, folder, today or datetime.now(UTC).date()),
            *check_hooks(manifest, hooks),
        )
    ]
    return sorted(found, key=lambda one: one.line) + _contract(folder, manifest)


def _contract(folder: Path, manifest: Manifest | None) -> list[Finding]:
    path = folder / FILE
    if not path.exists():
        return []
    with path.open("rb") as file:
        raw = file.read(LIMIT + 1)
    text = raw.decode("utf-8", "replace")
    try:
        problems = list(check_contract(manifest, decoded(raw)))
    except ContractError as error:
        problems = [(error.at, str(error), "")]
    found = [Finding(path, line_in_json(text, at), message, more) for at, message, more in problems]
    return sorted(found, key=lambda one: one.line)


Problem = tuple[str, str, str]
"""(path in the manifest, what is wrong, what to do)"""


def _all(manifest: Manifest, folder: Path, today: date) -> Iterator[Problem]:
    yield from _names(manifest, folder)
    yield from _access(manifest)
    yield from _streams(manifest)
    values = set.union(*(_values(manifest, way) for way in manifest.ways))
    yield from check_parents(manifest, values | _READING)
    yield from check_actions(manifest, values)
    yield from check_webhooks(manifest, values)
    yield from _limits(manifest)
    yield from _recipes(manifest)
    yield from _dates(manifest, today)


def _names(manifest: Manifest, folder: Path) -> Iterator[Problem]:
    if not NAME.fullmatch(manifest.name):
        yield "name", f'"{manifest.name}" is no name.', "Small letters, digits and underscores."
    elif folder.name != manifest.name:
        yield "name", f'The folder is called "{folder.name}".', f'Call it "{manifest.name}".'
    if not VERSION.fullmatch(manifest.version):
        yield "version", f'"{manifest.version}" is no version.', 'Write three numbers: "1.0.0".'
    for kind, names in (
        ("streams", [one.name for one in manifest.streams]),
        ("recipes", [one.key for one in manifest.recipes]),
        ("other_auth", [one.key for one in manifest.ways]),
    ):
        for number, name in enumerate(names):
            if name in names[:number]:
                yield f"{kind}[{number}]", f'"{name}" is there twice.', "Give each a name of its own."
            elif kind == "streams" and not NAME.fullmatch(name):
                yield f"{kind}[{number}].name", f'"{name}" is no name.', "Small letters and underscores."


def _values(manifest: Manifest, way: Auth) -> set[str]:
    """What stands for placeholders once access is given in that way."""
    made = {one.name for one in way.inputs if not one.secret}
    made |= {name for one in way.inputs for option in one.options for name in option.values}
    made |= set(getattr(way, "keep", {}))
    return made | ({"api_version"} if manifest.api else set())


def _access(manifest: Manifest) -> Iterator[Problem]:
    for number, way in enumerate(manifest.ways):
        at = "auth" if number == 0 else f"other_auth[{number - 1}]"
        values = _values(manifest, way)
        yield from _address(manifest, "base_url", manifest.base_url, values)
        for name in ("authorize_url", "token_url", "revoke_url"):
            url = getattr(way, name, None)
            if url is not None:
                yield from _address(
                    manifest,
                    f"{at}.{name}",
                    url,
                    values - set(getattr(way, "keep", {})) if name != "revoke_url" else values,
                    called=name != "authorize_url",
                )
        in_hosts = {
            one for url in (manifest.base_url, getattr(way, "token_url", "")) for one in _in_host(url)
        }
        for index, one in enumerate(way.inputs):
            place = f"{at}.inputs[{index}]"
            if one.secret and one.name in in_hosts:
                yield place, f"{one.label} is a secret and stands in an address.", "Send it in a header."
            if one.name in in_hosts and not one.options and one.form != "label":
                yield place, f"{one.label} becomes part of a host.", 'Give it form = "label".'
        for scope in way.scopes:
            if scope not in way.scope_words:
                yield (
                    f"{at}.scope_words",
                    f'The scope "{scope}" has no words.',
                    "Say in the customer's words what it lets us do.",
                )
        needed = {*manifest.account.scopes, *(one for spec in manifest.streams for one in spec.scopes)}
        if needed and manifest.webhooks is not None and manifest.webhooks.registration is not None:
            needed.update(manifest.webhooks.registration.scopes)
        if needed:
            for scope in sorted(set(way.scopes) - needed):
                yield f"{at}.scopes", f'No stream needs "{scope}".', "Drop it, or name it where it is needed."
    for number, spec in enumerate(manifest.streams):
        for scope in spec.scopes:
            if all(scope not in way.scopes for way in manifest.ways):
                known = [one for way in manifest.ways for one in way.scopes]
                yield f"streams[{number}].scopes", f'"{scope}" is not asked for.', did_you_mean(scope, known)


def _in_host(url: str) -> set[str]:
    return holes(urlsplit(url).netloc or url)


def _address(
    manifest: Manifest, at: str, url: str, values: set[str], *, called: bool = True
) -> Iterator[Problem]:
    for name in sorted(holes(url) - values):
        yield at, f"{{{name}}} has no value here.", "It comes from an input, an option or `keep`."
    if re.fullmatch(r"\{[a-z0-9_]+\}", url):
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield at, "It does not begin with https://.", ""
    elif at == "base_url" and parts.path:
        yield at, "It has a path.", "Leave it to the paths of streams."
    elif called and not holes(parts.netloc):
        try:
            listed = admits(manifest.hosts, host_of(url))
        except EgressRefusedError as error:
            yield at, str(error), ""
            return
        if not listed:
            yield at, f"{parts.netloc} is not among `hosts`.", "Add it there, or nothing will be called."
    elif called and (own := parts.netloc.partition("}")[2]) and not _in_pattern(manifest, own):
        yield at, f"No entry of `hosts` ends with {own}.", f'Add "{parts.netloc}".'


def _in_pattern(manifest: Manifest, suffix: str) -> bool:
    return any(host.endswith(suffix) and host.startswith("{") for host in manifest.hosts)


def _streams(manifest: Manifest) -> Iterator[Problem]:
    known = set.union(*(_values(manifest, way) for way in manifest.ways)) | _READING
    if not manifest.streams:
        yield "streams", "There is no stream.", ""
    for number, spec in enumerate(manifest.streams):
        at = f"streams[{number}]"
        if not spec.fields:
            yield f"{at}.fields", f"{spec.name} promises no field.", "Name those that are always asked for."
        for kind, reads in (
            ("list", spec.lists),
            ("incremental", spec.incrementals),
            ("deletions", spec.deletions),
        ):
            for read in reads:
                given = known if spec.parent is None else known | {spec.parent.field}
                yield from _read(f"{at}.{kind}", spec.name, read, given)
        for incremental in spec.incrementals:
            yield from _incremental(f"{at}.incremental", spec.name, incremental, has_time=bool(spec.modified))


def _read(at: str, stream: str, read: Read, known: set[str]) -> Iterator[Problem]:
    asked = holes([read.path, read.query, read.first, read.body or {}, read.headers])
    for name in sorted(asked - known):
        yield at, f"{stream}: {{{name}}} is no value.", did_you_mean(name, known)
    if not read.path.startswith("/"):
        yield f"{at}.path", f"{stream}: a path begins with a slash.", ""
    wanted = {Cursor: "cursor", LastId: "cursor", Locator: "cursor", Offset: "offset", Numbered: "page"}
    hole = wanted.get(type(read.paginator))
    if hole is not None and hole not in asked:
        yield (
            f"{at}.paginator",
            f"{stream}: the next page is never asked for.",
            f"Put {{{hole}}} into the query, the path or the body.",
        )


def _incremental(at: str, stream: str, read: Incremental, *, has_time: bool) -> Iterator[Problem]:
    if not _SINCE & holes([read.path, read.query, read.first, read.body or {}]):
        yield at, f"{stream}: it does not say since when.", "Put {since_iso} or its like into it."
    if not has_time and read.events is None:
        yield at, f"{stream}: the stream has no `modified`.", "Without one nothing tells where to go on."


def _limits(manifest: Manifest) -> Iterator[Problem]:
    buckets = {rate.bucket for rate in manifest.rates}
    if not manifest.rates:
        yield "rates", "No limit is declared.", "Every provider has one; look for it in its documentation."
    for number, spec in enumerate(manifest.streams):
        for read in (*spec.lists, *spec.incrementals, *spec.deletions):
            if read.bucket not in buckets and "*" not in buckets:
                yield (
                    f"streams[{number}]",
                    f'{spec.name}: no rate is declared for the bucket "{read.bucket}".',
                    did_you_mean(read.bucket, buckets),
                )
    codes = {*failures(), SUCCESS}
    for number, rule in enumerate(manifest.failures):
        if rule.failure not in codes:
            yield f"failures[{number}]", f'"{rule.failure}" is no failure.', did_you_mean(rule.failure, codes)
        if rule.status is None and not rule.signed:
            yield f"failures[{number}]", "A rule without a sign fits nothing.", "Give a status or a sign."


def _recipes(manifest: Manifest) -> Iterator[Problem]:
    models = built_in_models()
    for number, recipe in enumerate(manifest.recipes):
        at, spec = f"recipes[{number}]", manifest.stream(recipe.stream)
        if spec is None:
            names = [one.name for one in manifest.streams]
            yield f"{at}.stream", f'There is no stream "{recipe.stream}".', did_you_mean(recipe.stream, names)
            continue
        model = models.get(recipe.model)
        if model is None:
            yield f"{at}.model", f'There is no model "{recipe.model}".', did_you_mean(recipe.model, models)
            continue
        fields = [SourceField(name, name) for name in (*spec.field_names, *ALWAYS)]
        for error in validate(definition_of(recipe), fields, model):
            yield at, f"{recipe.key}: {error.message}", ""


def _dates(manifest: Manifest, today: date) -> Iterator[Problem]:
    looked = manifest.api.no_end_announced if manifest.api is not None else None
    if looked is not None and looked > today:
        yield "api", f"{looked} is still to come.", "Write the day on which you looked."
    if manifest.api is not None and manifest.api.ends is not None:
        left = manifest.api.ends - today
        if left < timedelta(0):
            yield (
                "api",
                f"Version {manifest.api.version} ended on {manifest.api.ends}.",
                "Move to a newer one.",
            )
        elif left < SOON:
            yield "api", f"Version {manifest.api.version} ends in {left.days} days.", "Move to a newer one."


def _unreadable(path: Path, message: str) -> Finding:
    """The place out of tomllib's or msgspec's own words."""
    text = path.read_text("utf-8", errors="replace") if path.exists() else ""
    message = message.removeprefix(f"{path}: ")
    if found := re.search(r"\(at line (\d+)|^line (\d+) ", message):
        return Finding(path, int(found[1] or found[2]), message)
    where = re.search(r"`\$\.?([^`]*)`", message) or re.match(r"([a-z_]\w*(?:\[\d+\])?[^ :]*)[ :]", message)
    line = line_of(text, where[1] if where else "")
    message = re.sub(r" - at `\$\.?([^`]*)`$", r" (at \1).", message)
    suggestion = ""
    if unknown := re.search(r"unknown field `([^`]+)`", message):
        line = line_of(text, f"{where[1]}.{unknown[1]}" if where else unknown[1])
        known = members_of(where[1] if where else "")
        suggestion = did_you_mean(unknown[1], known)
        if not suggestion and 0 < len(known) <= FEW:
            suggestion = f"There it may say {', '.join(known)}."
    elif "Invalid enum value" in message and where:
        suggestion = f"Write one of {', '.join(choices_of(where[1]))}."
    return Finding(path, line, message, suggestion.strip())
