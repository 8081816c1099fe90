"""The control page of a simulator: plain forms, for a person who shows or tries something."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from secrets import token_urlsafe

import jinja2
from litestar import MediaType, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from trunkline.sandbox.actions import MAX_BULK, Actions, ControlError
from trunkline.sandbox.control_api import state_of
from trunkline.sandbox.guard import PAGE_HEADERS, same_origin
from trunkline.sdk.simulator import Simulator
from trunkline.sdk.simulator_faults import FAULT_WORDS
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_oauth import KEY_CLIENT
from trunkline.sdk.simulator_store import LedgerEntry

PAGES = Path(__file__).parent / "pages"
_SHOWN = 12
_PAST = {
    "created": "Created",
    "updated": "Changed",
    "archived": "Archived",
    "restored": "Restored",
    "purged": "Purged",
}

templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(PAGES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters["grouped"] = lambda number: f"{number:,}"


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S UTC")


templates.filters["clock"] = _clock
Form = Mapping[str, str]


class _Notices:
    """What happened, shown once after the redirect; never part of an address, so nothing can be planted."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[bool, str]] = OrderedDict()

    def add(self, ok: bool, text: str) -> str:
        key = token_urlsafe(8)
        self._kept[key] = (ok, text)
        while len(self._kept) > 50:
            self._kept.popitem(last=False)
        return key

    def take(self, key: str) -> tuple[bool, str] | None:
        return self._kept.pop(key, None)


def control_page(simulator: Simulator) -> list[HTTPRouteHandler]:
    actions = Actions(simulator)
    notices = _Notices()
    buttons = _buttons(simulator, actions)

    @get("/_control", media_type=MediaType.HTML)
    async def page(request: AnyRequest) -> Response[str]:
        query = request.query_params
        body = templates.get_template("control.html").render(
            simulator=simulator,
            state=state_of(simulator),
            notice=notices.take(str(query.get("notice") or "")),
            chosen={name: str(query.get(name) or "") for name in ("account", "object")},
            fault_words=FAULT_WORDS,
            max_bulk=MAX_BULK,
            requests=simulator.log.runs()[:_SHOWN],
            ledger=[_line(simulator, entry) for entry in simulator.store.ledger[: -_SHOWN - 1 : -1]],
            account_names={item.id: item.name for item in simulator.accounts},
            now=simulator.now(),
        )
        return Response(body, media_type=MediaType.HTML, headers=PAGE_HEADERS)

    @post("/_control", guards=[same_origin])
    async def act(request: AnyRequest) -> Redirect:
        form = {name: str(value).strip() for name, value in (await request.form()).items()}
        try:
            button = buttons.get(form.get("do", ""))
            key = notices.add(*((True, button(form)) if button else (False, "Nothing was asked for.")))
        except ControlError as error:
            key = notices.add(False, str(error))
        # The choice stays, so that the same thing can be done again.
        again = "".join(
            f"&{name}={form[name]}"
            for name, known in (
                ("account", {item.id for item in simulator.accounts}),
                ("object", {item.name for item in simulator.object_types}),
            )
            if form.get(name) in known
        )
        return Redirect(f"/{simulator.name}/_control?notice={key}{again}", status_code=303)

    return [page, act]


