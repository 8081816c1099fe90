"""Runs CEL in processes that may die.

Invariants: what a child sends is checked before it is used; a child that ended, or whose exchange was cut
short in any way, is never used again; a record that ends its child costs only itself an error.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from trunkline.kernel import strictjson
from trunkline.recipes import cel_worker as wire
from trunkline.recipes import expression as cel_text
from trunkline.recipes import messages
from trunkline.recipes.document import Lookup, lookup
from trunkline.recipes.errors import EvaluatorUnavailableError
from trunkline.recipes.guards import MAX_DEPTH, GuardError, guard_of
from trunkline.recipes.plain import plain_of
from trunkline.recipes.results import CheckResult, MappedRecord, Program

BATCH = 200  # records in a request (stack.md)
BATCH_BYTES = 4 * 1024 * 1024
START_SECONDS = 30.0  # for loading CEL on a busy machine; about 0.2 s when idle
SILENCE_SECONDS = 15.0  # the CPU limit ends a child at 0.5 s; this is for one that hangs without using any
MAX_STOPPED = 5  # records of one call that may end their child, before the rest of the call is given up

_SCRIPT = str(Path(wire.__file__).resolve())
_responses: msgspec.msgpack.Decoder[wire.Response] = msgspec.msgpack.Decoder(wire.Response)
_encoder = msgspec.msgpack.Encoder()
_UNEXPECTED = "its answer was not expected"


class _ChildEndedError(Exception):
    """The child ended or broke the protocol; `reason` is for the person whose expression did it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class _Run(msgspec.Struct, tag="run"):
    """cel_worker.Run with records that are encoded already."""

    digest: bytes
    expressions: tuple[str, ...]
    filter: str | None
    records: list[msgspec.Raw]
    careful: bool = False


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        """Isolated (-I), with no environment, its own session, and no descriptor but the two pipes."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                _SCRIPT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise EvaluatorUnavailableError(f"The expression process did not start: {error}.") from error
        child = cls(process)
        try:
            ready = await child.receive(START_SECONDS)
        except _ChildEndedError as error:
            raise EvaluatorUnavailableError(
                f"The expression process did not start: {error.reason}."
            ) from None
        except BaseException:
            await child.kill()
            raise
        if not isinstance(ready, wire.Ready):
            await child.kill()
            raise EvaluatorUnavailableError("The expression process did not say that it is ready.")
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def send(self, request: wire.Check | _Run) -> None:
        body = _encoder.encode(request)
        writer = self._process.stdin
        assert writer is not None
        try:
            writer.write(len(body).to_bytes(4, "big") + body)
            await writer.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise _ChildEndedError(await self._epitaph()) from None

    async def receive(self, seconds: float = SILENCE_SECONDS) -> wire.Response:
        """The next frame. Raises _ChildEndedError, after which the child is gone."""
        reader = self._process.stdout
        assert reader is not None
        try:
            async with asyncio.timeout(seconds):
                size = int.from_bytes(await reader.readexactly(4), "big")
                if size > wire.FRAME_BYTES:
                    await self.kill()
                    raise _ChildEndedError("its answer was too large")
                return _responses.decode(await reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionResetError):
            raise _ChildEndedError(await self._epitaph()) from None
        except TimeoutError:
            await self.kill()
            raise _ChildEndedError("it did not answer in time") from None
        except msgspec.MsgspecError:
            await self.kill()
            raise _ChildEndedError("its answer could not be read") from None

    async def kill(self) -> None:
        """Always leaves the process ended and reaped, also when called while being cancelled."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.shield(self._process.wait())

    async def _epitaph(self) -> str:
        try:
            async with asyncio.timeout(2):
                code = await self._process.wait()
        except TimeoutError:  # it closed its pipe and lives on
            code = 0
        await self.kill()
        if code == -signal.SIGPROF:
            return messages.TOO_LONG
        if code in (wire.EXIT_MEMORY, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGKILL):
            return messages.TOO_MUCH_MEMORY
        return "its process ended unexpectedly"


