"""The form by which somebody chooses how a customer's own system is read."""

import re
from typing import Any

import msgspec

from trunkline.kernel.errors import BadInputError
from trunkline.sdk.own import Reading

_WORDS = {
    "key": "Name the place of the key, such as data.id.",
    "record": "Name a place such as data, or nothing where the event is the record.",
    "at": "Name a place such as data.updated_at, or nothing.",
    "type": "Name a place such as type, or nothing.",
    "only": "Types such as order.paid, or beginnings such as order.*, with commas between: at most 20.",
    "gone": "Name a place such as type or data.deleted, or nothing.",
    "gone_when": "Values such as true or order.deleted, with commas between: at most 20.",
    "known_by": "Name a place such as id, or nothing.",
    "label": "At most 60 characters that can be read.",
}


class ReadingForm(msgspec.Struct, kw_only=True):
    label: str = ""
    key: str = ""
    record: str = ""
    at: str = ""
    type: str = ""
    only: str = ""
    gone: str = ""
    gone_when: str = ""
    known_by: str = ""
    go: str = ""

    @classmethod
    def of(cls, reading: Reading | None) -> "ReadingForm":
        if reading is None:
            return cls()
        plain = {name: getattr(reading, name) or "" for name in ("label", "key", "record", "at", "type")}
        return cls(
            **plain,
            only=", ".join(reading.only),
            gone=reading.gone or "",
            gone_when=", ".join(reading.gone_when),
            known_by=reading.event_id or "",
        )

    def reading(self) -> Reading:
        """Raises BadInputError naming the field."""
        label = " ".join(self.label.split())
        if not label.isprintable():
            raise BadInputError(_WORDS["label"], field="label")
        wanted: dict[str, Any] = {
            "label": label,
            **{name: getattr(self, name).strip() or None for name in ("record", "at", "type", "gone")},
            "event_id": self.known_by.strip() or None,
            "key": self.key.strip(),
            "only": _listed(self.only),
            "gone_when": _listed(self.gone_when),
        }
        if wanted["gone"] and not wanted["gone_when"]:
            raise BadInputError("Say by which values a deletion is told.", field="gone_when")
        if wanted["gone_when"] and not wanted["gone"]:
            raise BadInputError("Say where these values stand.", field="gone")
        if wanted["only"] and not wanted["type"]:
            raise BadInputError("Say where the type stands.", field="type")
        try:
            return msgspec.convert(wanted, Reading)
        except (msgspec.ValidationError, ValueError) as error:
            named = re.search(r"\$\.([a-z_]+)", str(error))
            field = {"event_id": "known_by"}.get(named[1], named[1]) if named else "key"
            field = field if field in _WORDS else "key"
            raise BadInputError(_WORDS[field], field=field) from error


def _listed(text: str) -> list[str]:
    return [one for one in (part.strip() for part in text.split(",")) if one]
