"""Our cookies: host-bound and Secure on https, hidden from scripts, not sent with other sites' forms."""

import re
from typing import Literal
from urllib.parse import quote, unquote

import msgspec
from litestar.datastructures import Cookie

from trunkline.kernel.settings import Settings

Tone = Literal["neutral", "info", "success", "warning", "danger"]

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_FLASH_SECONDS = 60
STEP_SECONDS = 600
"""How long a sign-in may stay half done."""
BROWSER_SECONDS = 180 * 86400
"""How long a browser is known after it signed in."""


class Note(msgspec.Struct, frozen=True):
    """One message to show on the next page."""

    text: str
    tone: Tone = "success"


def session_name(settings: Settings) -> str:
    return _name(settings, "trunkline_session")


def form_name(settings: Settings) -> str:
    """Cookie of the token that protects forms before anybody is signed in."""
    return _name(settings, "trunkline_form")


def flash_name(settings: Settings) -> str:
    return _name(settings, "trunkline_flash")


def step_name(settings: Settings) -> str:
    """Cookie of a sign-in half done."""
    return _name(settings, "trunkline_step")


def browser_name(settings: Settings) -> str:
    """Cookie of a browser that has signed in before."""
    return _name(settings, "trunkline_browser")


def _name(settings: Settings, name: str) -> str:
    return f"__Host-{name}" if settings.secure else name


def secret_in(value: str | None) -> str | None:
    """The value if it has the shape of one that we make."""
    return value if value and _SECRET.fullmatch(value) else None


def session_cookie(settings: Settings, value: str) -> Cookie:
    """Ends with the browser; the server ends it earlier."""
    return _cookie(settings, session_name(settings), value)


def no_session_cookie(settings: Settings) -> Cookie:
    return _cookie(settings, session_name(settings), "", 0)


def form_cookie(settings: Settings, value: str) -> Cookie:
    return _cookie(settings, form_name(settings), value)


def step_cookie(settings: Settings, value: str) -> Cookie:
    return _cookie(settings, step_name(settings), value, STEP_SECONDS)


def no_step_cookie(settings: Settings) -> Cookie:
    return _cookie(settings, step_name(settings), "", 0)


def browser_cookie(settings: Settings, value: str) -> Cookie:
    return _cookie(settings, browser_name(settings), value, BROWSER_SECONDS)


def flash_cookie(settings: Settings, text: str, tone: Tone = "success") -> Cookie:
    """Add to a redirect: the next page shows `text` (at most 500 characters) once."""
    note = quote(msgspec.json.encode(Note(text[:500], tone)), safe="")
    return _cookie(settings, flash_name(settings), note, _FLASH_SECONDS)


def no_flash_cookie(settings: Settings) -> Cookie:
    return _cookie(settings, flash_name(settings), "", 0)


def read_flash(value: str | None) -> tuple[Note, ...]:
    if not value or len(value) > 4000:
        return ()
    try:
        return (msgspec.json.decode(unquote(value), type=Note),)
    except (msgspec.MsgspecError, UnicodeError):
        return ()


def _cookie(settings: Settings, name: str, value: str, age: int | None = None) -> Cookie:
    return Cookie(
        key=name, value=value, max_age=age, path="/", secure=settings.secure, httponly=True, samesite="lax"
    )
