"""A partner's `[webhooks.registration]` on the simulator that its manifest makes: made, listed, removed."""

from pathlib import Path

import pytest

from trunkline.kit.checking import check
from trunkline.kit.harness import Harness
from trunkline.kit.package import open_package
from trunkline.kit.scaffolding import scaffold
from trunkline.runs.errors import ProviderError
from trunkline.sdk.signatures import resolve
from trunkline.sdk.simulator_fixture_forms import unform
from trunkline.sdk.templates import form_pairs
from trunkline.webhooks.registrar import Registrar
from trunkline.webhooks.signatures import Delivery, Scheme

HOOKS = """
[webhooks]
owner = "connection"
keyed_by = "provider"
type = "event"
id = ["event_id"]
at = "sent_at"
signatures = [{ header = "X-Dock-Signature", prefix = "v1=", encoding = "base64", key = "base64", key_prefix = "dsec_" }]
kinds = [
  { type = "contact.deleted", stream = "contacts", ids = ["contact.id"], deleted = true },
  { type = "contact.*", stream = "contacts", ids = ["contact.id"], document = "contact" },
]

[webhooks.registration]
events = ["contact.created", "contact.changed"]
id = "hook.uid"
secret = "hook.signing.secret"
most = 4
create = { method = "POST", path = "/api/{api_version}/hooks", body = { hook = { url = "{address}", topics = "{events}" } } }
reveal = { method = "GET", path = "/api/{api_version}/hooks/{registration}/secret" }
remove = { method = "DELETE", path = "/api/{api_version}/hooks/{registration}" }

[webhooks.registration.listed]
call = { method = "GET", path = "/api/{api_version}/hooks", query = { after = "{cursor}" } }
records = "hooks"
id = "uid"
address = "target.url"
works = { pointer = "state", equals = ["on"] }
next = "after"
"""
BASIC = """
[webhooks]
owner = "connection"
keyed_by = "us"
type = "event"
id = ["event_id"]
signatures = [{ kind = "static", header = "Authorization", prefix = "Basic ", encoding = "base64" }]
kinds = [{ type = "contact.*", stream = "contacts", ids = ["contact.id"], document = "contact" }]

[webhooks.registration]
id = "id"
create = { method = "POST", path = "/api/{api_version}/hooks", form = true, body = { url = "{address}", auth = { user = "{user}", pass = "{password}" } } }
listed = { call = { method = "GET", path = "/api/{api_version}/hooks" }, records = "", address = "url" }
remove = { method = "POST", path = "/api/{api_version}/hooks/end", body = { id = "{registration}" } }
"""
ADDRESS = "https://ours.example/hooks/dock/one"


def made(tmp_path: Path, hooks: str) -> Harness:
    scaffold("dock", tmp_path)
    manifest = tmp_path / "dock" / "manifest.toml"
    manifest.write_text(manifest.read_text() + hooks)
    package = open_package(tmp_path / "dock")
    assert [str(one) for one in check(package.folder)] == []
    return Harness(package.manifest, package.simulator())


async def test_what_a_provider_lists_is_what_was_made_there(tmp_path: Path) -> None:
    harness = made(tmp_path, HOOKS)
    account, other = harness.simulator.accounts[:2]
    connected = await harness.connect(account)
    registrar = Registrar(connected.provider.calls)
    book = harness.simulator.webhooks
    there = [
        (await registrar.create(connected.target, f"https://ours.example/hooks/dock/{name}", None))[0]
        for name in ("two", "three", "one")
    ]
    (found,) = await registrar.listed(connected.target, "/hooks/dock/one")  # on the second page
    assert (found.id, found.address, found.works) == (there[2], ADDRESS, True)
    hook = book.get(account.id, found.id)
    assert hook is not None
    assert hook.events == ["contact.created", "contact.changed"]
    assert book.of(other.id) == []

    hook.active = False
    (off,) = await registrar.listed(connected.target, "/hooks/dock/one")
    assert not off.works
    await registrar.remove(connected.target, off.id)
    await registrar.remove(connected.target, off.id)  # what is gone is gone
    assert await registrar.listed(connected.target, "/hooks/dock/one") == []
    for name in ("four", "five"):
        await registrar.create(connected.target, f"https://ours.example/hooks/dock/{name}", None)
    with pytest.raises(ProviderError):
        await registrar.create(connected.target, "https://ours.example/hooks/dock/six", None)
    with pytest.raises(ProviderError):
        await registrar.create(connected.target, "ours", None)
    assert len(book.of(account.id)) == 4
    await harness.close()


