"""Failures of the recipe engine, as values: a wizard shows them beside the form field they belong to."""

import difflib
from collections.abc import Iterable, Sequence

import msgspec


class DefinitionError(msgspec.Struct, frozen=True):
    """One thing wrong with a recipe or a declared model.

    `path` is the form field in dotted form, list positions counted from 0: `mappings.3.expression`, `filter`,
    `fields.0.name`. An empty path means the whole form.
    """

    path: str
    message: str


class FieldError(msgspec.Struct, frozen=True):
    """One record's value that does not fit. `target` is the model's field, or "" for the whole record."""

    target: str
    message: str


class InvalidDefinitionError(ValueError):
    """Raised where a definition or a model must be valid; carries every error found, never only the first."""

    def __init__(self, errors: Sequence[DefinitionError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(f"{error.path}: {error.message}" for error in errors))


class EvaluatorUnavailableError(RuntimeError):
    """The expression process could not be started or spoke nonsense. Ours to mend; retry later."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for the nearest known name, or '' when none is near."""
    lowered = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), lowered, n=1, cutoff=0.6)
    return f' Did you mean "{lowered[near[0]]}"?' if near else ""
