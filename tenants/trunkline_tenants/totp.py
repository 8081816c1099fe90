"""One-time codes (RFC 6238: SHA-1, six digits, 30 seconds, as every app knows them) and recovery codes."""

import base64
import hashlib
import io
import re
import secrets

import pyotp
import segno

DIGITS = 6
PERIOD = 30
WINDOW = 1
"""Steps before and after now that are taken: clocks differ, and people type slowly (RFC 6238, 5.2)."""

RECOVERY_CODES = 10
_RECOVERY_BYTES = 10
"""80 bits, 16 characters: nobody guesses one, so an unsalted hash of it suffices."""


def new_totp_secret() -> str:
    """160 bits in base 32, the length that RFC 4226 recommends."""
    return pyotp.random_base32(32)


def matching_step(secret: str, code: str, at: float) -> int | None:
    """The time step whose code this is, None for a wrong one. Every step of the window is compared."""
    code = re.sub(r"[\s-]", "", code)
    if not re.fullmatch(r"[0-9]{6}", code, re.ASCII):
        return None
    found = None
    clock = pyotp.TOTP(secret, digits=DIGITS, interval=PERIOD)
    current = int(at) // PERIOD
    for step in range(current - WINDOW, current + WINDOW + 1):
        if secrets.compare_digest(clock.generate_otp(step), code):
            found = step
    return found


def provisioning_uri(secret: str, account: str) -> str:
    """otpauth:// address, which an authenticator app reads from a QR code. It holds the secret."""
    return pyotp.TOTP(secret, digits=DIGITS, interval=PERIOD).provisioning_uri(
        name=account, issuer_name="Trunkline"
    )


def qr_svg(text: str) -> str:
    """A picture of `text`: one <svg>, black on white in either theme, without style attributes."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", scale=4, border=4, dark="#000", light="#fff", xmldecl=False, svgns=False, nl=False,
        title="QR code for an authenticator app", omitsize=True,
    )  # fmt: skip
    return out.getvalue().decode()


def new_recovery_codes() -> list[str]:
    """Ten of them, each like `abcd-efgh-ijkl-mnop`."""
    return [_grouped(secrets.token_bytes(_RECOVERY_BYTES)) for _ in range(RECOVERY_CODES)]


def recovery_hash(code: str) -> bytes | None:
    """None for what no call of new_recovery_codes can have made; case, spaces and hyphens do not matter."""
    code = re.sub(r"[\s-]", "", code).lower()
    if not re.fullmatch(r"[a-z2-7]{16}", code, re.ASCII):
        return None
    return hashlib.sha256(f"trunkline recovery {code}".encode()).digest()


def _grouped(raw: bytes) -> str:
    text = base64.b32encode(raw).decode().lower()
    return "-".join(text[index : index + 4] for index in range(0, len(text), 4))