async def test_its_secret_signs_what_it_is_told_and_it_hears_what_it_asked_for(tmp_path: Path) -> None:
    harness = made(tmp_path, HOOKS)
    account = harness.simulator.accounts[0]
    connected = await harness.connect(account)
    _, secret = await Registrar(connected.provider.calls).create(connected.target, ADDRESS, None)
    assert secret is not None
    assert secret.startswith("dsec_")
    teller, store = harness.simulator.teller("", str), harness.simulator.store
    assert teller is not None
    (hook,) = teller.hooks(account.id)
    store.create(account.id, "contacts", harness.simulator.sample("contacts", 1))
    store.update(account.id, "contacts", "1", {"name": "Other"})
    store.archive(account.id, "contacts", "2")
    told = [event for entry in store.ledger for event in teller.events(entry, hook)]
    # in the provider's words, as far as the manifest has them; of deletions it asked for none
    assert [one["event"] for one in told] == ["contact.created", "contact.changed"]
    hooks = connected.target.manifest.webhooks
    assert hooks is not None
    scheme, body = Scheme(resolve(hooks.signatures[0])), b'{"event":"contact.created"}'
    sent = {name.lower(): value for name, value in teller.sign(hook, body, 1.0).items()}
    assert scheme.verify([scheme.key(secret)], Delivery("POST", ADDRESS, sent, body), 1.0).ok
    await harness.close()


async def test_a_user_and_a_password_of_ours_come_back(tmp_path: Path) -> None:
    harness = made(tmp_path, BASIC)
    account = harness.simulator.accounts[0]
    connected = await harness.connect(account)
    registrar = Registrar(connected.provider.calls)
    identity, told = await registrar.create(connected.target, ADDRESS, "trunkline:s3cret")
    assert told is None
    (hook,) = harness.simulator.webhooks.of(account.id)
    assert (hook.id, hook.secret) == (identity, "trunkline:s3cret")
    assert [one.id for one in await registrar.listed(connected.target, "/hooks/dock/one")] == [identity]
    await registrar.remove(connected.target, identity)
    assert harness.simulator.webhooks.of(account.id) == []
    await harness.close()


def test_a_form_is_read_as_the_object_it_was_made_of() -> None:
    whole = {"a": "1", "b": {"c": ["x", "y"], "d": {"e": "f"}}, "l": [{"q": "1"}, {"q": "2"}]}
    assert unform(form_pairs(whole)) == whole
    assert unform([("e[]", "1"), ("e[]", "2")]) == {"e": ["1", "2"]}
    for odd in ([("a", "1"), ("a[b]", "2"), ("a[]", "3")], [("[]", "1"), ("[", "2"), ("", "3")]):
        assert isinstance(unform(odd), dict)


@pytest.mark.parametrize(
    ("hooks", "old", "new", "words"),
    [
        (HOOKS, 'url = "{address}"', 'url = "{adress}"', '{adress} is no value here. Did you mean "address"'),
        (HOOKS, 'url = "{address}"', 'url = "x"', "It never says {address}"),
        (HOOKS, 'hooks/{registration}" }\n\n', 'hooks" }\n\n', "It never says {registration}"),
        (HOOKS, 'query = { after = "{cursor}" }', "query = {}", "It never says {cursor}"),
        (
            HOOKS,
            '"contact.changed"]',
            '"person.changed"]',
            "person.changed is asked for, and no kind reads it",
        ),
        (HOOKS, 'path = "/api/{api_version}/hooks/{registration}/s', 'path = "{registration}/s', "a slash"),
        (BASIC, "user}", "address}", "never told our secret"),
        (BASIC, "form = true", 'form = true, bucket = "x"', 'the bucket "x"'),
    ],
)
def test_a_mistake_in_it_is_found_in_its_line(
    tmp_path: Path, hooks: str, old: str, new: str, words: str
) -> None:
    scaffold("dock", tmp_path)
    manifest = tmp_path / "dock" / "manifest.toml"
    text = manifest.read_text()
    assert old in hooks
    manifest.write_text(text + hooks.replace(old, new, 1))
    found = [one for one in check(tmp_path / "dock") if words in str(one)]
    assert found, [str(one) for one in check(tmp_path / "dock")]
    assert all(one.line > len(text.splitlines()) for one in found)
