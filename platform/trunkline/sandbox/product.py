"""Acme Desk: a made-up product that embeds Trunkline, on an origin of its own."""

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import msgspec
from litestar import Litestar, MediaType, Response, get, post
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from trunkline.sandbox.control_page import PAGES, templates
from trunkline.sandbox.guard import same_origin
from trunkline.sandbox.product_backend import TrunklineApi
from trunkline.sdk.simulator_gate import AnyRequest

COOKIE = "acme_person"
_BACKEND = Path(__file__).with_name("product_backend.py")


class Person(msgspec.Struct, frozen=True):
    """A user of Acme Desk, and the customer (Trunkline's tenant) they belong to."""

    id: str
    name: str
    tenant: str
    company: str


PEOPLE = (
    Person("user-101", "Maya Chen", "globex", "Globex"),
    Person("user-202", "Peter Gibbons", "initech", "Initech"),
)


class ConfirmIn(msgspec.Struct, forbid_unknown_fields=True):
    code: str


class ProductError(Exception):
    """A sentence for the product's user; `status` is of our answer to the browser."""

    def __init__(self, sentence: str, status: int = 502) -> None:
        super().__init__(sentence)
        self.status = status


def create_product(
    trunkline_url: str,
    api_key: str,
    *,
    origin: str = "http://127.0.0.1:8702",
    people: Sequence[Person] = PEOPLE,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> Litestar:
    """`origin` is where browsers reach this app: the widget speaks to it and to nothing else."""
    api = TrunklineApi(trunkline_url, api_key, transport)
    by_tenant = {person.tenant: person for person in people}
    headers = page_headers(trunkline_url)

    def person_of(request: AnyRequest) -> Person:
        return by_tenant.get(request.cookies.get(COOKIE, ""), people[0])

    @get("/", media_type=MediaType.HTML)
    async def page(request: AnyRequest) -> Response[str]:
        body = templates.get_template("product.html").render(
            person=person_of(request),
            people=people,
            trunkline_url=trunkline_url.rstrip("/"),
            frontend=(PAGES / "product_integration.js").read_text(encoding="utf-8"),
            backend=_BACKEND.read_text(encoding="utf-8"),
        )
        return Response(body, media_type=MediaType.HTML, headers=headers)

    @post("/switch", guards=[same_origin])
    async def switch(request: AnyRequest) -> Redirect:
        """A demo's login: it asks for no password because there is nothing of value behind it."""
        chosen = str((await request.form()).get("tenant", ""))
        answer = Redirect("/", status_code=303)
        if chosen in by_tenant:
            answer.set_cookie(COOKIE, chosen, httponly=True, samesite="lax")
        return answer

    @post("/connect-session", guards=[same_origin], status_code=200)
    async def connect_session(request: AnyRequest) -> dict[str, Any]:
        # Tenant and user come from the product's own session, never from the browser's request.
        person = person_of(request)
        with _sentences(trunkline_url):
            session = await api.start_connect(person.tenant, {"id": person.id, "name": person.name}, origin)
            return {"token": session["token"]}

    @post("/confirm", guards=[same_origin], status_code=200)
    async def confirm(request: AnyRequest) -> dict[str, Any]:
        try:
            asked = msgspec.json.decode(await request.body(), type=ConfirmIn)
        except msgspec.DecodeError as error:
            raise ProductError("The request has no code.", 400) from error
        with _sentences(trunkline_url):
            connection = await api.confirm(person_of(request).tenant, asked.code)
            return {"state": str(connection.get("state", "active"))}

    @get("/status")
    async def status(request: AnyRequest) -> dict[str, Any]:
        tenant = person_of(request).tenant
        with _sentences(trunkline_url):
            connection = current_connection(rows(await api.connections(tenant), "connections"))
            if connection is None:
                return {"connection": None, "contacts": [], "count": 0, "running": False}
            found = rows(await api.contacts(tenant), "records")
            count, running = progress(rows(await api.runs(tenant, connection["id"]), "runs"))
            return {
                "connection": connection,
                "contacts": [shown(row) for row in found],
                "count": count,
                "running": running,
            }

    @contextlib.asynccontextmanager
    async def closing(_: Litestar) -> AsyncIterator[None]:
        yield
        await api.close()

    return Litestar(
        route_handlers=[page, switch, connect_session, confirm, status, _health(), *_files()],
        exception_handlers={ProductError: _problem, PermissionDeniedException: _problem},
        lifespan=[closing],
        openapi_config=None,
    )


def page_headers(trunkline_url: str) -> dict[str, str]:
    """What a strict product allows: one script and one frame of Trunkline's, nothing else from outside."""
    parts = urlsplit(trunkline_url)
    trunkline = f"{parts.scheme}://{parts.netloc}"
    return {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src 'self' {trunkline}; frame-src {trunkline}; style-src 'self'; "
            "connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        ),
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def rows(body: object, name: str) -> list[dict[str, Any]]:
    """The list in an API reply, under its own name or as `items` or `data`."""
    found = body
    if isinstance(body, dict):
        found = next((body[key] for key in (name, "items", "data") if isinstance(body.get(key), list)), [])
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def current_connection(found: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """The HubSpot connection to show: one that works before one that does not."""
    order = ("active", "setup", "paused", "reconnect_required", "pending")
    usable = [c for c in found if c.get("connector", "hubspot") == "hubspot" and c.get("state") in order]
    if not usable:
        return None
    best = min(usable, key=lambda connection: order.index(connection["state"]))
    return {
        "id": quote(str(best.get("id", "")), safe=""),
        "state": str(best["state"]),
        "account": str(best.get("account_label") or best.get("name") or ""),
    }


def progress(runs: Sequence[Mapping[str, Any]]) -> tuple[int, bool]:
    """(contacts that have arrived, whether the first sync is still running), from the newest runs."""
    count = sum(int(run.get("created", 0)) - int(run.get("deleted", 0)) for run in runs)
    finished = any(run.get("state") == "succeeded" for run in runs)
    return max(0, count), not finished


def shown(row: Mapping[str, Any]) -> dict[str, str]:
    """Name and email of a contact, whichever of the usual names its model gives them."""
    fields = next(
        (row[k] for k in ("fields", "values", "data", "document") if isinstance(row.get(k), dict)), row
    )
    first = fields.get("first_name") or fields.get("firstname") or ""
    last = fields.get("last_name") or fields.get("lastname") or ""
    name = str(fields.get("name") or fields.get("full_name") or f"{first} {last}").strip()
    return {"name": name[:120], "email": str(fields.get("email") or "")[:120]}


@contextlib.contextmanager
def _sentences(trunkline_url: str) -> Iterator[None]:
    """Turns what can go wrong on the way to Trunkline into a sentence."""
    try:
        yield
    except httpx2.HTTPStatusError as error:
        raise ProductError(_sentence(error.response)) from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ProductError(
            f"Trunkline does not answer at {trunkline_url}. Start it with make demo, then try again."
        ) from error
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ProductError("Trunkline answered in a form that this page does not know.") from error


def _sentence(answer: httpx2.Response) -> str:
    if answer.status_code == 401:
        return "Trunkline did not accept this product's API key."
    try:
        problem = answer.json()
        detail = problem.get("detail") or problem.get("title")
    except (ValueError, AttributeError):
        detail = None
    return str(detail or f"Trunkline answered {answer.status_code}.")


def _problem(_: AnyRequest, error: Exception) -> Response[dict[str, str]]:
    if isinstance(error, PermissionDeniedException):
        return Response({"error": error.detail}, status_code=403)
    return Response(
        {"error": str(error)}, status_code=error.status if isinstance(error, ProductError) else 500
    )


def _health() -> HTTPRouteHandler:
    @get("/healthz", sync_to_thread=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return healthz


def _files() -> list[HTTPRouteHandler]:
    def file(name: str, kind: str) -> HTTPRouteHandler:
        @get(f"/{name}", media_type=kind, sync_to_thread=False)
        def serve() -> str:
            return (PAGES / name).read_text(encoding="utf-8")

        return serve

    return [
        file("product.css", "text/css"),
        file("product_integration.js", "text/javascript"),
        file("product_status.js", "text/javascript"),
    ]
