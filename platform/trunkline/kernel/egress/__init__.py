"""The one way out: every call that leaves the installation goes through here."""

from trunkline.kernel.egress.client import Egress
from trunkline.kernel.egress.errors import AnswerTooLargeError, EgressRefusedError
from trunkline.kernel.egress.identity import ClientIdentity, IdentityError
from trunkline.kernel.egress.targets import admits, check_hosts, host_of

__all__ = [
    "AnswerTooLargeError",
    "ClientIdentity",
    "Egress",
    "EgressRefusedError",
    "IdentityError",
    "admits",
    "check_hosts",
    "host_of",
]
