"""What holds for every route, found in the application's own table: headers, policy, forged requests.

A route added later is walked without anybody listing it; an exception is named here, with its reason.
"""

import re
from datetime import timedelta
from html.parser import HTMLParser
from uuid import uuid4

import pytest
from sqlalchemy import insert

from trunkline.access.models import ConnectSession
from trunkline.kernel.clock import now
from trunkline.kernel.settings import Settings
from trunkline.web import _set_headers

ORIGIN = "https://trunkline.test"
ADA, CHIEF = "ada@globex.example", "chief@trunkline.example"

# unsafe routes that ask for no token, and why nobody else's page can use them
WITHOUT_TOKEN = {
    "/widget/sessions/{session_id}/redeem": "proved by the connect session's one-time token in the body",
    "/widget/sessions/{session_id}/status": "proved by the frame's key in the body; no cookie is read",
    "/widget/sessions/{session_id}/authorize": "proved by the frame's key in the body; no cookie is read",
}
WIDGET_BODY = {
    "redeem": {"json": {"token": "x"}},
    "status": {"json": {"frame_key": "x"}},
    "authorize": {"data": {"frame_key": "x", "connector": "hubspot", "nonce": "n" * 22}},
}
OTHERS = ("https://evil.example", "https://trunkline.test.evil.example", "http://trunkline.test", "null")


class Markup(HTMLParser):
    """What a strict policy has no room for, and the nonces of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.nonces: set[str] = set()
        self.in_script = False

    def handle_starttag(self, tag, attrs) -> None:
        given = dict(attrs)
        if tag == "script":
            self.in_script = True
            self.nonces.add(given.get("nonce") or "")
            if not given.get("src"):
                self.faults.append("a script in the page")
        if tag == "style":
            self.faults.append("a style sheet in the page")
        for name, value in attrs:
            if name.startswith("on") or name in {"style", "srcdoc", "hx-on", "hx-vals", "hx-vars"}:
                self.faults.append(f"{tag} {name}={value}")
            if (value or "").strip().lower().startswith(("javascript:", "data:text")):
                self.faults.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag) -> None:
        self.in_script = self.in_script and tag != "script"

    def handle_data(self, data) -> None:
        if self.in_script and data.strip():
            self.faults.append(f"script text {data[:40]}")


def policy_of(answer) -> dict[str, list[str]]:
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";")]
    return {part[0]: part[1:] for part in parts if part}


def check(answer, where: str, *, framed: bool = False, embedded: bool = False) -> str:
    """The response's nonce, "" where it has no scripts."""
    headers, policy = answer.headers, policy_of(answer)
    text = headers["content-security-policy"]
    assert "unsafe" not in text, where
    assert "*" not in text, where
    assert policy["default-src"] == ["'none'"], where
    assert policy["base-uri"] == ["'none'"], where
    assert "form-action" in policy, where
    if not framed:
        assert policy["frame-ancestors"] == ["'none'"], where
    scripts = policy.get("script-src", [])
    assert len(scripts) <= 1, where
    nonce = re.fullmatch(r"'nonce-([\w-]{24})'", scripts[0])[1] if scripts else ""
    assert headers["x-content-type-options"] == "nosniff", where
    assert headers["referrer-policy"] in {"same-origin", "no-referrer"}, where
    assert headers["cross-origin-opener-policy"] in {"same-origin", "unsafe-none"}, where
    assert headers["cross-origin-resource-policy"] == ("cross-origin" if embedded else "same-origin"), where
    assert "camera=()" in headers["permissions-policy"], where
    assert int(headers["strict-transport-security"].partition("max-age=")[2]) >= 31536000, where
    assert headers["cache-control"], where
    assert "server" not in headers, where
    for cookie in headers.get_list("set-cookie"):
        kept = cookie.lower()
        if cookie.startswith("theme="):
            continue  # a colour; the page's own script sets it too
        assert cookie.startswith("__Host-"), cookie
        for word in ("secure", "httponly", "samesite=lax", "path=/"):
            assert word in kept, cookie
        assert "domain=" not in kept, cookie
    if headers.get("content-type", "").startswith("text/html") and answer.text:
        markup = Markup()
        markup.feed(answer.text)
        assert markup.faults == [], where
        assert markup.nonces <= {nonce}, where
    return nonce


@pytest.mark.parametrize("who", ["nobody", ADA, CHIEF])
async def test_every_answer_has_every_header(site, who) -> None:
    client = site.browser() if who == "nobody" else (await site.signed_in(who))[0]
    nonces = []
    walked = 0
    for route in site.routes:
        if route.path == "/logout":
            continue
        answer = await client.request(route.method, route.path)
        loader = route.declared.startswith("/widget/v1.js")
        nonces.append(check(answer, f"{route.method} {route.declared}", embedded=loader))
        walked += 1
    assert walked > 60
    given = [nonce for nonce in nonces if nonce]
    assert len(given) > 15
    assert len(set(given)) == len(given)
    await client.aclose()


