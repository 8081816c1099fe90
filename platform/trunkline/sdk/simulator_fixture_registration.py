"""How a simulator made of a manifest plays `[webhooks.registration]`: the calls by which webhooks are
made, listed and removed, each as the manifest describes it.
"""

import base64
import re
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Response

from trunkline.sdk.registration import Registered, Registration, RegistrationCall
from trunkline.sdk.signatures import resolve
from trunkline.sdk.simulator_fixture_forms import pattern, put, recognised
from trunkline.sdk.simulator_fixture_played import Played
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_hooks import Webhook, WebhookBook
from trunkline.sdk.streams import Flag
from trunkline.sdk.templates import form_pairs
from trunkline.sdk.webhooks import Webhooks

PAGE: Final = 2
"""Webhooks of a page, where the list has pages: so few that going on is tried too."""


class FixtureRegistration:
    def __init__(self, played: Played, hooks: Webhooks, book: WebhookBook) -> None:
        assert hooks.registration is not None
        self._played = played
        self._hooks = hooks
        self._how: Registration = hooks.registration
        self._book = book

    def answer(
        self, request: AnyRequest, path: str, account: str, scopes: tuple[str, ...], body: Any
    ) -> Response[Any] | None:
        """None: it is none of these calls."""
        how = self._how
        for call, play in (
            (how.create, self._create),
            (how.reveal, self._reveal),
            (how.listed.call, self._list),
            (how.remove, self._remove),
        ):
            given = None if call is None else self._given(call, request, path, body)
            if given is None:
                continue
            if missing := sorted(set(how.scopes) - set(scopes)):
                raise self._played.refused(403, f"the grant lacks {', '.join(missing)}")
            return play(account, given)
        return None

    def _given(
        self, call: RegistrationCall, request: AnyRequest, path: str, body: Any
    ) -> dict[str, list[str]] | None:
        """What the call's placeholders hold, each a list of texts; None: it is another call."""
        at = recognised(self._played.filled(call.path), path)
        if at is None or request.method != call.method:
            return None
        found = {name: [value] for name, value in at.items()}
        sent = [*request.query_params.multi_items(), *(form_pairs(body) if isinstance(body, Mapping) else ())]
        for name, template in form_pairs({**call.query, **(call.body or {})}):
            wanted = re.compile(rf"{re.escape(name)}(\[\d*\])?")
            for value in (str(value) for key, value in sent if wanted.fullmatch(key)):
                held = re.fullmatch(pattern(template), value)
                for hole, text in (held.groupdict() if held else {}).items():
                    found.setdefault(hole, []).append(text)
        return found

    def _create(self, account: str, given: Mapping[str, list[str]]) -> Response[Any]:
        how, url = self._how, _one(given, "address")
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise self._played.refused(400, "there is no address to deliver to")
        if how.most is not None and len(self._book.of(account)) >= how.most:
            raise self._played.refused(422, f"an account has at most {how.most} webhooks")
        user = _one(given, "user")
        secret = _one(given, "secret") or (f"{user}:{_one(given, 'password')}" if user else "")
        if self._hooks.keyed_by == "provider":
            secret = made_secret(self._hooks)
        made = self._book.add(
            Webhook(
                id=secrets.token_hex(8),
                account=account,
                url=url,
                secret=secret,
                events=[one for held in given.get("events", ()) for one in held.split(",")],
            )
        )
        answer: dict[str, Any] = {}
        put(answer, how.id, made.id)
        if how.secret is not None and how.reveal is None:
            put(answer, how.secret, secret)
        return Response(answer)

    def _reveal(self, account: str, given: Mapping[str, list[str]]) -> Response[Any]:
        assert self._how.secret is not None
        answer: dict[str, Any] = {}
        put(answer, self._how.secret, self._known(account, given).secret)
        return Response(answer)

    def _list(self, account: str, given: Mapping[str, list[str]]) -> Response[Any]:
        wanted, held, cursor = self._how.listed, self._book.of(account), _one(given, "cursor")
        paged = wanted.next is not None or (wanted.last_id and wanted.more is not None)
        start = next((at + 1 for at, hook in enumerate(held) if hook.id == cursor), 0)
        shown = held[start : start + PAGE] if paged else held
        more = start + len(shown) < len(held)
        records = [_shown(wanted, hook) for hook in shown]
        if not wanted.records:
            return Response(records)
        answer: dict[str, Any] = {}
        put(answer, wanted.records, records)
        if wanted.more is not None:
            put(answer, wanted.more, more)
        if wanted.next is not None:
            put(answer, wanted.next, shown[-1].id if more else None)
        return Response(answer)

    def _remove(self, account: str, given: Mapping[str, list[str]]) -> Response[Any]:
        self._book.remove(self._known(account, given).id)
        return Response({})

    def _known(self, account: str, given: Mapping[str, list[str]]) -> Webhook:
        found = self._book.get(account, _one(given, "registration"))
        if found is None:
            raise self._played.refused(404, "there is no such webhook")
        return found


def made_secret(hooks: Webhooks) -> str:
    """A secret in the form that the signature's key has."""
    spec, raw = resolve(hooks.signatures[0]), secrets.token_bytes(24)
    plain = base64.b64encode(raw).decode() if spec.key == "base64" else raw.hex()
    return spec.key_prefix + plain


def _shown(wanted: Registered, hook: Webhook) -> dict[str, Any]:
    made: dict[str, Any] = {}
    put(made, wanted.id, hook.id)
    put(made, wanted.address, hook.url)
    if wanted.works is not None:
        put(made, wanted.works.pointer, wanted.works.equals[0] if hook.active else _other(wanted.works))
    return made


def _other(flag: Flag) -> str | bool | None:
    """A value that is not the flag's."""
    if "*" in flag.equals:
        return None
    return "off" if "false" in {one.lower() for one in flag.equals} else False


def _one(given: Mapping[str, list[str]], name: str) -> str:
    return next(iter(given.get(name, ())), "")
