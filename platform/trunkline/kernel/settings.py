"""What an installation can be told, read once from the environment."""

import os
from pathlib import Path
from typing import Literal

import msgspec


class SettingsError(Exception):
    """A setting that cannot be used; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, each `TRUNKLINE_<NAME IN CAPITALS>` in the environment."""

    data: Path = Path(".trunkline")
    """Folder of the embedded servers, the wrapping key file and logs."""
    env: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = 8700
    public_url: str = ""
    """Origin under which browsers reach the web process; default http://host:port."""
    database_url: str = ""
    """postgresql://user:password@host:port/name; empty: the embedded server's."""
    valkey_url: str = ""
    """redis://..., or unix:///path; empty: the embedded server's."""
    key_file: Path | None = None
    """Wrapping key of the local key provider; default <data>/wrapping.key."""
    sandbox_url: str = ""
    """Origin of the sandbox. Set: connectors talk to it and plain http to it is allowed."""
    product_url: str = ""
    """Origin of the demo product page (sandbox only)."""
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    check_seconds: int = 30
    """How often an otherwise idle connection's grant is verified."""
    worker_jobs: int = 10
    """Work items that one worker process runs at a time."""
    lease_seconds: int = 15
    heartbeat_seconds: int = 5

    @property
    def origin(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"

    @property
    def secure(self) -> bool:
        """Whether cookies may carry Secure and the __Host- prefix."""
        return self.origin.startswith("https://")

    @property
    def wrapping_key_file(self) -> Path:
        return self.key_file or self.data / "wrapping.key"

    @classmethod
    def load(cls, **overrides: object) -> "Settings":
        """Environment first, then overrides; raises SettingsError naming the variable."""
        given = {
            field: os.environ[name]
            for field in cls.__struct_fields__
            if (name := f"TRUNKLINE_{field.upper()}") in os.environ
        }
        try:
            return msgspec.convert({**given, **overrides}, cls, strict=False, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise SettingsError(f"A TRUNKLINE_ setting cannot be used: {error}") from error


def _decode(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value)).expanduser()
    raise NotImplementedError(kind)
