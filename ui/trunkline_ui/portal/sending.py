"""How a customer's own system sends an event: to be copied, and run by the tests."""

from typing import Final

import msgspec


class Way(msgspec.Struct, frozen=True):
    name: str
    hint: str
    code: str


_EVENT: Final = (
    '{"type": "customer.updated", "timestamp": "2026-01-31T09:30:00Z", '
    '"data": {"id": "1001", "email": "ada@example.com", "first_name": "Ada", "last_name": "Byron"}}'
)

_SHELL: Final = """\
secret=… # without its beginning, whsec_
url={url}
id=msg_$(date +%s%N)
at=$(date +%s)
body='{event}'
key=$(printf %s "$secret" | base64 -d | od -An -v -tx1 | tr -d ' \\n')
signature=$(printf '%s.%s.%s' "$id" "$at" "$body" \\
  | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)
curl --fail-with-body "$url" \\
  -H 'content-type: application/json' \\
  -H "webhook-id: $id" -H "webhook-timestamp: $at" -H "webhook-signature: v1,$signature" \\
  --data-binary "$body"
"""

_PYTHON: Final = """\
import base64, hashlib, hmac, os, time, urllib.request, uuid

url = "{url}"
secret = os.environ["SYSTEM_SECRET"]  # whsec_...
body = b'{event}'

sent, at = f"msg_{{uuid.uuid4().hex}}", str(int(time.time()))
key = base64.b64decode(secret.removeprefix("whsec_"))
signed = hmac.new(key, f"{{sent}}.{{at}}.".encode() + body, hashlib.sha256).digest()
headers = {{
    "content-type": "application/json",
    "webhook-id": sent,
    "webhook-timestamp": at,
    "webhook-signature": "v1," + base64.b64encode(signed).decode(),
}}
request = urllib.request.Request(url, body, headers)
print(urllib.request.urlopen(request, timeout=15).status)
"""


def ways(url: str) -> list[Way]:
    """Each signs as Standard Webhooks has it. The address holds no sign that a shell or Python would read."""
    return [
        Way("curl", "For a POSIX shell with OpenSSL and curl.", _SHELL.format(url=url, event=_EVENT)),
        Way("Python", "Needs nothing beside Python.", _PYTHON.format(url=url, event=_EVENT)),
    ]
