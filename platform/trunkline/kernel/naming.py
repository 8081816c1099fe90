"""How a name that people give to something is read."""

from trunkline.kernel.errors import BadInputError

_JOINERS = str.maketrans("", "", "\u200c\u200d")
"""Parts of what people write: of Persian and Hindi words, and of emoji made of several."""


def fault(name: str, most: int) -> str:
    """What is wrong with a name, in a sentence for who gave it; empty for a good one. `most`: characters."""
    shown = name.translate(_JOINERS)
    if not shown or len(name) > most:
        return f"Give a name of 1 to {most} characters."
    if not shown.isprintable():
        return "A name is one line of letters, digits and signs; it holds a mark that cannot be shown."
    return ""


def clean_name(name: str, most: int = 100, field: str = "name") -> str:
    """Trimmed, with single spaces. Raises BadInputError."""
    found = " ".join(name.split())
    if wrong := fault(found, most):
        raise BadInputError(wrong, field=field)
    return found
