"""How a name that people give to something is read."""

from trunkline.kernel.errors import BadInputError


def clean_name(name: str, field: str = "name") -> str:
    """1 to 120 printable characters, trimmed."""
    found = " ".join(name.split())
    if not 1 <= len(found) <= 120 or not found.isprintable():
        raise BadInputError("A name needs 1 to 120 printable characters.", field=field)
    return found
