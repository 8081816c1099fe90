"""The process that runs CEL, started by evaluator.py as a script of its own, and the protocol between them.

It is meant to be killed. It has no environment, no socket, no file to write, 512 MB of address space, and
500 ms of CPU time for one record, enforced by the kernel (SIGPROF, whose default action ends the process even
inside the C++ library, and whether or not the parent still watches). It ends when its input ends, so with its
parent.

Frames both ways: 4 bytes length, big endian, then msgpack of one struct below. Importing this module costs
nothing: only `main` loads CEL. It may import nothing of trunkline, because it runs isolated (`python -I`).
"""

import math
import os
import re
import resource
import signal
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, BinaryIO

import msgspec

MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 0.5  # for one record with all expressions of its recipe, and for one compilation
FRAME_BYTES = 8 * 1024 * 1024
RESULT_BYTES = 1024 * 1024  # of one record, encoded
RESULT_DEPTH = 32
RESULT_ITEMS = 500  # in one list or map
RESULT_TEXT = 65_536  # characters, as the longest target field
MESSAGE = 500  # characters of an error
CACHED_PROGRAMS = 64
FLUSH_SECONDS = 0.005  # results wait at most this long while more records are evaluated
EXIT_MEMORY = 70
_NUMBER = re.compile(r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,4})?")


class Check(msgspec.Struct, tag="check"):
    expression: str


class Run(msgspec.Struct, tag="run"):
    """`records` are {"record": ..., "source": ...}. `careful` answers each at once, to find a guilty one."""

    digest: bytes
    expressions: list[str]
    filter: str | None
    records: list[dict[str, Any]]
    careful: bool = False


class Ready(msgspec.Struct, tag="ready"):
    pid: int


class Checked(msgspec.Struct, tag="checked"):
    ok: bool
    message: str
    result_type: str


class Row(msgspec.Struct, array_like=True):
    kept: bool
    values: list[Any]
    errors: dict[int, str]
    error: str | None


class Rows(msgspec.Struct, tag="rows"):
    rows: list[Row]


Request = Check | Run
Response = Ready | Checked | Rows


class _RefusedError(ValueError):
    """A result that may not leave this process; the message is for the person who wrote the expression."""


class Worker:
    """One environment, and the programs compiled in it by digest, the least recently used dropped first."""

    def __init__(self) -> None:
        self._env = new_environment()
        self._programs: OrderedDict[bytes, tuple[Any, list[Any]]] = OrderedDict()

    def check(self, request: Check) -> Checked:
        try:
            expression = self._env.compile(request.expression)
        except Exception as error:  # noqa: BLE001 (pybind raises RuntimeError, and others for odd input)
            return Checked(ok=False, message=str(error)[:MESSAGE], result_type="")
        return Checked(ok=True, message="", result_type=str(expression.return_type()))

    def program(self, request: Run) -> tuple[Any, list[Any]]:
        known = self._programs.pop(request.digest, None)
        if known is None:
            chosen = None if request.filter is None else self._compiled(request.filter)
            known = (chosen, [self._compiled(text) for text in request.expressions])
        self._programs[request.digest] = known
        if len(self._programs) > CACHED_PROGRAMS:
            self._programs.popitem(last=False)
        return known

    def _compiled(self, text: str) -> Any:
        """The compiled expression, or the _RefusedError that every evaluation of it raises."""
        try:
            return self._env.compile(text)
        except Exception as error:  # noqa: BLE001 (as in check)
            return _RefusedError(str(error)[:MESSAGE])

    def row(self, program: tuple[Any, list[Any]], data: dict[str, Any]) -> Row:
        chosen, expressions = program
        activation = self._env.Activation(data)
        if chosen is not None:
            try:
                verdict = evaluate(chosen, activation)
            except _RefusedError as error:
                return Row(kept=False, values=[], errors={}, error=f"filter: {error}")
            if verdict is not True:
                problem = None if verdict is False else "filter: the result is not true or false"
                return Row(kept=False, values=[], errors={}, error=problem)
        values: list[Any] = []
        errors: dict[int, str] = {}
        for index, expression in enumerate(expressions):
            try:
                values.append(evaluate(expression, activation))
            except _RefusedError as error:
                values.append(None)
                errors[index] = str(error)[:MESSAGE]
        row = Row(kept=True, values=values, errors=errors, error=None)
        if len(_encoder.encode(row)) > RESULT_BYTES:
            return Row(kept=True, values=[], errors={}, error="the results together are larger than 1 MB")
        return row


def evaluate(expression: Any, activation: Any) -> Any:
    """The result as JSON, or _RefusedError. CEL hands most errors back as values of type ERROR."""
    if isinstance(expression, _RefusedError):
        raise expression
    try:
        result = expression.eval(activation)
        failed = str(result.type()) == "ERROR"
        value = str(result.value()) if failed else result.plain_value()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (the iteration budget and odd results raise)
        raise _RefusedError(str(error)) from None
    if failed:
        raise _RefusedError(value)
    return plain(value)


