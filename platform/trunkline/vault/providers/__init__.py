"""Key providers: who holds the wrapping keys, outside the database."""

from trunkline.kernel.settings import Settings
from trunkline.vault.providers.environment import EnvironmentKeys
from trunkline.vault.providers.local_file import LocalKeyFile
from trunkline.vault.providers.protocol import KeyContext, KeyProvider, Wrapped


def key_provider(settings: Settings) -> KeyProvider:
    """The one that the settings choose. Raises KeyFileError, KeyProviderError."""
    if settings.key_provider == "environment":
        return EnvironmentKeys(settings.wrapping_keys, settings.tenant_key_folder)
    if settings.key_provider == "aws-kms":
        from trunkline.vault.providers.aws_kms import AwsKms

        return AwsKms(settings.kms_key, settings.tenant_key_folder, endpoint=settings.kms_endpoint)
    return LocalKeyFile(settings.wrapping_key_file, settings.tenant_key_folder)


__all__ = ["KeyContext", "KeyProvider", "LocalKeyFile", "Wrapped", "key_provider"]
