"""What an installation can be told, read once from the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self, get_type_hints
from urllib.parse import urlsplit

import msgspec

PREFIX = "TRUNKLINE_"

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=86400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1000)]

SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "valkey_url": ("redis", "rediss", "unix"),
    "public_url": ("http", "https"),
    "sandbox_url": ("http", "https"),
    "product_url": ("http", "https"),
    "oidc_issuer": ("http", "https"),
}


class SettingsError(Exception):
    """A setting that cannot be used; the message names it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, each `TRUNKLINE_<NAME IN CAPITALS>` in the environment."""

    data: Path = Path(".trunkline")
    """Folder of the embedded servers, the wrapping key file and logs."""
    env: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: Port = 8700
    public_url: str = ""
    """Origin under which browsers reach the web process; default http://host:port."""
    database_url: str = ""
    """postgresql://user:password@host:port/name; empty: the embedded server's."""
    valkey_url: str = ""
    """redis://..., or unix:///path; empty: the embedded server's."""
    key_file: Path | None = None
    """Wrapping key of the local key provider; default <data>/wrapping.key."""
    key_provider: Literal["local-file", "environment", "aws-kms"] = "local-file"
    """Who wraps the tenants' data keys."""
    wrapping_keys: str = ""
    """Of the key provider `environment`: "name:base64,name:base64", the first wraps."""
    kms_key: str = ""
    """Of the key provider `aws-kms`: id, ARN or alias."""
    kms_endpoint: str = ""
    tenant_keys: Path | None = None
    """Folder of the tenants' own keys, seen by every process; default beside the wrapping key file."""
    audit_key: Path | None = None
    """Signs the heads of audit logs; default <data>/audit.key."""
    audit_heads: Path | None = None
    """Where a worker appends signed heads; default <data>/audit-heads.jsonl. Copy it to another machine."""
    sandbox_url: str = ""
    """Origin of the sandbox. Set: connectors talk to it and plain http to it is allowed."""
    product_url: str = ""
    """Origin of the demo product page (sandbox only)."""
    sandbox_connectors: str = ""
    """Folders of partners' connectors that the sandbox simulates too, their code included; with ":" between
    (";" on Windows)."""
    sandbox_port: Port = 8701
    product_port: Port = 8702
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    access_log: bool = False
    """A line for every request; off because the reverse proxy in front usually writes one."""
    check_seconds: Seconds = 30
    """How often an otherwise idle connection's grant is verified."""
    worker_jobs: Count = 10
    """Work items that one worker process runs at a time."""
    lease_seconds: Seconds = 15
    heartbeat_seconds: Seconds = 5
    staff_second_factor: bool = False
    """Whether staff must set up a second factor before they see the console."""
    oidc_issuer: str = ""
    """Issuer of an OpenID Connect provider, exactly as it names itself; empty: no single sign-on."""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_domains: str = ""
    """E-mail domains whose accounts may sign in by it, with commas between."""
    oidc_name: str = "single sign-on"
    """What the sign-in page calls it: "Continue with ..."."""
    shutdown_seconds: Seconds = 4
    """How long open requests and running work may take to end after SIGTERM."""

    @property
    def origin(self) -> str:
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"

    @property
    def sandbox_folders(self) -> list[Path]:
        return [Path(one) for one in self.sandbox_connectors.split(os.pathsep) if one]

    @property
    def secure(self) -> bool:
        """Whether cookies may carry Secure and the __Host- prefix."""
        return self.origin.startswith("https://")

    @property
    def wrapping_key_file(self) -> Path:
        return self.key_file or self.data / "wrapping.key"

    @property
    def tenant_key_folder(self) -> Path:
        return self.tenant_keys or self.wrapping_key_file.with_name(f"{self.wrapping_key_file.name}.tenants")

    @property
    def audit_key_file(self) -> Path:
        return self.audit_key or self.data / "audit.key"

    @property
    def audit_head_file(self) -> Path:
        return self.audit_heads or self.data / "audit-heads.jsonl"

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Environment first, then overrides; raises SettingsError naming the variable."""
        hints = get_type_hints(cls, include_extras=True)
        values: dict[str, object] = {}
        for field in cls.__struct_fields__:
            given = overrides.get(field, os.environ.get(variable(field)))
            if given is None or given == "":
                continue
            try:
                values[field] = msgspec.convert(given, hints[field], strict=False, dec_hook=_decode)
            except msgspec.ValidationError as error:
                raise SettingsError(f"{variable(field)} cannot be used: {error}.") from error
            _check_scheme(field, values[field])
        return msgspec.convert(values, cls, strict=False, dec_hook=_decode)

    @staticmethod
    def unknown() -> list[str]:
        """TRUNKLINE_ variables that mean nothing, most likely misspelt."""
        known = {variable(field) for field in Settings.__struct_fields__}
        return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def variable(field: str) -> str:
    return PREFIX + field.upper()


def _check_scheme(field: str, value: object) -> None:
    """The value itself is not repeated: it may hold a password."""
    schemes = SCHEMES.get(field)
    if schemes and urlsplit(str(value)).scheme not in schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        raise SettingsError(f"{variable(field)} cannot be used: it must begin with {wanted}.")


def _decode(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value)).expanduser()
    raise NotImplementedError(kind)
