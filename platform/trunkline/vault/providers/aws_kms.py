"""Wrapping by AWS KMS: the wrapping key never leaves it; each call names tenant and version in KMS's own log.

boto3 runs in a thread. Credentials and region come from AWS's own variables, files or the instance's role.
"""

import asyncio
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from trunkline.vault.errors import KeyProviderError, RotationError, WrappingKeyError
from trunkline.vault.providers.protocol import KeyContext, Wrapped
from trunkline.vault.tenant_keys import TenantKeyFolder

CONNECT_SECONDS, READ_SECONDS, TRIES = 3, 5, 3

_SENTENCES = {
    "AccessDeniedException": (
        "AWS KMS refuses this identity the use of the wrapping key. Allow it kms:Encrypt, kms:Decrypt and "
        "kms:DescribeKey on the key."
    ),
    "NotFoundException": "AWS KMS does not know the wrapping key. Correct TRUNKLINE_KMS_KEY or AWS_REGION.",
    "DisabledException": "The wrapping key is disabled in AWS KMS. Enable it there.",
    "KMSInvalidStateException": "The wrapping key cannot be used in AWS KMS now: it may be due for deletion.",
    "UnrecognizedClientException": "AWS does not know these credentials. Correct AWS_ACCESS_KEY_ID.",
    "ThrottlingException": "AWS KMS asks for fewer calls. Try again later.",
}


class AwsKms:
    """`key`: id, ARN or alias. `endpoint`: instead of AWS's own, such as a VPC endpoint's address."""

    name = "aws-kms"

    def __init__(self, key: str, tenant_keys: Path, *, endpoint: str = "") -> None:
        if not key:
            raise KeyProviderError("TRUNKLINE_KMS_KEY is empty. Set it to the id, ARN or alias of a KMS key.")
        try:
            boto3, config = import_module("boto3"), import_module("botocore.config")
        except ModuleNotFoundError as error:
            raise KeyProviderError(
                "The key provider aws-kms needs boto3: install Trunkline with its extra `aws`."
            ) from error
        self.tenant_keys = TenantKeyFolder(tenant_keys)
        self._key = key
        limits = config.Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"max_attempts": TRIES, "mode": "standard"},
        )
        try:
            self._client: Any = boto3.client("kms", endpoint_url=endpoint or None, config=limits)
        except (import_module("botocore.exceptions").BotoCoreError, ValueError) as error:
            raise KeyProviderError(
                "AWS KMS cannot be used: set AWS_REGION, and TRUNKLINE_KMS_ENDPOINT to a whole address or "
                f"not at all ({type(error).__name__})."
            ) from error

    async def wrap(self, key: bytes, context: KeyContext) -> Wrapped:
        answer = await self._call(
            "encrypt", KeyId=self._key, Plaintext=key, EncryptionContext=context.pairs()
        )
        return Wrapped(answer["KeyId"], answer["CiphertextBlob"])

    async def unwrap(self, wrapped: Wrapped, context: KeyContext) -> bytes:
        answer = await self._call(
            "decrypt", KeyId=wrapped.key_id, CiphertextBlob=wrapped.blob, EncryptionContext=context.pairs()
        )
        found: bytes = answer["Plaintext"]
        return found

    async def current(self) -> str:
        answer = await self._call("describe_key", KeyId=self._key)
        found: str = answer["KeyMetadata"]["Arn"]
        return found

    async def held(self) -> Sequence[str]:
        return [await self.current()]

    async def rotate(self) -> str:
        raise RotationError(
            "AWS KMS holds the wrapping key: rotate its material there (EnableKeyRotation), or set "
            "TRUNKLINE_KMS_KEY to another key, restart every process, and run this again to wrap every data "
            "key anew."
        )

    async def forget(self, keys: Sequence[str]) -> None:
        raise RotationError(f"Schedule the deletion of {', '.join(keys)} in AWS KMS.")

    async def _call(self, operation: str, **values: Any) -> Any:
        faults = import_module("botocore.exceptions")
        try:
            return await asyncio.to_thread(getattr(self._client, operation), **values)
        except faults.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in {"InvalidCiphertextException", "IncorrectKeyException"}:
                raise WrappingKeyError(
                    "A tenant's data key in the database was altered, belongs to another tenant, or was "
                    "wrapped by another KMS key. Restore the data_keys table from a backup."
                ) from error
            sentence = _SENTENCES.get(code) or f"AWS KMS refused the call ({code or 'no code'})."
            raise KeyProviderError(sentence) from error
        except faults.BotoCoreError as error:
            raise KeyProviderError(
                f"AWS KMS cannot be reached or used ({type(error).__name__}). Check credentials, AWS_REGION "
                "and the network."
            ) from error
