"""A simulator made of a manifest and of documents that were captured from the real provider: no code.

`fixtures/accounts.json` lists accounts (id, name, host), `fixtures/{stream}.json` the documents of the first
of them (`fixture_files`). What a read's templates ask for is recognised by them, and what its paginator
expects is answered; so it plays the provider as the manifest describes it, which proves the manifest whole
and its parts fitting, not that the description is true: for that there are the fixtures and, in the end, a
real account.
"""

import copy
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import msgspec
from litestar import HttpMethod, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.runs.documents import flagged
from trunkline.sdk.authentication import ApiKey, Basic, OAuth2
from trunkline.sdk.captured_events import captured
from trunkline.sdk.fixture_files import FixtureError, accounts, all_documents
from trunkline.sdk.manifest import Deletions, Incremental, Manifest, Read, StreamSpec, point
from trunkline.sdk.simulator import (
    Account,
    ObjectType,
    RefusedError,
    Simulator,
    basic,
    bearer,
    query_without,
    token_form,
)
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_fixture_forms import (
    like,
    listed_fields,
    matched,
    moment,
    path_of,
    pattern,
    put,
    recognised,
    since_of,
    unform,
)
from trunkline.sdk.simulator_fixture_hooks import FixtureHooks
from trunkline.sdk.simulator_fixture_registration import FixtureRegistration, made_secret
from trunkline.sdk.simulator_fixture_writes import FixtureWrites
from trunkline.sdk.simulator_gate import AnyRequest, Reply
from trunkline.sdk.simulator_hooks import Address, Teller
from trunkline.sdk.simulator_oauth import (
    Grant,
    OAuthClient,
    OAuthError,
    OAuthServer,
    TokenExpiredError,
    TokenInvalidError,
)
from trunkline.sdk.simulator_store import LedgerEntry, SimulatedObject, UnknownObjectError
from trunkline.sdk.streams import Cursor, LastId, Link, Locator, Numbered, Offset, Parent
from trunkline.sdk.templates import holes

_ANY = "/{rest:path}"
_SEED_AGE = timedelta(days=30)


