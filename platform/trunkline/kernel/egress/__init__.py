"""The one way out: every call that leaves the installation goes through here."""

from trunkline.kernel.egress.client import Egress
from trunkline.kernel.egress.errors import AnswerTooLargeError, EgressRefusedError
from trunkline.kernel.egress.targets import admits, check_hosts, host_of

__all__ = ["AnswerTooLargeError", "Egress", "EgressRefusedError", "admits", "check_hosts", "host_of"]
