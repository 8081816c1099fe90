"""What the demo's processes share: made-up secrets in one private file of the data folder."""

import os
import secrets
from pathlib import Path

import msgspec

from trunkline.kernel.settings import Settings

CLIENT_ID = "trunkline-demo"


class DemoSecrets(msgspec.Struct, kw_only=True):
    member_password: str
    staff_password: str
    client_secret: str
    """Of Trunkline's registration at every simulator."""
    api_key: str = ""
    """Of the demo product; made by the seed."""
    hooks: dict[str, str] = {}
    """Connector -> address of its app's webhooks, as one would enter it at the provider; made by the seed."""


def demo_secrets(settings: Settings) -> DemoSecrets:
    """Made at first use."""
    path = _path(settings)
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=DemoSecrets)
    made = DemoSecrets(
        member_password=_password(), staff_password=_password(), client_secret=secrets.token_urlsafe(24)
    )
    keep(settings, made)
    return made


def keep(settings: Settings, values: DemoSecrets) -> None:
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(values))
    fresh.replace(path)


def _path(settings: Settings) -> Path:
    return settings.data / "sandbox" / "demo.json"


def _password() -> str:
    """Four groups that can be read aloud; 64 bits."""
    text = secrets.token_hex(8)
    return "-".join(text[start : start + 4] for start in range(0, 16, 4))
