"""The vault's failures. None of them quotes a plaintext, a key or a context."""


class VaultError(Exception):
    """Base: something could not be sealed or opened."""


class KeyFileError(VaultError):
    """A file of keys cannot be used; the message says what to do."""


class KeyProviderError(VaultError):
    """The key provider is set up wrongly or does not answer; the message says what to do."""


class WrappingKeyError(VaultError):
    """A data key does not unwrap: another wrapping key made it, or it was altered."""


class TenantShreddedError(VaultError):
    """The tenant's own key was destroyed on purpose: nothing of the tenant opens, ever."""


class SealBudgetError(VaultError):
    """A box sealed more than it may without being counted: ask the vault for a new one."""


class OpenError(VaultError):
    """A sealed value does not open: altered, moved from its row or field, or its key is not there."""


class RotationError(VaultError):
    """A rotation cannot go on now; what was done stays done, and the next one continues."""
