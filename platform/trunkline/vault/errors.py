"""The vault's failures. None of them quotes a plaintext, a key or a context."""


class VaultError(Exception):
    """Base: something could not be sealed or opened."""


class KeyFileError(VaultError):
    """The wrapping key file cannot be used; the message says what to do."""


class WrappingKeyError(VaultError):
    """A data key does not unwrap: another wrapping key made it, or it was altered."""


class OpenError(VaultError):
    """A sealed value does not open: altered, moved from its row or field, or its key is not there."""
