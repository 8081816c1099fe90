"""Why a call did not leave, or its answer was not taken."""

from trunkline.kernel.errors import TrunklineError


class EgressRefusedError(TrunklineError):
    """A request that must not leave; nothing was sent. The message never holds the address' query."""

    status = 502
    code = "egress_refused"
    failure_code = "egress_refused"


class AnswerTooLargeError(EgressRefusedError):
    """The answer is larger than allowed when unpacked, or packed in a way nobody asked for."""

    code = "answer_too_large"
    failure_code = "malformed_answer"
