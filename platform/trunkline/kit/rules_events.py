"""Rules of webhooks: what is signed as the manifest says is proven, and nothing else is."""

import base64
from typing import Final

from trunkline.kit.suite import Bench, ExemptError, must, rule
from trunkline.sdk.signatures import Signature, resolve
from trunkline.webhooks.signatures import Delivery, Scheme, Verdict

SECRET: Final = "whsec_kit-secret-of-thirty-two-bytes"  # noqa: S105 - signs in this process only
URL: Final = "https://kit.test/hooks/in/kit"
BODY: Final = b'{"id":"evt_1","text":"as it stands"}'
_LATE: Final = 3601
"""Seconds: more than the widest window that a manifest may name."""


@rule("signatures", "A delivery is proven by its signature, and a changed or late one is refused")
async def signatures(bench: Bench) -> str:
    hooks = bench.manifest.webhooks
    if hooks is None:
        raise ExemptError("the manifest declares no webhooks")
    at = bench.harness().clock.now().timestamp()
    for number, given in enumerate(hooks.signatures):
        spec = resolve(given)
        name = given if isinstance(given, str) else f"signature {number + 1}"
        scheme, key, other = Scheme(spec), _key(spec, SECRET), _key(spec, SECRET[::-1])
        headers = scheme.sign(key, method="POST", url=URL, body=BODY, at=at, identity="msg_1")

        def tried(
            body: bytes = BODY,
            when: float = at,
            with_key: bytes = key,
            scheme: Scheme = scheme,
            headers: dict[str, str] = headers,
        ) -> Verdict:
            lower = {title.lower(): value for title, value in headers.items()}
            return scheme.verify([with_key], Delivery("POST", URL, lower, body), when)

        must(tried().ok, f"{name}: what it signs itself is refused: {tried().outcome}.")
        must(not tried(with_key=other).ok, f"{name}: another secret proves a delivery as well.")
        must(not scheme.verify([key], Delivery("POST", URL, {}, BODY), at).ok, f"{name}: unsigned is taken.")
        if spec.kind != "static":
            must(not tried(body=BODY + b" ").ok, f"{name}: a changed body is taken.")
        if spec.timestamp is not None and spec.timestamp.unit != "text":
            must(tried(when=at + _LATE).outcome == "stale", f"{name}: a delivery of an hour ago is taken.")
    return f"{len(hooks.signatures)} proven; changed, late and wrongly signed ones refused"


def _key(spec: Signature, secret: str) -> bytes:
    plain = secret.encode()
    return plain if spec.key == "text" else base64.b64encode(plain)
