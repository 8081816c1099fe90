"""What a move by hand means: refused where it would mean something else, and when access is asked for anew."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from trunkline.kit.scaffolding import scaffold
from trunkline.packages.moving import step
from trunkline.sdk.manifest import ApiKey, Basic, Manifest, OAuth2, Webhooks, load_manifest
from trunkline.sdk.webhooks import Event

put = msgspec.structs.replace
Edit = Callable[[Manifest], Manifest]
SIGNED_IN = OAuth2(
    authorize_url="https://login.acme.example/a", token_url="https://login.acme.example/t", scopes=("read",)
)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    into = tmp_path_factory.mktemp("acme")
    scaffold("acme", into)
    return load_manifest(into / "acme" / "manifest.toml")


def newer(manifest: Manifest, **values: Any) -> Manifest:
    return put(manifest, version="2.0.0", **values)


def hooks(owner: str, keyed_by: str) -> Webhooks:
    return Webhooks(
        owner=owner,  # type: ignore[arg-type]
        keyed_by=keyed_by,  # type: ignore[arg-type]
        signatures=("stripe",),
        account="account",
        type="type",
        kinds=(Event(type="*", stream="contacts", ids=("id",), document=""),),
    )


def auth(manifest: Manifest) -> ApiKey:
    assert isinstance(manifest.auth, ApiKey)
    return manifest.auth


REFUSED: dict[str, tuple[Edit, Edit, str]] = {
    "accounts told apart otherwise": (
        lambda one: one,
        lambda one: put(one, account=put(one.account, source="token")),
        "tells accounts apart",
    ),
    "records dated otherwise": (
        lambda one: one,
        lambda one: put(one, streams=(put(one.streams[0], modified="at"),)),
        "dates contacts in another way",
    ),
    "another kind of access": (lambda one: one, lambda one: put(one, auth=Basic()), "gave access is gone"),
    "the way gone": (
        lambda one: put(one, auth=put(auth(one), key="old")),
        lambda one: put(one, auth=put(auth(one), key="new")),
        "gave access is gone",
    ),
    "webhooks of somebody else": (
        lambda one: put(one, webhooks=hooks("connection", "us")),
        lambda one: put(one, webhooks=hooks("client", "client")),
        "belong to somebody else",
    ),
    "a sign-in that must know more": (
        lambda one: put(one, auth=SIGNED_IN),
        lambda one: put(one, auth=put(SIGNED_IN, inputs=auth(one).inputs[:1])),
        "must know more of the account",
    ),
}
ACCESS: dict[str, tuple[Edit, Edit, bool]] = {
    "a host more": (lambda one: one, lambda one: put(one, hosts=(*one.hosts, "b.acme.example")), True),
    "a host less": (
        lambda one: put(one, hosts=(*one.hosts, "b.acme.example")),
        lambda one: one,
        False,
    ),
    "another base": (
        lambda one: one,
        lambda one: put(one, base_url="https://{subdomain}.acme.example:1"),
        True,
    ),
    "the key in another header": (
        lambda one: one,
        lambda one: put(one, auth=put(auth(one), headers={"x-key": "{api_key}"})),
        True,
    ),
    "a scope more": (
        lambda one: put(one, auth=SIGNED_IN),
        lambda one: put(one, auth=put(SIGNED_IN, scopes=("read", "write"))),
        True,
    ),
    "a scope less": (
        lambda one: put(one, auth=put(SIGNED_IN, scopes=("read", "write"))),
        lambda one: put(one, auth=SIGNED_IN),
        False,
    ),
    "words": (lambda one: one, lambda one: put(one, label="Acme CRM"), False),
    "a stream less": (lambda one: one, lambda one: put(one, streams=()), False),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_reading_anew_can_mend_is_refused(acme: Manifest, name: str) -> None:
    before, after, words = REFUSED[name]
    old, base = before(acme), newer(acme)
    new = put(after(base), version="2.0.0")
    found = step(old, new, {}, ["read"], [old, new])
    assert words in found.refusal
    assert "Connect the account anew" in found.refusal


@pytest.mark.parametrize("name", ACCESS)
def test_access_is_asked_for_where_it_would_be_used_otherwise(acme: Manifest, name: str) -> None:
    before, after, asked = ACCESS[name]
    old, new = before(acme), put(after(newer(acme)), version="2.0.0")
    held = sorted(set(old.auth.scopes))
    found = step(old, new, {}, held, [old, new])
    assert found.refusal == ""
    assert found.reconnect == asked
    assert found.version == "2.0.0"


def test_not_where_it_goes_by_itself_nor_whence_it_would_come_back(acme: Manifest) -> None:
    later = put(acme, version="0.1.9")
    assert "by itself" in step(acme, later, {}, [], [acme, later]).refusal
    assert "move on to 0.1.9 by itself" in step(later, acme, {}, [], [acme, later]).refusal
    # once the later one may not be connected any more, it stays where it was moved back to
    assert step(later, acme, {}, [], [acme]).refusal == ""
