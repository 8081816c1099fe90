"""Past holes of Litestar and Authlib (and joserfc below it) that touch what we use: each stays closed here.

Sources: the projects' advisories. Those of parts that we do not use are held by `test_parts_that_had_holes_are
_not_used`: whoever begins to use one meets its name here. Forged ID tokens (CVE-2016-10555 and CVE-2024-37568
algorithm confusion, CVE-2025-59420 `crit`, CVE-2025-61920 oversized segments, CVE-2026-27962 `jwk` in the header,
CVE-2026-28498 `at_hash` with an unknown algorithm, CVE-2026-28802 `alg: none`) are tried whole, against a real
provider, in test_single_sign_on.py; here the library is asked directly.
"""

import ast
import base64
import hashlib
import hmac
import time
from pathlib import Path

import pytest
from authlib.oidc.core import CodeIDToken
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey, RSAKey
from joserfc.jws import JWSRegistry
from oidc_provider import key, part

import trunkline
import trunkline_tenants
import trunkline_ui
from trunkline.web import BODY_LIMIT
from trunkline_tenants.oidc import ALGORITHMS
from trunkline_tenants.throttle import LIMITS

ADA = "ada@globex.example"

NOT_USED = {
    "litestar.static_files": "CVE-2024-32982: paths out of the folder",
    "litestar.middleware.rate_limit": "CVE-2025-59152: X-Forwarded-For made a new bucket",
    "litestar.middleware.allowed_hosts": "CVE-2026-25479: host patterns read as expressions; X-Forwarded-Host",
    "litestar.config.cors": "CVE-2026-25478: origins read as expressions",
    "litestar.stores.file": "CVE-2026-25480: keys that fold into one another",
    "litestar.middleware.session": "session ids adopted from the browser and never rotated",
    "litestar.config.csrf": "the double-submit cookie; ours is bound to the session",
    "authlib.jose": "CVE-2025-62706 zip bombs, CVE-2026-28490 RSA1_5: the deprecated half of Authlib",
    "authlib.integrations.starlette_client": "CVE-2025-68158: state kept in a cache, bound to no browser",
    "authlib.oauth2.rfc6749.authorization_server": "redirects to an unvalidated redirect_uri",
    "joserfc.jwe": "RSA1_5, PBES2 with the attacker's count, zip",
}


def test_parts_that_had_holes_are_not_used() -> None:
    used = set()
    for package in (trunkline, trunkline_tenants, trunkline_ui):
        for folder in package.__path__:
            for path in Path(folder).rglob("*.py"):
                for node in ast.walk(ast.parse(path.read_text())):
                    if isinstance(node, ast.Import):
                        used |= {alias.name for alias in node.names}
                    elif isinstance(node, ast.ImportFrom) and node.module:
                        used |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    assert "authlib.oidc.core" in used  # the walk sees something
    found = {name for name in used for bad in NOT_USED if name == bad or name.startswith(f"{bad}.")}
    assert found == set()


# Litestar


async def test_cve_2024_32982_no_path_leaves_the_static_files(client) -> None:
    for path in (
        "/static/../../pyproject.toml",
        "/static/x/..%2f..%2f..%2fpyproject.toml",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/x/\\..\\..\\etc\\passwd",
        "/static/x/tokens.css%00.html",
    ):
        answer = await client.get(path)
        assert answer.status_code == 404, path
        assert "root:" not in answer.text


async def test_cve_2025_59152_a_forged_address_makes_no_new_counter(client, browser) -> None:
    for number in range(LIMITS["pair"]):
        client.headers["x-forwarded-for"] = f"198.51.100.{number}"
        client.headers["forwarded"] = f"for=198.51.100.{number}"
        client.headers["x-real-ip"] = f"198.51.100.{number}"
        assert (await browser.sign_in(client, ADA, "wrong password")).status_code == 401
    client.headers["x-forwarded-for"] = "203.0.113.1"
    assert (await browser.sign_in(client, ADA)).status_code == 429