def plain(value: Any, depth: int = 0) -> Any:
    """JSON of a CEL value, within the limits above. Keys are sorted: CEL's maps have no order."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > RESULT_TEXT:
            raise _RefusedError(
                f"the result has {len(value):,} characters; at most {RESULT_TEXT:,} are allowed"
            )
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise _RefusedError("the result is a whole number beyond 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _RefusedError("the result is not a finite number; is something divided by zero?")
        return value
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, (list, dict)):
        if depth >= RESULT_DEPTH:
            raise _RefusedError(f"the result is nested deeper than {RESULT_DEPTH} levels")
        if len(value) > RESULT_ITEMS:
            raise _RefusedError(f"the result has {len(value):,} items; at most {RESULT_ITEMS} are allowed")
        if isinstance(value, list):
            return [plain(item, depth + 1) for item in value]
        if not all(isinstance(key, str) for key in value):
            raise _RefusedError("the result is a map whose keys are not text")
        return {key: plain(value[key], depth + 1) for key in sorted(value)}
    kind = {"bytearray": "bytes", "timedelta": "a duration"}.get(type(value).__name__, "not a plain value")
    raise _RefusedError(f"the result is {kind}; turn it into text with string(...)")


def _moment(value: date) -> str:
    if isinstance(value, datetime):
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value.isoformat().replace("+00:00", "Z")


# Functions of our own, for what provider data needs everywhere: nulls, and numbers that arrive as text.


def text(value: Any) -> str:
    """Null is the empty text; 5.0 is "5"."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _moment(value)
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def default(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None or value == "" else value


def number(value: Any) -> float | None:
    """Null and empty text are null, so that an empty amount stays empty instead of becoming 0."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError("number(): the text is not a number")
    return float(value)


def new_environment() -> Any:
    """CEL with the standard extensions that only compute (no proto, no encoders) and the three above.

    An overload with a DYN parameter is never chosen by this library, so each kind has its own.
    """
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_bindings, ext_math, ext_optional, ext_strings

    kind = cel.Type
    scalars = {
        "null": kind.NULL,
        "bool": kind.BOOL,
        "int": kind.INT,
        "uint": kind.UINT,
        "double": kind.DOUBLE,
        "string": kind.STRING,
        "timestamp": kind.TIMESTAMP,
    }
    every = {**scalars, "list": kind.List(kind.DYN), "map": kind.Map(kind.STRING, kind.DYN)}
    numbers = ("null", "int", "uint", "double", "string")

    def function(name: str, result: Any, parameters: list[list[str]], run: Callable[..., Any]) -> Any:
        overloads = [
            cel.Overload(f"{name}_{'_'.join(kinds)}", result, [every[k] for k in kinds], impl=run)
            for kinds in parameters
        ]
        return cel.FunctionDecl(name, overloads)

    document = kind.Map(kind.STRING, kind.DYN)
    return cel.NewEnv(
        variables={"record": document, "source": document},
        extensions=[
            ext_strings.ExtStrings(),
            ext_math.ExtMath(),
            ext_optional.ExtOptional(),
            ext_bindings.ExtBindings(),
        ],
        functions=[
            function("text", kind.STRING, [[k] for k in scalars], text),
            function("default", kind.DYN, [[a, b] for a in every for b in every], default),
            function("number", kind.DYN, [[k] for k in numbers], number),
        ],
    )


_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)


def read_frame(stream: BinaryIO) -> bytes | None:
    """One frame, or None at the end of the input."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    body = stream.read(int.from_bytes(head, "big"))
    return body if len(body) == int.from_bytes(head, "big") else None


def frame(message: Request | Response) -> bytes:
    body = _encoder.encode(message)
    return len(body).to_bytes(4, "big") + body


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _confine() -> None:
    """After the imports: nothing needs to be opened from here on."""
    if sys.platform == "linux":  # macOS accepts the call and ignores or refuses it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)


def _timed(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _run(worker: Worker, request: Run, out: int) -> None:
    rows: list[Row] = []
    size = 0
    flushed = time.monotonic()
    for data in request.records:
        _timed(CPU_SECONDS)
        row = worker.row(worker.program(request), data)
        _timed(0)
        rows.append(row)
        size += len(_encoder.encode(row)) if row.values else 0
        if request.careful or size > RESULT_BYTES or time.monotonic() - flushed > FLUSH_SECONDS:
            _write(out, frame(Rows(rows)))
            rows, size, flushed = [], 0, time.monotonic()
    if rows:
        _write(out, frame(Rows(rows)))


def main() -> None:
    # uvloop leaves descriptors open across the start of a process; a sibling's pipe among them would keep
    # that sibling waiting after the parent's death.
    os.closerange(3, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65_536))
    out = os.dup(1)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)  # whatever a library prints must not end up between the frames
    os.close(sink)
    worker = Worker()
    _confine()
    _write(out, frame(Ready(os.getpid())))
    while (body := read_frame(sys.stdin.buffer)) is not None:
        request = _requests.decode(body)
        if isinstance(request, Check):
            _timed(CPU_SECONDS)
            answer = worker.check(request)
            _timed(0)
            _write(out, frame(answer))
        else:
            _run(worker, request, out)


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        os._exit(EXIT_MEMORY)
    except BrokenPipeError:
        os._exit(0)
