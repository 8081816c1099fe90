"""The key providers beside the local file: environment, and AWS KMS against a small KMS of our own."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from trunkline.kernel.settings import Settings
from trunkline.vault.errors import KeyProviderError, RotationError, TenantShreddedError, WrappingKeyError
from trunkline.vault.providers import KeyContext, LocalKeyFile, Wrapped, key_provider
from trunkline.vault.providers.environment import EnvironmentKeys
from trunkline.vault.tenant_keys import TenantKeyFolder

HERE, THERE, LATER = KeyContext(UUID(int=1), 1), KeyContext(UUID(int=2), 1), KeyContext(UUID(int=1), 2)
ONE, TWO = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
ARN = "arn:aws:kms:eu-central-1:111122223333:key/"


class Kms(BaseHTTPRequestHandler):
    """Encrypts with the context as additional data; a blob names its key, as KMS's do."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        self.server.calls.append((operation, asked))  # type: ignore[attr-defined]
        try:
            status, answer = 200, getattr(self, operation.lower())(asked)
        except LookupError as error:
            status, answer = 400, {"__type": str(error.args[0]), "message": "no"}
        except InvalidTag:
            status, answer = 400, {"__type": "InvalidCiphertextException"}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _key(self, name: str) -> tuple[str, AESGCM]:
        keys = self.server.keys  # type: ignore[attr-defined]
        name = name.removeprefix(ARN)
        if name not in keys:
            raise LookupError("NotFoundException")
        if keys[name] is None:
            raise LookupError("DisabledException")
        return ARN + name, AESGCM(keys[name])

    def encrypt(self, asked: dict) -> dict:
        name, cipher = self._key(asked["KeyId"])
        aad = json.dumps(asked["EncryptionContext"], sort_keys=True).encode()
        blob = b"n" * 12 + cipher.encrypt(b"n" * 12, base64.b64decode(asked["Plaintext"]), aad)
        return {"KeyId": name, "CiphertextBlob": base64.b64encode(blob).decode()}

    def decrypt(self, asked: dict) -> dict:
        name, cipher = self._key(asked["KeyId"])
        blob = base64.b64decode(asked["CiphertextBlob"])
        aad = json.dumps(asked["EncryptionContext"], sort_keys=True).encode()
        plain = cipher.decrypt(blob[:12], blob[12:], aad)
        return {"KeyId": name, "Plaintext": base64.b64encode(plain).decode()}

    def describekey(self, asked: dict) -> dict:
        return {"KeyMetadata": {"KeyId": asked["KeyId"], "Arn": self._key(asked["KeyId"])[0]}}

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def kms(monkeypatch, tmp_path):
    pytest.importorskip("boto3", reason="the extra `aws` is not installed")
    for name, value in {
        "ACCESS_KEY_ID": "test",
        "SECRET_ACCESS_KEY": "test",
        "REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kms)
    server.keys = {"first": b"1" * 32, "second": b"2" * 32, "off": None}
    server.calls = []
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def provider(key):
        url = f"http://127.0.0.1:{server.server_port}"
        return key_provider(Settings(key_provider="aws-kms", kms_key=key, kms_endpoint=url, data=tmp_path))

    provider.server = server
    yield provider
    server.shutdown()
    server.server_close()


async def test_kms_wraps_bound_to_tenant_and_version(kms):
    first = kms("first")
    wrapped = await first.wrap(b"k" * 32, HERE)
    assert wrapped.key_id == await first.current() == f"{ARN}first"
    assert kms.server.calls[0][1]["EncryptionContext"] == {
        "trunkline:purpose": "data_keys",
        "trunkline:tenant": str(HERE.tenant_id),
        "trunkline:version": "1",
    }
    assert await first.unwrap(wrapped, HERE) == b"k" * 32
    assert await kms("second").unwrap(wrapped, HERE) == b"k" * 32  # the ciphertext names its key
    for context in (THERE, LATER):
        with pytest.raises(WrappingKeyError, match="another tenant"):
            await first.unwrap(wrapped, context)
    with pytest.raises(WrappingKeyError):
        await first.unwrap(Wrapped(f"{ARN}second", wrapped.blob), HERE)


@pytest.mark.parametrize(("key", "words"), [("none", "TRUNKLINE_KMS_KEY"), ("off", "disabled")])
async def test_kms_says_what_is_wrong(kms, key, words):
    with pytest.raises(KeyProviderError, match=words) as caught:
        await kms(key).wrap(b"k" * 32, HERE)
    assert "kkkk" not in str(caught.value)


async def test_kms_rotates_in_its_own_place(kms):
    with pytest.raises(RotationError, match="EnableKeyRotation"):
        await kms("first").rotate()
    with pytest.raises(KeyProviderError, match="TRUNKLINE_KMS_KEY is empty"):
        kms("")


async def test_the_environments_first_key_wraps_and_all_unwrap(tmp_path):
    old = EnvironmentKeys(f"one:{ONE}", tmp_path)
    both = EnvironmentKeys(f" two:{TWO}, one:{ONE} ", tmp_path)
    wrapped = await old.wrap(b"k" * 32, HERE)
    assert await both.unwrap(wrapped, HERE) == b"k" * 32
    assert (await both.wrap(b"k" * 32, HERE)).key_id == await both.current() == "two"
    for context in (THERE, LATER):
        with pytest.raises(WrappingKeyError, match="altered or belongs to another tenant"):
            await both.unwrap(wrapped, context)
    with pytest.raises(WrappingKeyError, match="wrapping key two, and TRUNKLINE_WRAPPING_KEYS holds one"):
        await old.unwrap(await both.wrap(b"k" * 32, HERE), HERE)
    with pytest.raises(RotationError, match="at its beginning"):
        await both.rotate()


@pytest.mark.parametrize(
    "written", ["", ONE, f":{ONE}", "one:short", f"one:{ONE},one:{TWO}", f"one:{ONE},{TWO}"]
)
def test_a_key_in_the_wrong_place_is_not_repeated(tmp_path, written):
    with pytest.raises(KeyProviderError, match="TRUNKLINE_WRAPPING_KEYS") as caught:
        EnvironmentKeys(written, tmp_path)
    assert ONE not in str(caught.value)
    assert "short" not in str(caught.value)


def test_the_setting_chooses(tmp_path):
    assert isinstance(key_provider(Settings(data=tmp_path)), LocalKeyFile)
    chosen = key_provider(Settings(data=tmp_path, key_provider="environment", wrapping_keys=f"one:{ONE}"))
    assert isinstance(chosen, EnvironmentKeys)


def test_a_tenants_key_is_made_once_kept_private_and_never_again_after_its_end(tmp_path):
    keys, again = TenantKeyFolder(tmp_path / "keys"), TenantKeyFolder(tmp_path / "keys")
    tenant = UUID(int=7)
    with pytest.raises(WrappingKeyError, match="TRUNKLINE_TENANT_KEYS"):
        keys.get(tenant)
    key = keys.get(tenant, make=True)
    assert again.get(tenant, make=True) == key != keys.get(UUID(int=8), make=True)
    path = tmp_path / "keys" / f"{tenant}.key"
    assert path.stat().st_mode & 0o777 == 0o600
    keys.destroy(tenant)
    keys.destroy(tenant)
    assert not path.exists()
    for make in (True, False):
        with pytest.raises(TenantShreddedError):
            again.get(tenant, make=make)