class Evaluator:
    """Up to `children` processes, started when needed and replaced when they end. Bound to one event loop."""

    def __init__(self, children: int = 1) -> None:
        self._free = asyncio.Semaphore(children)
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._closed = False

    async def start(self) -> None:
        """Starts one child ahead of need. Raises EvaluatorUnavailableError where CEL cannot run at all."""
        async with self._child():
            pass

    async def close(self) -> None:
        self._closed = True
        children, self._all, self._idle = self._all, set(), []
        await asyncio.gather(*(child.kill() for child in children))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def pids(self) -> list[int]:
        """The children alive now, for doctor and tests."""
        return [child.pid for child in self._all if child.alive]

    @contextlib.asynccontextmanager
    async def _child(self) -> Any:
        """A child for one exchange. Any exception inside, cancellation too, ends it: its pipe is dirty."""
        async with self._free:
            if self._closed:
                raise EvaluatorUnavailableError("The evaluator is closed.")
            while self._idle and not self._idle[-1].alive:
                self._all.discard(self._idle.pop())
            if self._idle:
                child = self._idle.pop()
            else:
                child = await _Child.start()
                self._all.add(child)
            try:
                yield child
            except BaseException:
                self._all.discard(child)
                await child.kill()
                raise
            if child in self._all:  # not closed in the meantime
                self._idle.append(child)

    async def check(self, expression: str) -> CheckResult:
        """Compiles and type-checks. `message` is for the person who writes the expression."""
        problem = cel_text.problem(expression)
        if problem:
            return CheckResult(ok=False, message=problem)
        for _ in range(2):  # a child that died while idle is not the expression's fault
            try:
                async with self._child() as child:
                    await child.send(wire.Check(expression))
                    answer = await child.receive()
                    if not isinstance(answer, wire.Checked):
                        raise _ChildEndedError(_UNEXPECTED)  # noqa: TRY301 (inside, so that the child is ended)
            except _ChildEndedError as error:
                reason = error.reason
                continue
            if answer.ok:
                return CheckResult(ok=True, result_type=answer.result_type[:200])
            message, position = messages.compile_error(expression, answer.message[: wire.MESSAGE])
            return CheckResult(ok=False, message=message, position=position)
        return CheckResult(ok=False, message=f"The expression could not be checked: {reason}.")

    async def evaluate(
        self,
        program: Program,
        records: Sequence[dict[str, Any]],
        fields: Sequence[Lookup] | None = None,
    ) -> list[MappedRecord]:
        """One result for each document, in order. Raises EvaluatorUnavailableError when no child starts.

        `fields`: `lookup` of each of them, where the caller needs it too.
        """
        results: list[MappedRecord | None] = [None] * len(records)
        guard, plain = guard_of(program), plain_of(program)
        waiting: list[tuple[int, msgspec.Raw]] = []
        for index, document in enumerate(records):
            get = lookup(document) if fields is None else fields[index]
            if plain is not None and (found := plain.evaluate(get)) is not None:
                results[index] = found
                continue
            try:
                waiting.append((index, guard.prepare(document)))
            except GuardError as error:
                results[index] = MappedRecord(error=str(error))
        stopped = 0
        careful = False
        while waiting:
            batch = _next_batch(waiting)
            done, reason = await self._run(program, [raw for _, raw in batch], careful=careful)
            for (index, _), record in zip(batch, done, strict=False):
                results[index] = record
            waiting = waiting[len(done) :]
            if reason is None:
                continue
            if not careful:
                # Results not yet sent died with the child. Once more, one by one, shows whose fault it is.
                careful = True
                continue
            stopped += 1
            results[waiting[0][0]] = MappedRecord(error=reason, passing=True)
            waiting = waiting[1:]
            if stopped >= MAX_STOPPED:
                for index, _ in waiting:
                    results[index] = MappedRecord(error=messages.GIVEN_UP.format(count=stopped), passing=True)
                waiting = []
        return [record for record in results if record is not None]

    async def _run(
        self, program: Program, records: list[msgspec.Raw], *, careful: bool
    ) -> tuple[list[MappedRecord], str | None]:
        """What came back, and why it stopped if the child ended before the last record."""
        done: list[MappedRecord] = []
        try:
            async with self._child() as child:
                await child.send(_Run(program.digest, program.expressions, program.filter, records, careful))
                while len(done) < len(records):
                    answer = await child.receive()
                    rows = answer.rows if isinstance(answer, wire.Rows) else []
                    if not 0 < len(rows) <= len(records) - len(done):
                        raise _ChildEndedError(_UNEXPECTED)  # noqa: TRY301 (inside, so that the child is ended)
                    done.extend(_checked(program, row) for row in rows)
        except _ChildEndedError as error:
            return done, error.reason
        return done, None


def _next_batch(waiting: list[tuple[int, msgspec.Raw]]) -> list[tuple[int, msgspec.Raw]]:
    size = 0
    for count, (_, raw) in enumerate(waiting[:BATCH]):
        size += len(bytes(raw))
        if count and size > BATCH_BYTES:
            return waiting[:count]
    return waiting[:BATCH]


def _checked(program: Program, row: wire.Row) -> MappedRecord:
    """The child's row, believed only as far as it has the right shape. Raises _ChildEndedError."""
    if row.error is not None:
        return MappedRecord(error=messages.runtime_error(row.error[: wire.MESSAGE]))
    if not row.kept:
        return MappedRecord(kept=False)
    count = len(program.expressions)
    if len(row.values) != count or not all(0 <= index < count for index in row.errors):
        raise _ChildEndedError(_UNEXPECTED)
    errors = {index: messages.runtime_error(text[: wire.MESSAGE]) for index, text in row.errors.items()}
    for index, value in enumerate(row.values):
        problem = strictjson.problem(value, max_depth=MAX_DEPTH)
        if problem:
            errors[index] = problem
    return MappedRecord(values=tuple(row.values), errors=errors)
