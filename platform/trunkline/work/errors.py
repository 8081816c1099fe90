"""What can go wrong with work itself."""

from trunkline.kernel.errors import TrunklineError


class LeaseLostError(TrunklineError):
    """The work is no longer ours: somebody else has it, or it was cancelled. Write nothing more."""

    failure_code = "lease_lost"

    def __init__(self) -> None:
        super().__init__("This work was taken over or cancelled; nothing more may be written for it.")
