"""What the engine gives back. See evaluator.Evaluator and mapper.RecipeMapper, which speak in these.

class Evaluator:      async start() / close() / async with
                      async check(expression: str) -> CheckResult
                      async evaluate(program: Program, records: Sequence[dict]) -> list[MappedRecord]
class RecipeMapper(evaluator):
                      async validate(definition, stream_fields, model) -> list[DefinitionError]
                      async map(definition, model, documents) -> list[MapResult]
"""

from typing import Any

import msgspec

from trunkline.recipes.errors import FieldError


class CheckResult(msgspec.Struct, frozen=True):
    """`position` counts characters of the expression from 0; `result_type` is CEL's name (STRING, DYN)."""

    ok: bool
    message: str = ""
    position: int | None = None
    result_type: str = ""


class Program(msgspec.Struct, frozen=True):
    """The expressions of one recipe version; `digest` names them in the child's cache of compiled ones."""

    digest: bytes
    expressions: tuple[str, ...]
    filter: str | None = None


class MappedRecord(msgspec.Struct, frozen=True):
    """One record's values, in the order of the program's expressions.

    `error` is set when the record as a whole failed (a guard, the time limit, the filter); then there are no
    values. `kept` is False when the filter said no. `errors` holds messages by the index of the expression.
    """

    kept: bool = True
    values: tuple[Any, ...] = ()
    errors: dict[int, str] = {}
    error: str | None = None
    passing: bool = False
    """The error may pass: the record's process was stopped."""


class Mapped(msgspec.Struct, frozen=True, tag="mapped"):
    """`data` has a key for every mapped target, in the model's order; None where there is no value."""

    data: dict[str, Any]


class Filtered(msgspec.Struct, frozen=True, tag="filtered"):
    """The recipe's filter said no."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Nothing of this record may be stored; `errors` has at least one entry. `passing`: the cause may pass
    by itself, since it lies in the process that maps and not in the record.
    """

    errors: tuple[FieldError, ...]
    passing: bool = False


MapResult = Mapped | Filtered | Failed
