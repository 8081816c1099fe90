"""Forms of the pages, read with care: a browser sends one box as text and several as a list."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from trunkline.deliveries.catalogue import TEST, TYPES
from trunkline.deliveries.credentials import listed
from trunkline.deliveries.schemas import EndpointChange, EndpointIn, EndpointView
from trunkline.kernel.errors import BadInputError, TrunklineError


class EndpointForm(msgspec.Struct, kw_only=True):
    url: str = ""
    description: str = ""
    types: list[str] | str = []
    payload: str = "thin"
    ordering: str = "none"
    concurrency: str = "8"
    rate: str = ""
    headers: str = ""
    """One a line: a name, a colon, a value."""
    certificate: str = ""
    key: str = ""
    no_certificate: str = ""

    def __repr__(self) -> str:
        return "EndpointForm()"

    @property
    def chosen(self) -> list[str]:
        return [self.types] if isinstance(self.types, str) else self.types

    @classmethod
    def of(cls, view: EndpointView) -> "EndpointForm":
        return cls(
            url=view.url,
            description=view.description,
            types=list(view.types),
            payload="full" if view.full_data else "thin",
            ordering=view.ordering,
            concurrency=str(view.concurrency),
            rate=str(view.rate or ""),
            headers=listed(view.header_names),
        )


_WORDS = {
    "url": "Use plain characters of an address, without blanks.",
    "headers": "At most 10 headers, each with a value of at most 1,000 characters.",
    "client_certificate": "At most 32,000 characters each.",
}
_FIELDS = {
    "client_certificate": "certificate",
    "client_certificate.certificate": "certificate",
    "client_certificate.key": "key",
}


class RotateForm(msgspec.Struct):
    overlap: str = "24"


class SwitchForm(msgspec.Struct):
    enabled: str = ""


class RecoverForm(msgspec.Struct):
    since: str = ""
    missing: str = ""


OVERLAPS = {"0": "At once", "1": "In an hour", "24": "In a day", "168": "In a week"}
"""When the old secret stops signing, in hours."""

CHOICES: tuple[tuple[str, str], ...] = (
    ("*", "Everything, also what is added later"),
    *(
        (name, text)
        for kind, words in (
            ("connection", "Every change of a connection"),
            ("run", "Every run that ends"),
            ("record", "Every change of a record"),
        )
        for name, text in (
            (f"{kind}.*", words),
            *((one.name, one.text) for one in TYPES if one.name.startswith(f"{kind}.")),
        )
    ),
    *(
        (one.name, one.text)
        for one in TYPES
        if one.name != TEST and one.name.partition(".")[0] not in {"connection", "run", "record"}
    ),
)
"""What can be asked for, with what it means."""


def wanted(form: EndpointForm) -> EndpointIn:
    """Raises BadInputError with the field."""
    fields: dict[str, Any] = {
        "url": form.url.strip(),
        "description": form.description.strip(),
        "types": form.chosen,
        "payload": form.payload,
        "ordering": form.ordering,
        "concurrency": _number(form.concurrency, "concurrency", 32),
        "rate": _number(form.rate, "rate", 1000) if form.rate.strip() else None,
        "headers": _headers(form.headers),
        "client_certificate": _certificate(form),
    }
    if not fields["types"]:
        raise BadInputError("Choose at least one kind of event.", field="types")
    if not fields["url"]:
        raise BadInputError("Give the address that events are sent to.", field="url")
    for name, most in (("url", 2000), ("description", 200)):
        if len(fields[name]) > most or "\0" in fields[name]:
            raise BadInputError(f"At most {most:,} characters.", field=name)
    try:
        return msgspec.convert(fields, EndpointIn)
    except msgspec.ValidationError as error:
        field = next((name for name in fields if f"$.{name}" in str(error)), "url")
        raise BadInputError(_WORDS.get(field, "Choose again."), field=_FIELDS.get(field, field)) from None


def change(form: EndpointForm) -> EndpointChange:
    given = wanted(form)
    return EndpointChange(
        url=given.url,
        types=given.types,
        description=given.description,
        payload=given.payload,
        ordering=given.ordering,
        concurrency=given.concurrency,
        rate=given.rate,
        headers=given.headers,
        client_certificate=given.client_certificate or (None if form.no_certificate else msgspec.UNSET),
    )


def since(form: RecoverForm) -> datetime:
    """A browser's date and time, meant as UTC. Raises BadInputError."""
    try:
        found = datetime.fromisoformat(form.since.strip()[:40])
    except ValueError as error:
        raise BadInputError("Say since when, with date and time.", field="since") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


def errors_of(error: TrunklineError) -> dict[str, str]:
    """By field of the form."""
    field = error.field or "url"
    return {_FIELDS.get(field, field): error.message}


def _headers(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise BadInputError("Write each header on a line of its own, as Name: value.", field="headers")
        if name.strip() in found:
            raise BadInputError("A header is there twice.", field="headers")
        found[name.strip()] = value.strip()
    return found


def _certificate(form: EndpointForm) -> dict[str, str] | None:
    certificate, key = form.certificate.strip(), form.key.strip()
    if bool(certificate) != bool(key):
        raise BadInputError(
            "A certificate and its key belong together.", field="key" if certificate else "certificate"
        )
    return {"certificate": certificate, "key": key} if key else None


def _number(text: str, field: str, most: int) -> int:
    plain = text.strip()
    if not (plain.isascii() and plain.isdigit() and len(plain) < 6 and 1 <= int(plain) <= most):
        raise BadInputError(f"A number from 1 to {most:,}.", field=field)
    return int(plain)
