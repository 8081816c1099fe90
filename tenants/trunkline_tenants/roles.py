"""The table of roles for the documentation: `python -m trunkline_tenants.roles > docs/roles.md`."""

import sys

from trunkline_tenants.permissions import PEOPLE, PERMISSIONS, WORDS

_HEAD = """# Who may do what

Made from `tenants/trunkline_tenants/permissions.py` by `python -m trunkline_tenants.roles > docs/roles.md`;
a test fails when it is stale, and another tries every cell over the real routes. Every route that changes
anything names the action that it needs; without one it is closed to everybody.

Owner, administrator and viewer are members of an organisation and reach nothing of another's. Support and
staff administrators are the operator's people; support sees no record and no personal data. An API key also
needs the scope that a route of the API names. An end user connects an account through the widget and sees
nothing else.
"""


def table() -> str:
    """Markdown: an action a row, a role a column."""
    lines = [
        _HEAD,
        "| action | what it allows | " + " | ".join(PEOPLE.values()) + " |",
        "| --- | --- |" + " :---: |" * len(PEOPLE),
    ]
    for action, words in WORDS.items():
        cells = ("yes" if action in PERMISSIONS[role] else "" for role in PEOPLE)
        lines.append(f"| `{action}` | {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
