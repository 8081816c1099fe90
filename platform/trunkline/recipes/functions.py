"""The functions an expression may use, as the wizard's help shows them. Each example is run by a test."""

from typing import Any, NamedTuple


class FunctionHelp(NamedTuple):
    """`example` evaluates to `result` on EXAMPLE_RECORD."""

    name: str
    group: str
    summary: str
    example: str
    result: Any


EXAMPLE_RECORD: dict[str, Any] = {
    "first": "Ada",
    "last": None,
    "mail": " Ada@X.org ",
    "amount": "1234.50",
    "tags": "new;vip",
    "since": "2024-05-01T09:30:00Z",
}

FUNCTIONS: tuple[FunctionHelp, ...] = tuple(
    FunctionHelp(*row)
    for row in (
        (
            "default",
            "Empty values",
            "The first unless it is empty, else the second.",
            'default(record.last, "–")',
            "–",
        ),
        (
            "text",
            "Empty values",
            "As text; an empty value becomes an empty text.",
            'text(record.last) + "!"',
            "!",
        ),
        (
            "number",
            "Empty values",
            "Text as a decimal number; empty stays empty.",
            "number(record.amount) * 2.0",
            2469.0,
        ),
        ("has", "Empty values", "Whether the record has the field at all.", "has(record.first)", True),
        ("?:", "Conditions", "One of two values.", 'record.first == "Ada" ? "yes" : "no"', "yes"),
        ("in", "Conditions", "Whether a list has the value.", 'record.first in ["Ada", "Bob"]', True),
        (
            "matches",
            "Conditions",
            "Whether a part of the text fits a regular expression (RE2).",
            'record.first.matches("^A")',
            True,
        ),
        ("contains", "Conditions", "Whether the text has a part.", 'record.mail.contains("@")', True),
        ("startsWith", "Conditions", "Whether the text begins so.", 'record.first.startsWith("A")', True),
        ("endsWith", "Conditions", "Whether the text ends so.", 'record.first.endsWith("a")', True),
        ("trim", "Text", "Without spaces at both ends.", "record.mail.trim()", "Ada@X.org"),
        (
            "lowerAscii",
            "Text",
            "In small letters (A to Z only).",
            "record.mail.trim().lowerAscii()",
            "ada@x.org",
        ),
        ("upperAscii", "Text", "In capitals (A to Z only).", "record.first.upperAscii()", "ADA"),
        (
            "replace",
            "Text",
            "With one part replaced by another.",
            'record.tags.replace(";", ", ")',
            "new, vip",
        ),
        (
            "split",
            "Text",
            "A list of the parts between a separator.",
            'record.tags.split(";")',
            ["new", "vip"],
        ),
        ("join", "Text", "The texts of a list in one.", '["a", "b"].join("-")', "a-b"),
        ("substring", "Text", "A part, by positions from 0.", "record.first.substring(0, 2)", "Ad"),
        ("indexOf", "Text", "Where a part begins, or -1.", 'record.first.indexOf("d")', 1),
        ("charAt", "Text", "The character at a position from 0.", "record.first.charAt(0)", "A"),
        (
            "format",
            "Text",
            "A text with values put in its places.",
            '"%s (%d)".format([record.first, 3])',
            "Ada (3)",
        ),
        ("size", "Text", "The length of a text or a list.", "record.first.size()", 3),
        ("int", "Numbers", "As a whole number.", 'int("42")', 42),
        ("double", "Numbers", "As a decimal number.", 'double("1.5")', 1.5),
        ("math.round", "Numbers", "Rounded to a whole number.", "math.round(number(record.amount))", 1235.0),
        ("math.floor", "Numbers", "Rounded down.", "math.floor(1.7)", 1.0),
        ("math.ceil", "Numbers", "Rounded up.", "math.ceil(1.2)", 2.0),
        ("math.abs", "Numbers", "Without the sign.", "math.abs(-2)", 2),
        ("math.greatest", "Numbers", "The largest of several.", "math.greatest(1, 3, 2)", 3),
        ("math.least", "Numbers", "The smallest of several.", "math.least(1, 3, 2)", 1),
        ("timestamp", "Dates", "A text as date and time.", "timestamp(record.since)", "2024-05-01T09:30:00Z"),
        (
            "duration",
            "Dates",
            "A span of time, to add to a date.",
            'timestamp(record.since) + duration("24h")',
            "2024-05-02T09:30:00Z",
        ),
        (
            "getFullYear",
            "Dates",
            "The year of a date; also getMonth (from 0), getDate, getHours.",
            "timestamp(record.since).getFullYear()",
            2024,
        ),
        (
            "filter",
            "Lists",
            "Only the items that fit.",
            'record.tags.split(";").filter(t, t != "new")',
            ["vip"],
        ),
        (
            "map",
            "Lists",
            "Each item changed.",
            'record.tags.split(";").map(t, t.upperAscii())',
            ["NEW", "VIP"],
        ),
        ("exists", "Lists", "Whether any item fits.", 'record.tags.split(";").exists(t, t == "vip")', True),
        ("all", "Lists", "Whether every item fits.", 'record.tags.split(";").all(t, t != "")', True),
        (
            "cel.bind",
            "Lists",
            "A name for a value used more than once.",
            'cel.bind(m, record.mail.trim(), m + "," + m)',
            "Ada@X.org,Ada@X.org",
        ),
        (
            "orValue",
            "Empty values",
            "After .?, which asks for a field that may be missing.",
            'source.?nowhere.orValue("none")',
            "none",
        ),
    )
)

FUNCTION_NAMES = tuple(row.name for row in FUNCTIONS if row.name.replace(".", "").isalnum())