def _buttons(simulator: Simulator, actions: Actions) -> dict[str, Callable[[Form], str]]:
    """Name of each button -> what it does; answers the sentence to show, raises ControlError."""

    def said(verb: str, form: Form, ids: list[str]) -> str:
        kind = actions.type_of(form["object"])
        account = next(item.name for item in simulator.accounts if item.id == form["account"])
        noun = kind.singular if len(ids) == 1 else kind.plural
        which = f" {ids[0]}" if len(ids) == 1 else ""
        return f"{verb} {len(ids):,} {noun.lower()}{which} in {account}."

    def create(form: Form) -> str:
        ids = actions.create(form.get("account", ""), form.get("object", ""), _whole(form, "count"))
        return said("Created", form, ids)

    def change(form: Form) -> str:
        ids = actions.change(form.get("account", ""), form.get("object", ""), _whole(form, "count"))
        return said("Changed", form, ids)

    def archive(form: Form) -> str:
        ids = actions.archive(form.get("account", ""), form.get("object", ""), _whole(form, "count"))
        return said("Archived", form, ids)

    def change_one(form: Form) -> str:
        if not form.get("id") or not form.get("property"):
            raise ControlError("Give the record's ID and the name of the field.")
        where = (form.get("account", ""), form.get("object", ""))
        value = actions.as_before(*where, form["id"], form["property"], form.get("value", ""))
        ids = actions.change(*where, 1, [form["id"]], {form["property"]: value})
        return said("Changed", form, ids) if ids else "The record already had this value; nothing changed."

    def archive_one(form: Form) -> str:
        if not form.get("id"):
            raise ControlError("Give the record's ID.")
        return said(
            "Archived",
            form,
            actions.archive(form.get("account", ""), form.get("object", ""), 1, [form["id"]]),
        )

    def revoke(form: Form) -> str:
        grant = simulator.oauth.grants.get(form.get("grant", ""))
        actions.revoke(form.get("grant", ""))
        if grant is not None and grant.client_id == KEY_CLIENT:
            return "The API key was taken back: it does not work any more."
        return "The app was removed from the account: none of its tokens works any more."

    def change_field(form: Form) -> str:
        name, to = form.get("field", ""), form.get("type", "")
        actions.change_field(form.get("object", ""), name, to)
        return f"The field {name} is of the type {to} now." if to else f"The field {name} is gone."

    def make_key(form: Form) -> str:
        key = actions.make_key(form.get("account", ""))
        return f"Copy the new key now, it is not shown again: {key}"

    def add_webhook(form: Form) -> str:
        given = form.get("secret", "")
        made = actions.add_webhook(form.get("account", ""), form.get("url", ""), given)
        if made.secret != given:
            return f"Copy the signing secret now, it is not shown again: {made.secret}"
        return "From now on changes in that account are told to this address, signed with the secret."

    def expire(form: Form) -> str:
        count = actions.expire(form.get("grant") or None)
        return f"{count:,} access token{'' if count == 1 else 's'} expired just now; a refresh still works."

    def trouble(form: Form) -> str:
        amount = _whole(form, "amount")
        bound = {"requests": amount} if form.get("unit") == "requests" else {"seconds": amount}
        latency = _whole(form, "latency_ms") if form.get("kind") == "latency" else 0
        fault = actions.trouble(form.get("kind", ""), path=form.get("path", ""), latency_ms=latency, **bound)
        return f"On: {FAULT_WORDS[fault.kind]}, for {amount:,} {next(iter(bound))}."

    def clear(_: Form) -> str:
        return f"{simulator.faults.clear()} cleared: {simulator.title} answers normally again."

    def setting(form: Form) -> str:
        actions.setting(form.get("name", ""), _whole(form, "value"))
        return "The setting is changed."

    return {
        "create": create,
        "change": change,
        "archive": archive,
        "change_one": change_one,
        "archive_one": archive_one,
        "revoke": revoke,
        "change_field": change_field,
        "make_key": make_key,
        "add_webhook": add_webhook,
        "expire": expire,
        "trouble": trouble,
        "clear": clear,
        "setting": setting,
    }


def _whole(form: Form, name: str) -> int:
    text = form.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ControlError(f"{name} must be a whole number.")
    return int(text)


def _line(simulator: Simulator, entry: LedgerEntry) -> dict[str, object]:
    before = entry.before.values if entry.before else {}
    differing = [name for name, value in entry.after.values.items() if before.get(name) != value]
    return {
        "sequence": entry.sequence,
        "at": entry.at,
        "verb": _PAST[entry.change],
        "type": entry.object_type,
        "id": simulator.public_id(entry.object_type, entry.object_id),
        "account": entry.account,
        "label": simulator.label(entry.object_type, entry.after)[:80],
        "fields": ", ".join(differing[:4]) if entry.change == "updated" else "",
    }
