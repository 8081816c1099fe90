"""The product's backend, as it receives our webhooks on good and bad days: it keeps all that came, and how it answered.

Lives in the provider's process, behind a proxy of its own. Signatures are checked as Standard Webhooks describes
them, without the product's own code.
"""

import base64
import hashlib
import hmac
import random

import msgspec

FAILS = 0.03
"""Of its requests on a good day, after it has looked at them."""
BUSY_SECONDS = 1


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """`positions`: of its records in the change log. `marks`: which states those are in, where they came whole."""

    path: str
    id: str
    status: int
    signed: bool
    digest: str
    type: str
    tenant: str
    subject: str
    positions: list[int]
    marks: list[str]


class Receiver:
    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"receiver:{seed}")
        self._secrets: dict[str, str] = {}
        self._left = {"receiver fails": 0, "receiver busy": 0}
        self.arrived: list[Arrival] = []

    def expect(self, path: str, secret: str) -> None:
        self._secrets[path] = secret

    def script(self, kind: str, requests: int) -> bool:
        """False: no such bad day is its own."""
        if kind not in self._left:
            return False
        self._left[kind] += requests
        return True

    def quiet(self) -> None:
        self._left = dict.fromkeys(self._left, 0)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        status, more = self._answer()
        sent = msgspec.json.decode(body)
        data = sent["data"]
        records = data.get("records", [])
        self.arrived.append(
            Arrival(
                path=path,
                id=headers.get("webhook-id", ""),
                status=status,
                signed=self._signed(path, headers, body),
                digest=hashlib.sha256(body).hexdigest(),
                type=sent["type"],
                tenant=sent["tenant"] or "",
                subject=str(data.get("connection_id", "")),
                positions=[record["position"] for record in records],
                marks=[
                    str(record["data"].get("job_title") or record["data"].get("phone") or "")
                    for record in records
                    if "data" in record
                ],
            )
        )
        return status, more

    def _answer(self) -> tuple[int, dict[str, str]]:
        for kind, answer in (
            ("receiver busy", (429, {"retry-after": str(BUSY_SECONDS)})),
            ("receiver fails", (500, {})),
        ):
            if self._left[kind] > 0:
                self._left[kind] -= 1
                return answer
        return (500, {}) if self._rng.random() < FAILS else (200, {})

    def _signed(self, path: str, headers: dict[str, str], body: bytes) -> bool:
        secret = base64.b64decode(self._secrets.get(path, "").removeprefix("whsec_"))
        told = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + body
        wanted = "v1," + base64.b64encode(hmac.new(secret, told, hashlib.sha256).digest()).decode()
        return bool(secret) and wanted in headers.get("webhook-signature", "").split()