async def test_cve_2024_52581_a_form_of_many_parts_is_refused(client, browser) -> None:
    """CVE-2023-25578 and CVE-2024-52581: memory and time by the number of parts, not of bytes."""
    await browser.sign_in(client, ADA)
    token = await browser.csrf(client)
    piece = b'--b\r\ncontent-disposition: form-data; name="x"\r\n\r\n\r\n'
    body = piece * (BODY_LIMIT // len(piece) - 10) + b"--b--\r\n"
    answer = await client.post(
        "/portal/files",
        content=body,
        headers={"content-type": "multipart/form-data; boundary=b", "x-csrf-token": token},
    )
    assert answer.status_code in {400, 413}


async def test_cve_2026_25479_the_host_header_decides_nothing(client, browser) -> None:
    """Neither where a redirect leads nor what an origin is compared with."""
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    answer = await client.get("/portal", headers=headers)
    assert answer.headers["location"] == "/login?next=/portal"
    assert "evil.example" not in (await client.get("/login", headers=headers)).text
    await browser.sign_in(client, ADA)
    token = await browser.csrf(client)
    forged = await client.post(
        "/portal/notes",
        data={"text": "x", "csrf_token": token},
        headers={**headers, "origin": "http://evil.example"},
    )
    assert forged.status_code == 403


async def test_cve_2026_25478_no_origin_may_read_an_answer(client) -> None:
    for origin in ("https://evil.example", "http://testserver.local", "null"):
        for method in ("GET", "OPTIONS"):
            headers = {"origin": origin, "access-control-request-method": "POST"}
            answer = await client.request(method, "/v1/whoami", headers=headers)
            assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_cve_2026_25480_addresses_that_fold_alike_share_no_answer(client, browser) -> None:
    """Nothing is cached by the server: K (Kelvin) and K are two addresses, each looked at anew."""
    assert (await client.get("/static/x/to\N{KELVIN SIGN}ens.css")).status_code == 404
    assert (await client.get("/static/x/tokens.css")).status_code == 200
    await browser.sign_in(client, ADA)
    assert (await client.get("/portal")).headers["cache-control"] == "no-store"


async def test_a_cookies_value_never_reaches_a_page_unescaped(client) -> None:
    """A framework's own form token, put into a page as the cookie brought it, was script."""
    evil = '"><script>alert(1)</script>'
    for name in ("trunkline_form", "trunkline_flash", "trunkline_session", "trunkline_step", "theme"):
        client.cookies.set(name, evil.replace('"', "%22").replace("<", "%3C"))
    page = await client.get("/login")
    assert page.status_code == 200
    assert "alert(1)" not in page.text


# Authlib and joserfc, asked directly


def _signed(header: dict[str, object], secret: bytes) -> str:
    head = f"{part(header)}.{part({'sub': 'ada'})}"
    mac = hmac.new(secret, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _decode(token: str) -> jwt.Token:
    keys = KeySet([RSAKey.import_key(key("first").as_dict(private=False))])
    return jwt.decode(token, key=keys, registry=JWSRegistry(algorithms=list(ALGORITHMS)))


def test_the_pinned_algorithms_are_of_key_pairs_only() -> None:
    assert set(ALGORITHMS) <= {"RS256", "PS256", "ES256", "EdDSA"}


def test_cve_2024_37568_a_public_key_is_no_shared_secret() -> None:
    public = key("first").as_pem(private=False)
    for algorithm in ("HS256", "HS384", "HS512"):
        with pytest.raises(JoseError):
            _decode(_signed({"alg": algorithm, "kid": "first"}, public))
    with pytest.raises((JoseError, ValueError)):
        OctKey.import_key(public)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None])
def test_cve_2026_28802_no_signature_is_no_token(algorithm) -> None:
    with pytest.raises((JoseError, ValueError, TypeError)):
        _decode(f"{part({'alg': algorithm, 'kid': 'first'})}.{part({'sub': 'ada'})}.")


def test_cve_2026_27962_a_key_in_the_header_is_not_believed() -> None:
    own = RSAKey.generate_key(2048)
    token = jwt.encode({"alg": "RS256", "jwk": own.as_dict(private=False)}, {"sub": "ada"}, own)
    with pytest.raises(JoseError):
        _decode(token)


def test_cve_2025_59420_an_unknown_critical_header_is_refused() -> None:
    header = {"alg": "RS256", "kid": "first", "crit": ["bork"], "bork": True}
    head = f"{part(header)}.{part({'sub': 'ada'})}"
    mac = key("first").private_key.sign(head.encode(), PKCS1v15(), SHA256())
    with pytest.raises(JoseError):
        _decode(f"{head}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}")
    plain = f"{part({'alg': 'RS256', 'kid': 'first'})}.{part({'sub': 'ada'})}"
    mac = key("first").private_key.sign(plain.encode(), PKCS1v15(), SHA256())
    assert _decode(f"{plain}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}").claims == {"sub": "ada"}


def test_cve_2026_28498_an_unknown_algorithm_binds_no_access_token() -> None:
    moment = int(time.time())
    claims = {"iss": "i", "sub": "s", "aud": "c", "iat": moment, "exp": moment + 60, "at_hash": "anything"}
    for algorithm in ("CUSTOM", "RS256"):
        token = CodeIDToken(claims, {"alg": algorithm}, {}, {"client_id": "c", "access_token": "a"})
        with pytest.raises(JoseError):
            token.validate()
