"""The secrets of a connect session: `<prefix>_<session id>_<256 random bits>`. Only hashes are kept."""

import hashlib
import re
import secrets
from uuid import UUID

import msgspec

TOKEN, FRAME_KEY, CODE = "cs", "fk", "cc"
_FORM = re.compile(r"(cs|fk|cc)_([0-9a-f]{32})_([A-Za-z0-9_-]{43})")


class Ticket(msgspec.Struct, frozen=True):
    value: str
    session_id: UUID

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.value.encode()).digest()

    def __repr__(self) -> str:
        return f"Ticket({self.session_id})"


def new_ticket(kind: str, session_id: UUID) -> Ticket:
    return Ticket(f"{kind}_{session_id.hex}_{secrets.token_urlsafe(32)}", session_id)


def read_ticket(kind: str, value: str) -> Ticket | None:
    """None for what has not the form of one."""
    form = _FORM.fullmatch(value)
    return Ticket(value, UUID(form[2])) if form and form[1] == kind else None