async def test_errors_have_them_too(site, monkeypatch) -> None:
    client, token = await site.signed_in(ADA)
    for path in (
        "/no-such-page",
        "/portal/no-such",
        "/v1/no-such",
        "/schema/no-such",
        "/%00",
        "/a/../b",
    ):
        answer = await client.get(path)
        assert answer.status_code in {401, 404}, path
        check(answer, path)
    for method, path in (
        ("PUT", "/login"),
        ("DELETE", "/portal"),
        ("PATCH", "/schema"),
        ("POST", "/healthz"),
    ):
        answer = await client.request(method, path)
        assert answer.status_code == 405
        check(answer, path)
    large = await client.post("/account/password", content=b"x" * 1_100_000, headers={"x-csrf-token": token})
    assert large.status_code in {400, 413}
    check(large, "large")
    huge = await client.post(
        "/account/password",
        content=b"current=" + b"x" * 1_100_000,
        headers={"x-csrf-token": token, "content-type": "application/x-www-form-urlencoded"},
    )
    assert huge.status_code == 413
    check(huge, "huge form")

    async def broken(*_, **__) -> None:
        raise RuntimeError("secret-in-the-exception")

    monkeypatch.setattr("trunkline_tenants.account.Account.sessions", broken)
    answer = await client.get("/account")
    assert answer.status_code == 500
    assert "secret-in" not in answer.text
    check(answer, "500")
    monkeypatch.setattr("trunkline_tenants.logins.Logins.resolve", broken)
    answer = await client.get("/portal")
    assert answer.status_code == 500
    check(answer, "500 in the middleware")
    await client.aclose()


async def test_only_the_widgets_frame_may_be_framed_and_by_its_product_only(site) -> None:
    db = await site.app.dependencies["db"]()
    directory = await site.app.dependencies["directory"]()
    tenant = await directory.tenant_by_slug("globex")
    session_id = uuid4()
    values = {
        "tenant_id": tenant.id,
        "id": session_id,
        "token_hash": b"x" * 32,
        "origin": "https://product.example",
        "expires_at": now() + timedelta(minutes=5),
    }
    needed = {
        column.name: "x"
        for column in ConnectSession.__table__.columns
        if not column.nullable and column.server_default is None and column.name not in values
    }
    if "connectors" in needed:
        needed["connectors"] = ["hubspot"]
    async with db.tenant(tenant.id) as session:
        await session.execute(insert(ConnectSession).values(**needed, **values))
    async with site.browser() as client:
        answer = await client.get(f"/widget/frame/{session_id}")
    assert answer.status_code == 200, answer.text
    assert policy_of(answer)["frame-ancestors"] == ["https://product.example"]
    check(answer, "frame", framed=True)


async def test_without_https_nothing_claims_it(site) -> None:
    headers: dict[str, str] = {}
    _set_headers(headers, {}, Settings(public_url="http://127.0.0.1:8700"), "id")
    assert "strict-transport-security" not in headers


# forged requests


def unsafe(site):
    return [
        route
        for route in site.routes
        if route.method not in {"GET", "HEAD"} and not route.path.startswith("/v1")
    ]


def forged(answer) -> bool:
    return answer.status_code == 403 and ("from another site" in answer.text or "too old" in answer.text)


async def test_every_unsafe_route_refuses_what_was_forged(site) -> None:
    found = unsafe(site)
    assert len(found) > 25
    assert set(WITHOUT_TOKEN) <= {route.declared for route in found}
    browsers = {who: await site.signed_in(who) for who in (ADA, CHIEF)}
    for route in found:
        where = f"{route.method} {route.declared}"
        client, token = browsers[CHIEF if route.path.startswith("/console") else ADA]
        own = {"origin": ORIGIN}
        right = {"x-csrf-token": token}
        for other in OTHERS:
            answer = await client.request(route.method, route.path, headers={**right, "origin": other})
            assert forged(answer), (where, other)
        answer = await client.request(
            route.method, route.path, headers={**right, "sec-fetch-site": "cross-site"}
        )
        assert answer.status_code == 403, where
        if route.declared in WITHOUT_TOKEN:
            answer = await client.request(
                route.method, route.path, **WIDGET_BODY[route.path.rpartition("/")[2]]
            )
            assert answer.status_code == 403, where
            continue
        for wrong in (
            {},
            {"x-csrf-token": ""},
            {"x-csrf-token": "x" * 43},
            {"x-csrf-token": browsers[ADA][1][::-1]},
        ):
            answer = await client.request(route.method, route.path, headers={**own, **wrong})
            assert forged(answer), (where, wrong)
    # and with both right, that is not what is wrong
    for route in found:
        if route.declared in WITHOUT_TOKEN or route.path in {"/logout", "/login"}:
            continue
        client, token = browsers[CHIEF if route.path.startswith("/console") else ADA]
        answer = await client.request(
            route.method, route.path, headers={"origin": ORIGIN, "x-csrf-token": token}
        )
        assert not forged(answer), f"{route.method} {route.declared}: {answer.text[-400:]}"
        redirects = {answer.status_code} & set(range(300, 400))
        assert redirects <= {303}, f"{route.method} {route.declared}: a browser may send the form on"
    for client, _ in browsers.values():
        await client.aclose()


async def test_signing_in_is_protected_before_there_is_a_session(site) -> None:
    async with site.browser() as client:
        for path in ("/login", "/login/code", "/ui/theme"):
            assert forged(await client.post(path, headers={"origin": ORIGIN})), path


async def test_a_session_opens_nothing_under_v1(site) -> None:
    client, token = await site.signed_in(ADA)
    walked = 0
    for route in site.routes:
        if not route.path.startswith("/v1"):
            continue
        headers = {"origin": ORIGIN, "x-csrf-token": token}
        answer = await client.request(route.method, f"{route.path}?tenant=globex", headers=headers)
        assert answer.status_code == 401, f"{route.method} {route.declared}"
        walked += 1
    assert walked > 10
    await client.aclose()