class FixtureSimulator(Simulator):
    scopes: Mapping[str, str]
    keys = True
    targets: ClassVar = {"All data": "/"}

    def __init__(
        self,
        manifest: Manifest,
        folder: Path,
        *,
        clients: Sequence[OAuthClient] = (),
        seed: int = 1,
        now: Now = wall_now,
    ) -> None:
        self.manifest = manifest
        self.name, self.title = manifest.name, manifest.label
        self.scopes = {scope: manifest.auth.scope_words.get(scope, scope) for scope in manifest.auth.scopes}
        self.object_types = tuple(
            ObjectType(spec.name, spec.label.lower(), spec.label) for spec in manifest.streams
        )
        way = manifest.auth
        self.authorize_path = path_of(way.authorize_url) if isinstance(way, OAuth2) else ""
        self._accounts = accounts(folder)
        self._documents = all_documents(folder, manifest.streams)
        self.belongs = {  # type: ignore[misc]  # of this instance: its manifest says it
            spec.name: (spec.parent.stream, spec.parent.field)
            for spec in manifest.streams
            if spec.parent is not None
        }
        self._events = captured(folder)
        self._writes = FixtureWrites(self)
        super().__init__(clients=clients, seed=seed, now=now)
        hooks = manifest.webhooks
        made = hooks is not None and hooks.registration is not None
        self._registration = FixtureRegistration(self, hooks, self.webhooks) if hooks and made else None
        rate = min(manifest.rates, key=lambda one: one.seconds, default=None)
        self.window = RateWindow(now, rate.requests if rate else 10**6, rate.seconds if rate else 1)
        for account in self._accounts[:1]:
            for spec in manifest.streams:
                self.store.seed(account.id, spec.name, self._seeds(spec))

    @staticmethod
    def check(manifest: Manifest, folder: Path) -> None:
        """Raises FixtureError."""
        accounts(folder)
        captured(folder)
        all_documents(folder, manifest.streams)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return self._accounts

    def make_oauth(self) -> OAuthServer:
        return OAuthServer(self.now, self.scopes, default_scopes=tuple(self.scopes))

    def routes(self) -> Sequence[HTTPRouteHandler]:
        methods = [HttpMethod.GET, HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH, HttpMethod.DELETE]

        @route(_ANY, http_method=methods, status_code=200)
        async def anything(request: AnyRequest, rest: FromPath[str]) -> Response[Any]:
            way = self.manifest.auth
            if isinstance(way, OAuth2) and rest == path_of(way.token_url):
                return await self._tokens(request)
            grant = self._authorised(request)
            self._limited(grant.account)
            return await self._answered(request, rest, grant)

        return [anything]

    def error_reply(self, status: int, message: str) -> Reply:
        return Reply(status, {"error": message})

    def fault_reply(self, kind: str) -> Reply:
        if kind == "429":
            return Reply(429, {"error": "rate limit"}, {"Retry-After": "1"})
        return Reply(200 if kind == "error_body" else 500, {"error": "internal error"})

    def sample(self, object_type: str, number: int) -> dict[str, Any]:
        first = self.example_of(object_type)
        return {**first, **self._edited(object_type, first, number)}

    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, Any]:
        return self._edited(object_type, item.values, number)

    def label(self, object_type: str, item: SimulatedObject) -> str:
        return self.public_id(object_type, item.id)

    def public_id(self, object_type: str, object_id: str) -> str:
        documents, number = self._documents[object_type], int(object_id)
        if number > len(documents):
            return object_id
        spec = self._spec(object_type)
        return str(point(documents[number - 1], spec.id))

    def own_id(self, object_type: str, public_id: str) -> str:
        spec = self._spec(object_type)
        for number, document in enumerate(self._documents[object_type], 1):
            if str(point(document, spec.id)) == public_id:
                return str(number)
        return public_id

    def truth(self, account: str, stream: str) -> frozenset[str] | None:
        """Whose parent is gone is in no list any more."""
        if stream not in self._documents:
            return None
        spec = self._spec(stream)
        there = (one for one in self.store.walk(account, stream) if self._reached(account, spec, one))
        return frozenset(self.public_id(stream, one.id) for one in there)

    def teller(self, secret: str, address: Address) -> Teller | None:
        hooks = self.manifest.webhooks
        return (
            None if hooks is None else FixtureHooks(self, hooks, self.webhooks, secret, address, self._events)
        )

    @property
    def takes_addresses(self) -> bool:
        hooks = self.manifest.webhooks
        return hooks is not None and hooks.owner == "connection"

    def make_secret(self) -> str | None:
        hooks = self.manifest.webhooks
        return made_secret(hooks) if hooks is not None and hooks.keyed_by == "pasted" else None

    # -- what is there ----------------------------------------------------------------------

    def documents_of(self, stream: str, account: str) -> list[dict[str, Any]]:
        """The live ones, as they are read."""
        spec = self._spec(stream)
        return [self._rendered(spec, item) for item in self.store.walk(account, stream)]

    def told(self, entry: LedgerEntry) -> dict[str, Any]:
        return self._rendered(self._spec(entry.object_type), entry.after)

    def spec_of(self, name: str) -> StreamSpec | None:
        return self.manifest.stream(name)

    def example_of(self, stream: str) -> dict[str, Any]:
        return self._kept(self._spec(stream), self._documents[stream][0])

    def filled(self, path: str) -> str:
        return self._filled(path)

    def _spec(self, name: str) -> StreamSpec:
        spec = self.manifest.stream(name)
        assert spec is not None
        return spec

    def _seeds(self, spec: StreamSpec) -> list[SimulatedObject]:
        """What says of itself that it is deleted was captured all the same: it is there, and archived."""
        began, made = self.now() - _SEED_AGE, []
        for number, document in enumerate(self._documents[spec.name], 1):
            at = began + timedelta(minutes=number)
            gone = at if spec.deleted is not None and flagged(spec.deleted, document) else None
            made.append(SimulatedObject(str(number), self._kept(spec, document), began, at, gone))
        return made

    def _edited(self, name: str, values: Mapping[str, Any], number: int) -> dict[str, Any]:
        """A text that the stream promises, changed."""
        spec = self._spec(name)
        parent = spec.parent.field if spec.parent else ""
        own = {part.partition(".")[0] for part in (spec.id, spec.modified or "", parent)}
        whole = point(dict(values), spec.values) or values
        field = next(
            (one.name for one in spec.fields if one.name not in own and isinstance(whole.get(one.name), str)),
            None,
        )
        if field is None:
            raise FixtureError(f"{name}: no field of it is a text that could be changed.")
        if not spec.values:
            return {field: f"changed {number}"}
        made = copy.deepcopy(dict(values))
        point(made, spec.values)[field] = f"changed {number}"
        return made

    def _rendered(self, spec: StreamSpec, item: SimulatedObject) -> dict[str, Any]:
        made = copy.deepcopy(item.values)
        put(made, spec.id, like(point(made, spec.id), self.public_id(spec.name, item.id)))
        if spec.modified:
            put(made, spec.modified, moment(point(made, spec.modified), item.updated_at))
        if spec.deleted is not None and item.archived_at is not None:
            put(made, spec.deleted.pointer, spec.deleted.equals[0])
        if spec.parent is not None:
            named = self.public_id(spec.parent.stream, made[spec.parent.field])
            made[spec.parent.field] = like(self._documents[spec.name][0][spec.parent.field], named)
        return made

    def _kept(self, spec: StreamSpec, document: dict[str, Any]) -> dict[str, Any]:
        """As the store has it: what it belongs to by the store's id."""
        made = copy.deepcopy(document)
        if spec.parent is not None:
            made[spec.parent.field] = self.own_id(spec.parent.stream, str(made[spec.parent.field]))
        return made

    def _reached(self, account: str, spec: StreamSpec, item: SimulatedObject) -> bool:
        """Whether what it is listed of is there."""
        if spec.parent is None:
            return True
        above = self._spec(spec.parent.stream)
        try:
            held = self.store.get(account, above.name, item.values[spec.parent.field])
        except UnknownObjectError:
            return False
        return held.archived_at is None and self._reached(account, above, held)

    # -- who asks ---------------------------------------------------------------------------

    async def _tokens(self, request: AnyRequest) -> Response[Any]:
        try:
            issued = self.oauth.token(await token_form(request))
        except OAuthError as error:
            return Response({"error": error.error}, status_code=400)
        body: dict[str, Any] = {
            "access_token": issued.access_token,
            "refresh_token": issued.refresh_token,
            "expires_in": issued.expires_in,
            "token_type": "bearer",
        }
        way = self.manifest.auth
        host = next((one.host for one in self._accounts if one.id == issued.grant.account), "")
        if isinstance(way, OAuth2):
            for name, pointer in way.keep.items():
                whole = self.manifest.base_url == f"{{{name}}}"
                put(body, pointer, f"https://{host}" if whole else host.partition(".")[0])
        return Response(body)

    def _authorised(self, request: AnyRequest) -> Grant:
        try:
            return self.oauth.authenticate(self._credential(request))
        except (TokenInvalidError, TokenExpiredError):
            raise RefusedError(Reply(401, {"error": "unauthorized"})) from None

    def _credential(self, request: AnyRequest) -> str:
        """The key or token, wherever the manifest says that it is sent."""
        for way in self.manifest.ways:
            sent: list[tuple[str, str]] = []
            if isinstance(way, Basic):
                sent = list(zip((way.username, way.password), basic(request), strict=True))
            elif isinstance(way, ApiKey):
                sent = [(one, request.headers.get(name, "")) for name, one in way.headers.items()]
            secrets = {one.name for one in way.secrets}
            for template, given in sent:
                found = re.fullmatch(pattern(template), given)
                for name, text in found.groupdict().items() if found else ():
                    if name in secrets and text:
                        return str(text)
        return bearer(request)

    def _limited(self, account: str) -> None:
        if not self.window.admit(account):
            wait = str(self.window.resets_in(account))
            raise RefusedError(Reply(429, {"error": "rate limit"}, {"Retry-After": wait}))

    # -- what is answered -------------------------------------------------------------------

    async def _answered(self, request: AnyRequest, path: str, grant: Grant) -> Response[Any]:
        manifest, account = self.manifest, grant.account
        if path == self._filled(manifest.account.path):
            return Response(self._about(account))
        for spec in manifest.streams:
            if spec.discovery is not None and path == self._filled(spec.discovery.path):
                return Response(listed_fields(spec))
        body = await self._body(request)
        if self._registration is not None:
            done = self._registration.answer(request, path, account, grant.scopes, body)
            if done is not None:
                return done
        written = self._writes.answer(request, path, account, body)
        if written is not None:
            return written
        found = self._asked(request, path, body)
        if found is None:
            raise self.refused(404, "there is nothing here")
        spec, read, given = found
        return self._page(request, path, account, spec, read, given)

    async def _body(self, request: AnyRequest) -> Any:
        """Of JSON or of a form alike."""
        if request.method == "GET":
            return None
        if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return unform((await request.form()).multi_items())
        try:
            return msgspec.json.decode(await request.body() or b"null")
        except msgspec.DecodeError:
            raise self.refused(400, "the body is no JSON") from None

    def refused(self, status: int, message: str) -> RefusedError:
        return RefusedError(self.error_reply(status, message))

    def _filled(self, path: str) -> str:
        return path.replace("{api_version}", self.manifest.api.version if self.manifest.api else "")

    def _about(self, account: str) -> dict[str, Any]:
        known = next(one for one in self._accounts if one.id == account)
        made: dict[str, Any] = {}
        for pointer, value in (
            (self.manifest.account.id, known.id),
            (self.manifest.account.label, known.name),
        ):
            if not pointer.startswith("{") and point(made, pointer) is None:
                put(made, pointer, value)
        return made

    def _asked(
        self, request: AnyRequest, path: str, body: Any
    ) -> tuple[StreamSpec, Read, dict[str, str]] | None:
        """The read that was meant, which says most of the request; and what its templates were given."""
        best: tuple[int, StreamSpec, Read, dict[str, str]] | None = None
        query = dict(request.query_params)
        for spec in self.manifest.streams:
            for read in (*spec.lists, *spec.incrementals, *spec.deletions):
                given = recognised(self._filled(read.path), path)
                if given is None or read.method != request.method:
                    continue
                said = matched({**read.query, **read.first}, query)
                more = {} if read.body is None else matched(read.body, body)
                if said is None or more is None:
                    continue
                given |= {name: str(value) for name, value in {**said, **more}.items()}
                weight = len(given) + sum(not holes(value) for value in read.query.values())
                if best is None or weight > best[0]:
                    best = weight, spec, read, given
        return None if best is None else best[1:]

    def _page(
        self,
        request: AnyRequest,
        path: str,
        account: str,
        spec: StreamSpec,
        read: Read,
        given: Mapping[str, str],
    ) -> Response[Any]:
        entries = self._entries(account, spec, read, given)
        size = max(1, min(int(given.get("page_size", read.page_size)), 1000))
        start = self._start(read, given, request, entries)
        page = entries[start : start + size]
        following = start + size if start + size < len(entries) else None
        body: Any = {}
        if read.records:
            put(body, read.records, page)
            if read.total:
                put(body, read.total, len(entries))
            self._turn(body, request, path, read, start, size, len(entries), following)
        else:
            body = page
        headers = {}
        by = read.paginator
        if isinstance(by, Link) and by.next is None and following is not None:
            headers["Link"] = f'<{self._address(request, path, following)}>; rel="next"'
        if isinstance(by, Locator):
            headers[by.header] = "null" if following is None else str(following)
        return Response(body, headers=headers)

    def _entries(
        self, account: str, spec: StreamSpec, read: Read, given: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        archived: bool | None = False
        if isinstance(read, Deletions):
            archived = True
        elif spec.deleted is not None:
            archived = None
        items = list(self.store.walk(account, spec.name, archived=archived))
        if spec.parent is not None:
            items = self._of(account, spec.parent, given[spec.parent.field], items)
        since = since_of(given)
        if since is not None:
            items = [one for one in items if (one.archived_at or one.updated_at) >= since]
        if isinstance(read, Incremental):
            items.sort(key=lambda one: (one.updated_at, int(one.id)))
        entries = [self._rendered(spec, one) for one in items]
        if isinstance(read, Deletions):
            for entry, item in zip(entries, items, strict=True):
                if read.at:
                    put(entry, read.at, moment(None, item.archived_at or item.updated_at))
                if read.id:
                    put(entry, read.id, self.public_id(spec.name, item.id))
                if read.when:
                    put(entry, read.when.pointer, read.when.equals[0])
        return entries

    def _of(
        self, account: str, of: Parent, public: str, items: Sequence[SimulatedObject]
    ) -> list[SimulatedObject]:
        own = self.own_id(of.stream, public)
        try:
            there = self.store.get(account, of.stream, own).archived_at is None
        except UnknownObjectError:
            there = False
        if not there:
            raise self.refused(404, "there is no such record")
        return [one for one in items if one.values[of.field] == own]

    @staticmethod
    def _start(read: Read, given: Mapping[str, str], request: AnyRequest, entries: list[Any]) -> int:
        by = read.paginator
        if isinstance(by, Link):
            return int(request.query_params.get("_at", "0"))
        if isinstance(by, Offset):
            return int(given.get("offset", "0"))
        if isinstance(by, Numbered):
            size = int(given.get("page_size", read.page_size))
            return (int(given.get("page", by.first)) - by.first) * size
        if isinstance(by, LastId):
            ids = [str(point(entry, by.id)) for entry in entries]
            return ids.index(given["cursor"]) + 1 if given.get("cursor") in ids else 0
        return int(given.get("cursor") or 0)

    def _turn(
        self,
        body: dict[str, Any],
        request: AnyRequest,
        path: str,
        read: Read,
        start: int,
        size: int,
        total: int,
        following: int | None,
    ) -> None:
        by = read.paginator
        more = following is not None
        if isinstance(by, Cursor):
            mark = str(min(start + size, total)) if isinstance(read, Incremental) and read.bookmark else None
            if more or mark:
                put(body, by.next, str(following) if more else mark)
            if by.end:
                put(body, by.end, not more)
        elif isinstance(by, Link) and by.next is not None:
            put(body, by.next, self._address(request, path, following) if following is not None else None)
        elif isinstance(by, Offset) and by.next is not None and more:
            put(body, by.next, following)
        elif isinstance(by, Numbered) and by.pages is not None:
            put(body, by.pages, -(-total // size))
        pointer = getattr(by, "more", None)
        if pointer:
            put(body, pointer, more)

    def _address(self, request: AnyRequest, path: str, at: int) -> str:
        return f"{path}?{urlencode([*query_without(request, '_at'), ('_at', str(at))])}"
