from collections.abc import Sequence

import click

from trunkline.cli.composition import Doorway


def columns(rows: Sequence[Sequence[str]], heading: Sequence[str]) -> list[str]:
    """Lines of a table, each column as wide as its longest cell."""
    widths = [max(len(cell) for cell in column) for column in zip(heading, *rows, strict=True)]
    plain = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (heading, *rows)
    ]
    return [click.style(plain[0], bold=True), *plain[1:]]


def doorways_text(doorways: Sequence[Doorway]) -> str:
    rows = [
        (door.audience, door.address, " / ".join(filter(None, (door.login, door.password))) or "-")
        for door in doorways
    ]
    lines = columns(rows, ("For", "Address", "Login"))
    hints = [f"{door.audience}: {door.first}" for door in doorways if door.first]
    text = "\n".join(f"  {line}" for line in lines)
    if hints:
        text += (
            "\n\n  "
            + click.style("Click first", bold=True)
            + "\n"
            + "\n".join(f"  - {hint}" for hint in hints)
        )
    return text
